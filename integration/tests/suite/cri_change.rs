//! Limits changed in place and the stream of events, as kubelet uses them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_cri_api::v1::ContainerEventType as Kind;
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, wait};

cases![
    limits_change_in_place,
    events_tell_a_pods_life,
    no_policy_restarts_kubelets_containers
];

/// A value of the memory or CPU cgroup a process is in: v1's file, or v2's.
fn cgroup(pid: &str, controller: &str, v1: &str, v2: &str) -> Result<String> {
    let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let find = |wanted: &dyn Fn(&str) -> bool| {
        lines.lines().find_map(|line| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            wanted(names).then_some(path)
        })
    };
    let file = match find(&|names| names.split(',').any(|name| name == controller)) {
        Some(path) => format!("/sys/fs/cgroup/{controller}{path}/{v1}"),
        None => {
            let path = find(&str::is_empty).context("a cgroup")?;
            format!("/sys/fs/cgroup{path}/{v2}")
        }
    };
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    Ok(text.trim().to_owned())
}

fn limits_change_in_place() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let logs = node.dir().join("logs");
    std::fs::create_dir_all(&logs)?;
    let api = node.cri()?;
    let config = cri::pod("p", &logs.display().to_string());
    let pod = api.run_pod(config.clone())?;
    let mut container = cri::container("c", BUSYBOX, &["sleep", "1000"]);
    let limits = |memory, quota| v1::LinuxContainerResources {
        memory_limit_in_bytes: memory,
        cpu_period: 100_000,
        cpu_quota: quota,
        ..Default::default()
    };
    container.linux.get_or_insert_default().resources = Some(limits(64 << 20, 50_000));
    let id = api.create(&pod, container, config)?;
    let update = |api: &cri::Cri, id: &str, linux| {
        let request = v1::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(linux),
            ..Default::default()
        };
        api.wait(api.runtime().update_container_resources(request))
            .map(drop)
    };
    // Before its start: it starts with what was said last.
    update(&api, &id, limits(48 << 20, 0))?;
    api.start(&id)?;
    let verbose = v1::ContainerStatusRequest {
        container_id: id.clone(),
        verbose: true,
    };
    let info = api.wait(api.runtime().container_status(verbose))?.info;
    let info: serde_json::Value = serde_json::from_str(&info["info"])?;
    let pid = info["pid"].to_string();
    let memory = || cgroup(&pid, "memory", "memory.limit_in_bytes", "memory.max");
    ensure!(memory()? == (48 << 20).to_string());
    for size in [96, 32] {
        update(&api, &id, limits(size << 20, 20_000))?;
        ensure!(memory()? == (size << 20).to_string());
        let quota = cgroup(&pid, "cpu", "cpu.cfs_quota_us", "cpu.max")?;
        ensure!(quota == "20000" || quota == "20000 100000", "{quota}");
    }
    let none = v1::LinuxContainerResources {
        cpu_quota: -1,
        ..Default::default()
    };
    update(&api, &id, none)?;
    let quota = cgroup(&pid, "cpu", "cpu.cfs_quota_us", "cpu.max")?;
    ensure!(quota == "-1" || quota.starts_with("max"), "{quota}");
    ensure!(
        memory()? == (32 << 20).to_string(),
        "what is not said stays"
    );
    node.kill()?;
    node.restart()?;
    let api = node.cri()?;
    let shown = api.status(&id)?.resources.and_then(|r| r.linux);
    ensure!(
        shown.is_some_and(|linux| linux.memory_limit_in_bytes == 32 << 20),
        "kept"
    );
    let error = update(&api, &id, limits(1, 0)).err().context("refused")?;
    ensure!(error.code() == tonic::Code::InvalidArgument, "{error:?}");
    api.stop(&id, 0)?;
    let error = update(&api, &id, limits(64 << 20, 0))
        .err()
        .context("refused")?;
    ensure!(error.code() == tonic::Code::FailedPrecondition, "{error:?}");
    let error = update(&api, "nobody", limits(64 << 20, 0)).err();
    ensure!(error.is_some_and(|e| e.code() == tonic::Code::NotFound));
    node.finish()
}

