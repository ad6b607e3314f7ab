//! Pods by another OCI runtime, as the kubelet asks for them with a RuntimeClass.

use std::fs;

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_cri_api::v1::ContainerState;
use gantry_integration::node::BUSYBOX;
use gantry_integration::{cases, cri, leaks, wait};

use super::handlers::{HANDLERS, LONG, node};

cases![
    a_handlers_pod_shares_what_pods_share,
    a_handler_that_hangs_holds_up_nobody,
];

fn a_handlers_pod_shares_what_pods_share() -> Result<()> {
    let mut node = node()?;
    let logs = node.dir().join("logs");
    fs::create_dir_all(&logs)?;
    for name in HANDLERS {
        let api = node.cri()?;
        let mut config = cri::pod(name, &logs.display().to_string());
        let options = v1::NamespaceOption {
            pid: v1::NamespaceMode::Pod.into(),
            ..Default::default()
        };
        config.linux = Some(v1::LinuxPodSandboxConfig {
            security_context: Some(v1::LinuxSandboxSecurityContext {
                namespace_options: Some(options.clone()),
                ..Default::default()
            }),
            ..Default::default()
        });
        let request = v1::RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: name.to_owned(),
        };
        let pod = api
            .wait(api.runtime().run_pod_sandbox(request))?
            .pod_sandbox_id;
        let started = |container: &str, command: &[&str]| -> Result<String> {
            let mut made = cri::container(container, BUSYBOX, command);
            made.linux = Some(v1::LinuxContainerConfig {
                security_context: Some(v1::LinuxContainerSecurityContext {
                    namespace_options: Some(options.clone()),
                    ..Default::default()
                }),
                ..Default::default()
            });
            let id = api.create(&pod, made, config.clone())?;
            api.start(&id)?;
            Ok(id)
        };
        let web = started("web", &["httpd", "-f", "-h", "/var/www"])?;
        let side = started("side", &["sh", "-c", "echo up; sleep 1000"])?;
        // Network, host name and processes are the pod's.
        let script = "for i in 1 2 3 4 5 6 7 8 9; do wget -qO- 127.0.0.1 && break; sleep 0.2; done; hostname; ps";
        let ran = api.exec(&side, &["sh", "-c", script], 20)?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(
            text.contains("hello")
                && text.contains(&format!("\n{name}\n"))
                && text.contains("httpd"),
            "{text}"
        );
        let ran = api.exec(&web, &["sh", "-c", "echo x >&2; exit 3"], 20)?;
        ensure!(ran.exit_code == 3 && ran.stderr == b"x\n", "{ran:?}");
        // A deadline takes the whole tree along.
        let tree = "sleep 0.3; (setsid sleep 71005 &); sleep 71005";
        let late = api.exec(&side, &["sh", "-c", tree], 2);
        ensure!(
            late.as_ref()
                .is_err_and(|s| s.code() == tonic::Code::DeadlineExceeded),
            "{late:?}"
        );
        let left = leaks::processes_of("sleep 71005");
        ensure!(
            !left.iter().any(|(_, l)| l.trim() == "sleep 71005"),
            "{left:?}"
        );
        let log = fs::read_to_string(logs.join("side.log"))?;
        ensure!(log.ends_with("stdout F up\n"), "{log}");
        let stats = v1::ContainerStatsRequest {
            container_id: side.clone(),
        };
        let stats = api.wait(api.runtime().container_stats(stats))?.stats;
        let memory = stats.and_then(|s| s.memory).context("memory")?;
        ensure!(memory.working_set_bytes.is_some_and(|b| b.value > 0));
        let listed = v1::PodSandboxStatusRequest {
            pod_sandbox_id: pod.clone(),
            verbose: false,
        };
        let status = api.wait(api.runtime().pod_sandbox_status(listed))?.status;
        ensure!(status.context("status")?.runtime_handler == name);
        drop(api);
        // The next daemon finds it as it was.
        node.kill()?;
        node.restart()?;
        let api = node.cri()?;
        ensure!(api.status(&side)?.state() == ContainerState::ContainerRunning);
        api.stop(&side, 0)?;
        ensure!(api.status(&side)?.exit_code == 137);
        api.remove(&side)?;
        ensure!(api.status(&web)?.state() == ContainerState::ContainerRunning);
        api.remove_pod(&pod)?;
        fs::remove_file(logs.join("side.log"))?;
    }
    node.finish()
}

fn a_handler_that_hangs_holds_up_nobody() -> Result<()> {
    let node = node()?;
    let logs = node.dir().join("logs");
    fs::create_dir_all(&logs)?;
    let api = node.cri()?;
    let config = cri::pod("p", &logs.display().to_string());
    let request = v1::RunPodSandboxRequest {
        config: Some(config.clone()),
        runtime_handler: "hanging".to_owned(),
    };
    let pod = api
        .wait(api.runtime().run_pod_sandbox(request))?
        .pod_sandbox_id;
    let create = |name: &str| {
        let made = cri::container(name, BUSYBOX, &["sleep", "1000"]);
        api.create(&pod, made, config.clone())
    };
    let first = create("first")?;
    api.start(&first)?;
    let hang = node.dir().join("hang");
    fs::write(&hang, "71006")?;
    let second = create("second")?;
    let socket = node.socket("cri");
    let id = second.clone();
    let starting = std::thread::spawn(move || -> Result<tonic::Status> {
        let api = cri::Cri::connect(&socket)?;
        let started = api.start(&id);
        started.err().context("it starts")
    });
    let stuck = || {
        let all = leaks::processes_of("sleep 71006");
        all.iter().any(|(_, line)| line.trim() == "sleep 71006")
    };
    wait::until("the runtime to hang", LONG, stuck)?;
    // The pod's other container is served meanwhile.
    let ran = api.exec(&first, &["echo", "hi"], 20)?;
    ensure!(ran.stdout == b"hi\n" && stuck(), "{ran:?}");
    let failed = starting.join().expect("it does not panic")?;
    ensure!(failed.message().contains("within 2 s"), "{failed:?}");
    ensure!(!stuck(), "all that the runtime had begun is killed");
    // And once the runtime works again, so does the container.
    fs::remove_file(&hang)?;
    api.remove(&second)?;
    let third = create("third")?;
    api.start(&third)?;
    ensure!(api.status(&first)?.state() == ContainerState::ContainerRunning);
    api.remove_pod(&pod)?;
    drop(api);
    node.finish()
}
