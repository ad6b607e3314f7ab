//! Pods and containers through CRI, as kubelet uses it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_cri_api::v1::{ContainerState, PodSandboxState};
use gantry_integration::cri::{self, Cri};
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, wait, web};

cases![
    says_who_it_is,
    life_of_a_pod,
    containers_of_a_pod_share_its_network,
    logs_are_cris,
    exec_sync_answers_and_ends,
    exits_are_reported,
    lists_are_filtered,
    retries_join,
    images_through_cri,
    the_rest_is_unimplemented,
];

struct World {
    node: Node,
    api: Cri,
    logs: PathBuf,
}

fn world() -> Result<World> {
    let node = Node::start()?;
    node.load_busybox()?;
    let logs = node.dir().join("logs");
    std::fs::create_dir_all(&logs)?;
    Ok(World {
        api: node.cri()?,
        logs,
        node,
    })
}

impl World {
    /// The connection goes first: a daemon that ends gracefully waits for its clients.
    fn finish(self) -> Result<()> {
        drop(self.api);
        self.node.finish()
    }

    fn pod_config(&self, name: &str) -> v1::PodSandboxConfig {
        cri::pod(name, &self.logs.display().to_string())
    }

    fn pod(&self, name: &str) -> Result<String> {
        Ok(self.api.run_pod(self.pod_config(name))?)
    }

    fn started(&self, pod: &str, pod_name: &str, name: &str, command: &[&str]) -> Result<String> {
        let id = self.api.create(
            pod,
            cri::container(name, BUSYBOX, command),
            self.pod_config(pod_name),
        )?;
        self.api.start(&id)?;
        Ok(id)
    }

    fn ended(&self, id: &str) -> Result<v1::ContainerStatus> {
        wait::some("the container to end", Duration::from_secs(10), || {
            self.api
                .status(id)
                .ok()
                .filter(|s| s.state() == ContainerState::ContainerExited)
        })
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.logs.join(format!("{name}.log"))).unwrap_or_default()
    }

    fn pod_status(&self, pod: &str) -> Result<v1::PodSandboxStatus> {
        let request = v1::PodSandboxStatusRequest {
            pod_sandbox_id: pod.to_owned(),
            verbose: false,
        };
        self.api
            .wait(self.api.runtime().pod_sandbox_status(request))?
            .status
            .context("a status")
    }
}

fn says_who_it_is() -> Result<()> {
    let w = world()?;
    let version = w.api.wait(w.api.runtime().version(v1::VersionRequest {
        version: "v1".into(),
    }))?;
    ensure!(
        version.runtime_name == "gantry" && version.runtime_api_version == "v1",
        "{version:?}"
    );
    let status = w
        .api
        .wait(w.api.runtime().status(v1::StatusRequest { verbose: false }))?;
    for condition in status
        .status
        .as_ref()
        .context("a status")?
        .conditions
        .iter()
    {
        ensure!(condition.status, "{condition:?}");
    }
    ensure!(
        status.runtime_handlers.iter().any(|h| h.name.is_empty()),
        "the default handler is listed: {status:?}"
    );
    let config = w
        .api
        .wait(w.api.runtime().runtime_config(v1::RuntimeConfigRequest {}))?;
    // The enum's zero is systemd: an empty answer would be a wrong one.
    ensure!(config.linux.context("a linux part")?.cgroup_driver() == v1::CgroupDriver::Cgroupfs);
    w.finish()
}

fn life_of_a_pod() -> Result<()> {
    let w = world()?;
    let pod = w.pod("p")?;
    let status = w.pod_status(&pod)?;
    ensure!(status.state() == PodSandboxState::SandboxReady);
    ensure!(!status.network.context("a network")?.ip.is_empty());
    let id = w.api.create(
        &pod,
        cri::container("c", BUSYBOX, &["sleep", "1000"]),
        w.pod_config("p"),
    )?;
    ensure!(w.api.status(&id)?.state() == ContainerState::ContainerCreated);
    w.api.start(&id)?;
    ensure!(w.api.status(&id)?.state() == ContainerState::ContainerRunning);
    let hostname = w.api.exec(&id, &["hostname"], 5)?;
    ensure!(hostname.stdout == b"p\n", "{hostname:?}");
    w.api.stop(&id, 0)?;
    let status = w.ended(&id)?;
    ensure!(status.exit_code == 137, "{status:?}");
    // Every one of these may be said twice.
    w.api.stop(&id, 0)?;
    w.api.remove(&id)?;
    w.api.remove(&id)?;
    w.api.remove_pod(&pod)?;
    w.api.remove_pod(&pod)?;
    let status = w.api.status(&id);
    ensure!(
        status
            .as_ref()
            .is_err_and(|s| s.code() == tonic::Code::NotFound),
        "{status:?}"
    );
    w.finish()
}

