//! Upgrades and rollbacks: this release reads what release 0.1 wrote, and 0.1 reads what this one writes.
//!
//! `v0_1/rows.jsonl` are rows a gantryd of release 0.1 wrote while it ran containers of both doors; `v0_1/*.rs` are its
//! record types. Neither ever changes.

#![allow(
    clippy::unwrap_used,
    reason = "a test of its own crate: the helpers are no test functions"
)]

mod v0_1 {
    pub(crate) mod records;
    pub(crate) mod specs;
}

use gantry_model::container::{Container, LogSpec};
use gantry_model::event::Event;
use gantry_model::image::ImageName;
use gantry_model::network::{Endpoint, Network};
use gantry_model::operation::{Operation, OperationKind};
use gantry_model::policy::{HealthSpec, RestartPolicy, RestartSpec, RestartState};
use gantry_model::sandbox::Sandbox;
use gantry_model::supervisor::LogSink;
use gantry_model::volume::Volume;
use gantry_model::{OperationId, Timestamp};
use gantry_store::{Batch, Store, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use v0_1::records as old;

/// The recorded rows of a table.
fn recorded(table: &str) -> Vec<Value> {
    let rows: Vec<Value> = include_str!("v0_1/rows.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|row: &Value| row["table"] == table)
        .collect();
    assert!(!rows.is_empty(), "no row of {table} was recorded");
    rows
}

/// What of `small` is missing or different in `large`; lists are compared element by element.
fn lost(path: &str, small: &Value, large: &Value) -> Vec<String> {
    match (small, large) {
        (Value::Object(small), Value::Object(large)) => small
            .iter()
            .flat_map(|(key, value)| {
                lost(
                    &format!("{path}.{key}"),
                    value,
                    large.get(key).unwrap_or(&Value::Null),
                )
            })
            .collect(),
        (Value::Array(small), Value::Array(large)) if small.len() == large.len() => small
            .iter()
            .zip(large)
            .flat_map(|(a, b)| lost(&format!("{path}[]"), a, b))
            .collect(),
        _ if small == large => Vec::new(),
        _ => vec![format!("{path}: {small} became {large}")],
    }
}

/// This release reads every recorded row of the table, and writes back all that stood in it.
fn upgraded<T: DeserializeOwned + Serialize>(table: Table) -> Vec<T> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).unwrap();
    let mut batch = Batch::new();
    let recorded = recorded(table.as_str());
    for row in &recorded {
        assert_eq!(row["row"]["v"], 1, "the envelope of release 0.1");
        let key = row["key"].as_str().unwrap();
        batch.put(table, key, &row["row"]["r"]).unwrap();
    }
    store.commit_blocking(batch).unwrap();
    let read = store.load::<T>(table).unwrap();
    assert_eq!(read.len(), recorded.len());
    read.into_iter()
        .zip(recorded)
        .map(|((key, record), row)| {
            let record = record.unwrap_or_else(|e| panic!("{table} {key}: {e}"));
            let again = serde_json::to_value(&record).unwrap();
            let lost = lost(table.as_str(), &row["row"]["r"], &again);
            assert!(lost.is_empty(), "{key}: {lost:#?}");
            record
        })
        .collect()
}

/// Release 0.1 reads the record, and what it knows of it is as this release wrote it.
fn rolled_back<New: Serialize, Old: DeserializeOwned + Serialize>(record: &New) -> Old {
    let written = serde_json::to_value(record).unwrap();
    let read: Old =
        serde_json::from_value(written.clone()).unwrap_or_else(|e| panic!("{e} in {written:#}"));
    let known = serde_json::to_value(&read).unwrap();
    let lost = lost("record", &known, &written);
    assert!(lost.is_empty(), "{lost:#?}");
    read
}

#[test]
fn this_release_reads_what_0_1_wrote() {
    upgraded::<Container>(Table::Containers);
    upgraded::<Sandbox>(Table::Sandboxes);
    upgraded::<Network>(Table::Networks);
    upgraded::<Endpoint>(Table::Endpoints);
    upgraded::<Volume>(Table::Volumes);
    upgraded::<ImageName>(Table::ImageNames);
    upgraded::<Operation>(Table::Operations);
    upgraded::<Event>(Table::Events);
}

#[test]
fn a_container_of_0_1_is_never_restarted_or_probed_by_itself() {
    for container in upgraded::<Container>(Table::Containers) {
        assert_eq!(container.spec.restart, RestartSpec::default());
        assert_eq!(container.spec.restart.policy, RestartPolicy::No);
        assert_eq!(container.spec.health, None);
        assert_eq!(container.restart, RestartState::default());
    }
}

#[test]
fn release_0_1_reads_the_records_this_one_writes_back() {
    for record in upgraded::<Container>(Table::Containers) {
        rolled_back::<_, old::Container>(&record);
    }
    for record in upgraded::<Sandbox>(Table::Sandboxes) {
        rolled_back::<_, old::Sandbox>(&record);
    }
    for record in upgraded::<Network>(Table::Networks) {
        rolled_back::<_, old::Network>(&record);
    }
    for record in upgraded::<Endpoint>(Table::Endpoints) {
        rolled_back::<_, old::Endpoint>(&record);
    }
    for record in upgraded::<Volume>(Table::Volumes) {
        rolled_back::<_, old::Volume>(&record);
    }
    for record in upgraded::<ImageName>(Table::ImageNames) {
        rolled_back::<_, old::ImageName>(&record);
    }
    for record in upgraded::<Event>(Table::Events) {
        rolled_back::<_, old::Event>(&record);
    }
}

