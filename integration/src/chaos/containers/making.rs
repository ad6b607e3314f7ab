//! Creating a container.

use serde_json::json;

use super::super::door::Door;
use super::super::facts::{Count, Fact, Step};
use super::super::programs::{self, Kind};
use super::super::trail::Trail;
use super::Owned;

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it runs.
    pub kind: Kind,
    /// Its name; its label is the same.
    pub name: String,
    /// The image.
    pub image: String,
    /// A volume to write to.
    pub volume: Option<String>,
    /// Removed at its end.
    pub auto_remove: bool,
    /// Started again whenever it ends.
    pub always: bool,
    /// Has a health check.
    pub checked: bool,
    /// Run by runc instead of the built-in runtime.
    pub runc: bool,
    /// Which log driver.
    pub variant: usize,
}

impl Owned {
    /// What is known before the first answer: nothing.
    #[must_use]
    pub fn wanted(wanted: &Wanted) -> Self {
        Self {
            kind: wanted.kind.clone(),
            label: wanted.name.clone(),
            id: None,
            names: vec![wanted.name.clone()],
            facts: vec![Fact::Absent, Fact::Created],
            volume: wanted.volume.clone(),
            eventual: false,
            begins: Count::default(),
            unconfirmed: false,
            run: None,
            before: None,
            trail: Trail::default(),
            echoes: Vec::new(),
            fragile: false,
            auto_remove: wanted.auto_remove,
            always: wanted.always,
            limits: vec![0],
            starts: Count::default(),
        }
    }

    /// Asks for it.
    ///
    /// # Errors
    /// If it is refused without a reason.
    pub fn make(&mut self, door: &Door, wanted: &Wanted) -> Step {
        let mut body = programs::body(
            &wanted.kind,
            &wanted.image,
            &wanted.name,
            wanted.volume.as_deref(),
            wanted.variant,
        );
        body["HostConfig"]["AutoRemove"] = wanted.auto_remove.into();
        if wanted.runc {
            body["HostConfig"]["Runtime"] = "runc".into();
        }
        if wanted.always {
            body["HostConfig"]["RestartPolicy"] = json!({ "Name": "always" });
        }
        if wanted.checked {
            let often = 200_000_000_i64;
            body["Healthcheck"] = json!({
                "Test": ["CMD-SHELL", "true"], "Interval": often, "Timeout": 100 * often, "Retries": 3,
            });
        }
        let reply = door.post(&format!("/containers/create?name={}", wanted.name), &body)?;
        if reply.status == 201 {
            self.id = reply.json()["Id"].as_str().map(str::to_owned);
            self.facts = vec![Fact::Created];
            return Ok(());
        }
        self.explained(door, "create", &reply)?;
        // Nothing of it may be left.
        self.facts = vec![Fact::Absent];
        self.settle(door)
    }
}