fn containers_of_a_pod_share_its_network() -> Result<()> {
    let w = world()?;
    let pod = w.pod("p")?;
    w.started(&pod, "p", "web", &["httpd", "-f", "-h", "/var/www"])?;
    let other = w.started(&pod, "p", "other", &["sleep", "1000"])?;
    let ip = w.pod_status(&pod)?.network.context("a network")?.ip;
    web::get_when_up(&w.node.net, &format!("{ip}:80"))?;
    let page = w
        .api
        .exec(&other, &["wget", "-qO-", "http://127.0.0.1/"], 5)?;
    ensure!(
        String::from_utf8_lossy(&page.stdout).contains("hello"),
        "{page:?}"
    );
    let processes = w
        .api
        .exec(&other, &["sh", "-c", "ps | grep -c '[h]ttpd'"], 5)?;
    ensure!(
        processes.stdout == b"0\n",
        "a PID namespace each: {processes:?}"
    );
    // A stopped pod takes its containers with it.
    w.api
        .wait(w.api.runtime().stop_pod_sandbox(v1::StopPodSandboxRequest {
            pod_sandbox_id: pod.clone(),
        }))?;
    ensure!(w.pod_status(&pod)?.state() == PodSandboxState::SandboxNotready);
    w.ended(&other)?;
    w.finish()
}

fn logs_are_cris() -> Result<()> {
    let w = world()?;
    let pod = w.pod("p")?;
    let id = w.started(
        &pod,
        "p",
        "l",
        &["sh", "-c", "echo one; echo two >&2; printf three"],
    )?;
    w.ended(&id)?;
    let log = w.log("l");
    let mut tails: Vec<&str> = log
        .lines()
        .filter_map(|l| l.split_once(' '))
        .map(|(_, tail)| tail)
        .collect();
    tails.sort_unstable();
    ensure!(
        tails == ["stderr F two", "stdout F one", "stdout P three"]
            || tails == ["stderr F two", "stdout F one", "stdout F three"],
        "{log}"
    );
    // After a rotation the file is there before the call returns, and new lines go into it.
    let id = w.started(
        &pod,
        "p",
        "r",
        &["sh", "-c", "while :; do echo tick; sleep 0.1; done"],
    )?;
    wait::until("a line", Duration::from_secs(5), || {
        w.log("r").contains("tick")
    })?;
    std::fs::rename(w.logs.join("r.log"), w.logs.join("r.log.1"))?;
    w.api.wait(
        w.api
            .runtime()
            .reopen_container_log(v1::ReopenContainerLogRequest {
                container_id: id.clone(),
            }),
    )?;
    ensure!(
        w.logs.join("r.log").is_file(),
        "reopen makes the file before it answers"
    );
    wait::until("a line in the new file", Duration::from_secs(5), || {
        w.log("r").contains("tick")
    })?;
    w.finish()
}

fn exec_sync_answers_and_ends() -> Result<()> {
    let w = world()?;
    let pod = w.pod("p")?;
    let id = w.started(&pod, "p", "c", &["sleep", "1000"])?;
    let ran = w
        .api
        .exec(&id, &["sh", "-c", "echo out; echo err >&2; exit 3"], 5)?;
    ensure!(
        (ran.exit_code, ran.stdout.as_slice(), ran.stderr.as_slice())
            == (3, b"out\n".as_slice(), b"err\n".as_slice()),
        "{ran:?}"
    );
    let late = w.api.exec(&id, &["sh", "-c", "sleep 77 & sleep 78"], 1);
    ensure!(
        late.as_ref()
            .is_err_and(|s| s.code() == tonic::Code::DeadlineExceeded),
        "{late:?}"
    );
    let left = w
        .api
        .exec(&id, &["sh", "-c", "ps | grep -c '[s]leep 7'"], 5)?;
    ensure!(left.stdout == b"0\n", "the whole tree is killed: {left:?}");
    let missing = w.api.exec(&id, &["no-such-program"], 5);
    ensure!(
        missing.as_ref().is_err() || missing.as_ref().is_ok_and(|r| r.exit_code == 127),
        "{missing:?}"
    );
    w.finish()
}

fn exits_are_reported() -> Result<()> {
    let w = world()?;
    let pod = w.pod("p")?;
    for (name, command, code, reason) in [
        ("good", "exit 0", 0, "Completed"),
        ("bad", "exit 12", 12, "Error"),
    ] {
        let id = w.started(&pod, "p", name, &["sh", "-c", command])?;
        let status = w.ended(&id)?;
        ensure!(
            status.exit_code == code && status.reason == reason,
            "{name}: {status:?}"
        );
        ensure!(
            status.finished_at >= status.started_at && status.started_at >= status.created_at,
            "{status:?}"
        );
    }
    let mut hungry = cri::container(
        "oom",
        BUSYBOX,
        &["sh", "-c", "x=a; while :; do x=$x$x; done"],
    );
    hungry.linux = Some(v1::LinuxContainerConfig {
        resources: Some(v1::LinuxContainerResources {
            memory_limit_in_bytes: 16 << 20,
            ..Default::default()
        }),
        ..Default::default()
    });
    let id = w.api.create(&pod, hungry, w.pod_config("p"))?;
    w.api.start(&id)?;
    let status = w.ended(&id)?;
    ensure!(
        status.exit_code == 137 && status.reason == "OOMKilled",
        "{status:?}"
    );
    w.finish()
}