fn events_tell_a_pods_life() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let logs = node.dir().join("logs");
    std::fs::create_dir_all(&logs)?;
    let api = node.cri()?;
    let mut stream = api.wait(
        api.runtime()
            .get_container_events(v1::GetEventsRequest::default()),
    )?;
    // Docker's are none of kubelet's business.
    node.docker().ok(&["run", "--rm", "busybox", "true"])?;
    let config = cri::pod("p", &logs.display().to_string());
    let pod = api.run_pod(config.clone())?;
    let container = cri::container("c", BUSYBOX, &["sh", "-c", "exit 3"]);
    let id = api.create(&pod, container, config)?;
    api.start(&id)?;
    wait::until("its end", Duration::from_secs(10), || {
        api.status(&id)
            .is_ok_and(|status| status.state() == v1::ContainerState::ContainerExited)
    })?;
    api.remove(&id)?;
    api.remove_pod(&pod)?;
    let mut seen: Vec<(bool, Kind)> = Vec::new();
    let last = (true, Kind::ContainerDeletedEvent);
    while seen.last() != Some(&last) {
        let next = async {
            match tokio::time::timeout(Duration::from_secs(10), stream.message()).await {
                Ok(answer) => answer.map(tonic::Response::new),
                Err(_) => Err(tonic::Status::deadline_exceeded("no more events")),
            }
        };
        let event = api.wait(next).with_context(|| format!("after {seen:?}"))?;
        let event = event.context("the stream goes on")?;
        let of_pod = event.container_id == pod;
        ensure!(of_pod || event.container_id == id, "{event:?}");
        let kind = event.container_event_type();
        if kind != Kind::ContainerDeletedEvent {
            let metadata = event.pod_sandbox_status.and_then(|status| status.metadata);
            ensure!(metadata.is_some_and(|metadata| metadata.name == "p"));
        }
        if !of_pod && kind == Kind::ContainerStoppedEvent {
            ensure!(
                event.containers_statuses.iter().any(|c| c.exit_code == 3),
                "{:?}",
                event.containers_statuses
            );
        }
        if seen.last() != Some(&(of_pod, kind)) {
            seen.push((of_pod, kind));
        }
    }
    let expected = [
        (true, Kind::ContainerCreatedEvent),
        (true, Kind::ContainerStartedEvent),
        (false, Kind::ContainerCreatedEvent),
        (false, Kind::ContainerStartedEvent),
        (false, Kind::ContainerStoppedEvent),
        (false, Kind::ContainerDeletedEvent),
        (true, Kind::ContainerStoppedEvent),
        (true, Kind::ContainerDeletedEvent),
    ];
    ensure!(seen == expected, "{seen:?}");
    // An open stream does not keep the daemon from ending: `finish` stops it while this one is read.
    let left = api.wait(
        api.runtime()
            .get_container_events(v1::GetEventsRequest::default()),
    )?;
    node.finish()?;
    drop((stream, left));
    Ok(())
}

fn no_policy_restarts_kubelets_containers() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let logs = node.dir().join("logs");
    std::fs::create_dir_all(&logs)?;
    let api = node.cri()?;
    let config = cri::pod("p", &logs.display().to_string());
    let pod = api.run_pod(config.clone())?;
    let id = api.create(&pod, cri::container("c", BUSYBOX, &["false"]), config)?;
    api.start(&id)?;
    let ended = |api: &cri::Cri| {
        api.status(&id)
            .is_ok_and(|status| status.state() == v1::ContainerState::ContainerExited)
    };
    wait::until("its end", Duration::from_secs(10), || ended(&api))?;
    node.kill()?;
    node.restart()?;
    let api = node.cri()?;
    ensure!(ended(&api) && api.status(&id)?.exit_code == 1);
    node.finish()
}