/// A recorded container with everything set that release 0.1 does not know.
fn with_news() -> Container {
    let mut container = upgraded::<Container>(Table::Containers).remove(0);
    container.spec.restart = RestartSpec {
        policy: RestartPolicy::UnlessStopped,
        max_retries: 3,
    };
    container.spec.health = Some(HealthSpec {
        command: vec!["true".to_owned()],
        interval: 1,
        timeout: 2,
        start_period: 3,
        start_interval: 4,
        retries: 5,
    });
    container.goes_with_volumes = true;
    container.restart = RestartState {
        count: 2,
        due: Some(Timestamp(5)),
        backoff: 200,
        stopped_by_user: true,
        by_policy: true,
    };
    container
}

#[test]
fn release_0_1_reads_a_container_with_a_restart_policy_and_a_health_check() {
    rolled_back::<_, old::Container>(&with_news());
}

/// Every way to log, in both forms. Whoever adds one is stopped by the compiler here, and shows below that 0.1 still
/// reads the container.
fn every_log() -> Vec<(LogSpec, LogSink)> {
    let path = || "/l".to_owned();
    let all = vec![
        (LogSpec::None, LogSink::None),
        (LogSpec::Cri(path()), LogSink::Cri { path: path() }),
        (
            LogSpec::JsonFile,
            LogSink::JsonFile {
                path: path(),
                max_size: 0,
                max_files: 1,
                compress: false,
            },
        ),
        (
            LogSpec::JsonFileRotated {
                max_size: 1,
                max_files: 2,
                compress: true,
            },
            LogSink::JsonFile {
                path: path(),
                max_size: 1,
                max_files: 2,
                compress: true,
            },
        ),
        (
            LogSpec::Local {
                max_size: 1,
                max_files: 2,
                compress: true,
            },
            LogSink::Local {
                path: path(),
                max_size: 1,
                max_files: 2,
                compress: true,
            },
        ),
    ];
    for (spec, sink) in &all {
        match spec {
            LogSpec::JsonFile
            | LogSpec::JsonFileRotated { .. }
            | LogSpec::Local { .. }
            | LogSpec::Cri(_)
            | LogSpec::None => {}
        }
        match sink {
            LogSink::None
            | LogSink::Cri { .. }
            | LogSink::JsonFile { .. }
            | LogSink::Local { .. } => {}
        }
    }
    all
}

#[test]
fn release_0_1_reads_a_container_with_any_log() {
    for (spec, sink) in every_log() {
        let mut container = with_news();
        (container.spec.log, container.log) = (spec, sink);
        let read: old::Container = rolled_back(&container);
        // What it would do with the file: write and read json lines, or none. It is not asked to until the next start.
        if matches!(container.log, LogSink::Local { .. }) {
            assert!(matches!(read.log, old::LogSink::JsonFile { .. }));
        }
        let again = serde_json::to_value(&container).unwrap();
        assert_eq!(
            serde_json::from_value::<Container>(again).unwrap(),
            container
        );
    }
}

/// What an operation of this kind is to release 0.1.
fn known_to_0_1(kind: OperationKind) -> bool {
    use OperationKind as K;
    match kind {
        K::CreateContainer
        | K::StartContainer
        | K::StopContainer
        | K::RemoveContainer
        | K::RunSandbox
        | K::StopSandbox
        | K::RemoveSandbox
        | K::PullImage
        | K::LoadImages
        | K::CreateNetwork
        | K::RemoveNetwork
        | K::CreateVolume
        | K::RemoveVolume
        | K::Other => true,
        // The row is left out there and stays for the next upgrade. What such an operation has done needs no undoing.
        K::PauseContainer | K::UpdateContainer => false,
    }
}

#[test]
fn release_0_1_reads_operations_that_need_undoing() {
    use OperationKind as K;
    for kind in [
        K::CreateContainer,
        K::StartContainer,
        K::StopContainer,
        K::RemoveContainer,
        K::RunSandbox,
        K::StopSandbox,
        K::RemoveSandbox,
        K::PullImage,
        K::LoadImages,
        K::CreateNetwork,
        K::RemoveNetwork,
        K::CreateVolume,
        K::RemoveVolume,
        K::PauseContainer,
        K::UpdateContainer,
        K::Other,
    ] {
        let operation = Operation {
            id: OperationId::from_random([7; 32]),
            kind,
            object: "x".to_owned(),
            since: Timestamp(1),
            deadline: Timestamp(2),
        };
        let written = serde_json::to_value(&operation).unwrap();
        let read = serde_json::from_value::<old::Operation>(written);
        assert_eq!(read.is_ok(), known_to_0_1(kind), "{kind:?}");
    }
    // And this release reads those of the next one.
    let next: OperationKind = serde_json::from_str("\"fold_container\"").unwrap();
    assert_eq!(next, OperationKind::Other);
}