fn lists_are_filtered() -> Result<()> {
    let w = world()?;
    let mut config = w.pod_config("one");
    config.labels.insert("app".into(), "a".into());
    let one = w.api.run_pod(config)?;
    let two = w.pod("two")?;
    let c = w.started(&two, "two", "c", &["sleep", "1000"])?;
    let pods = |filter| -> Result<Vec<String>> {
        let request = v1::ListPodSandboxRequest {
            filter: Some(filter),
        };
        let mut ids: Vec<_> = w
            .api
            .wait(w.api.runtime().list_pod_sandbox(request))?
            .items
            .into_iter()
            .map(|p| p.id)
            .collect();
        ids.sort();
        Ok(ids)
    };
    ensure!(pods(v1::PodSandboxFilter::default())?.len() == 2);
    let labels = [("app".to_owned(), "a".to_owned())].into();
    ensure!(
        pods(v1::PodSandboxFilter {
            label_selector: labels,
            ..Default::default()
        })? == std::slice::from_ref(&one)
    );
    ensure!(
        pods(v1::PodSandboxFilter {
            id: two[..10].to_owned(),
            ..Default::default()
        })? == std::slice::from_ref(&two)
    );
    let containers = |filter| -> Result<usize> {
        let request = v1::ListContainersRequest {
            filter: Some(filter),
        };
        Ok(w.api
            .wait(w.api.runtime().list_containers(request))?
            .containers
            .len())
    };
    ensure!(
        containers(v1::ContainerFilter {
            pod_sandbox_id: one,
            ..Default::default()
        })? == 0
    );
    ensure!(
        containers(v1::ContainerFilter {
            pod_sandbox_id: two,
            ..Default::default()
        })? == 1
    );
    let exited = Some(v1::ContainerStateValue {
        state: ContainerState::ContainerExited.into(),
    });
    ensure!(
        containers(v1::ContainerFilter {
            id: c,
            state: exited,
            ..Default::default()
        })? == 0
    );
    w.finish()
}

fn retries_join() -> Result<()> {
    let w = world()?;
    let pod = w.pod("p")?;
    ensure!(w.pod("p")? == pod, "the same request is the same pod");
    let mut other = w.pod_config("p");
    other.hostname = "different".into();
    let conflict = w.api.run_pod(other);
    ensure!(
        conflict
            .as_ref()
            .is_err_and(|s| s.code() == tonic::Code::AlreadyExists),
        "{conflict:?}"
    );
    let config = cri::container("c", BUSYBOX, &["sleep", "1000"]);
    let id = w.api.create(&pod, config.clone(), w.pod_config("p"))?;
    ensure!(w.api.create(&pod, config, w.pod_config("p"))? == id);
    w.api.start(&id)?;
    w.finish()
}

fn images_through_cri() -> Result<()> {
    let w = world()?;
    let list = w
        .api
        .wait(w.api.images().list_images(v1::ListImagesRequest::default()))?
        .images;
    ensure!(
        list.len() == 1 && list[0].repo_tags == ["docker.io/library/busybox:latest"],
        "{list:?}"
    );
    ensure!(
        list[0].id.starts_with("sha256:") && list[0].size > 0,
        "{list:?}"
    );
    for name in [
        "busybox",
        "docker.io/library/busybox:latest",
        list[0].id.as_str(),
    ] {
        let image = Some(v1::ImageSpec {
            image: name.to_owned(),
            ..Default::default()
        });
        let status = w
            .api
            .wait(w.api.images().image_status(v1::ImageStatusRequest {
                image,
                verbose: false,
            }))?;
        ensure!(
            status.image.as_ref().is_some_and(|i| i.id == list[0].id),
            "{name}: {status:?}"
        );
    }
    let image = Some(v1::ImageSpec {
        image: "nothing/like:this".into(),
        ..Default::default()
    });
    let status = w
        .api
        .wait(w.api.images().image_status(v1::ImageStatusRequest {
            image: image.clone(),
            verbose: false,
        }))?;
    ensure!(
        status.image.is_none(),
        "an image that is not there is an empty answer, not an error"
    );
    w.api.wait(
        w.api
            .images()
            .remove_image(v1::RemoveImageRequest { image }),
    )?;
    let info = w
        .api
        .wait(w.api.images().image_fs_info(v1::ImageFsInfoRequest {}))?;
    ensure!(
        info.image_filesystems.len() == 1 && info.image_filesystems[0].used_bytes.is_some(),
        "{info:?}"
    );
    // What Docker has claimed is not kubelet's to remove.
    ensure!(list[0].pinned, "{list:?}");
    w.finish()
}

fn the_rest_is_unimplemented() -> Result<()> {
    let w = world()?;
    let answer = w.api.wait(
        w.api
            .runtime()
            .checkpoint_container(v1::CheckpointContainerRequest::default()),
    );
    ensure!(
        answer
            .as_ref()
            .is_err_and(|s| s.code() == tonic::Code::Unimplemented),
        "{answer:?}"
    );
    w.finish()
}
