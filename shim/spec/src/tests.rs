//! Whole configurations from small inputs.

use super::*;
use gantry_model::container::{Container, ContainerSpec, SeccompSpec, UserSpec};
use gantry_model::image::{Descriptor, ImageConfig, Origin};
use gantry_model::state::State;
use gantry_model::supervisor::LogSink;
use std::path::Path;

fn container(spec: ContainerSpec) -> Container {
    Container {
        id: serde_json::from_value(serde_json::json!("a".repeat(64))).unwrap(),
        origin: Origin::Docker,
        name: "c".into(),
        cri_name: String::new(),
        attempt: 0,
        pod: None,
        created_at: gantry_model::Timestamp::default(),
        spec,
        door_data: String::new(),
        image_name: String::new(),
        image: Descriptor::default(),
        image_config: String::new(),
        snapshotter: String::new(),
        state: State::Created,
        run: None,
        restart: Default::default(),
        volumes: Vec::new(),
        log_path: String::new(),
        log: LogSink::None,
        hosts_path: String::new(),
        hostname_path: String::new(),
        resolv_path: String::new(),
        goes_with_volumes: false,
    }
}

fn image() -> ImageConfig {
    ImageConfig {
        cmd: Some(vec!["sh".into()]),
        env: vec!["PATH=/bin".into(), "A=1".into()],
        working_dir: "work".into(),
        user: "app:staff".into(),
        ..ImageConfig::default()
    }
}

fn with<T>(spec: ContainerSpec, binds: &[Bind], f: impl FnOnce(&Input<'_>) -> T) -> T {
    let (container, image) = (container(spec), image());
    f(&Input {
        container: &container,
        image: &image,
        hostname: "host",
        network: NamespaceMode::Own,
        ipc: NamespaceMode::Own,
        uts: NamespaceMode::Own,
        pid: PidMode::Container,
        binds,
        host: HostFacts {
            capabilities: u64::MAX,
            cgroup_version: 1,
        },
    })
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn an_image_alone_gives_a_confined_process() {
    let spec = with(ContainerSpec::default(), &[], |i| {
        container_spec(i).unwrap()
    });
    let process = spec.process().clone().unwrap();
    assert_eq!(process.args().clone().unwrap(), ["sh"]);
    assert_eq!(process.cwd(), Path::new("/work"));
    assert_eq!(
        process.env().clone().unwrap(),
        ["PATH=/bin", "HOSTNAME=host", "A=1"]
    );
    assert_eq!(process.user().username().as_deref(), Some("app:staff"));
    let linux = spec.linux().clone().unwrap();
    assert!(linux.seccomp().is_some());
    assert_eq!(linux.masked_paths().clone().unwrap().len(), 13);
    assert_eq!(linux.namespaces().clone().unwrap().len(), 6);
    let caps = process.capabilities().clone().unwrap();
    assert_eq!(caps.bounding().clone().unwrap().len(), 14);
    assert!(caps.inheritable().is_none() && caps.ambient().is_none());
    let text = with(ContainerSpec::default(), &[], |i| {
        container_config(i).unwrap()
    });
    assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec);
}

#[test]
fn entry_point_and_arguments() {
    let process = |entry: Option<&[&str]>, cmd: &[&str]| {
        let spec = gantry_model::container::ProcessSpec {
            entrypoint: entry.map(strings),
            cmd: Some(strings(cmd)).filter(|c| !c.is_empty()),
            ..Default::default()
        };
        let image = ImageConfig {
            entrypoint: Some(strings(&["e"])),
            cmd: Some(strings(&["c"])),
            ..ImageConfig::default()
        };
        command_line(&spec, &image)
    };
    assert_eq!(process(None, &[]).unwrap(), ["e", "c"]);
    assert_eq!(process(None, &["x"]).unwrap(), ["e", "x"]);
    assert_eq!(process(Some(&["y"]), &[]).unwrap(), ["y"]);
    assert_eq!(process(Some(&["y"]), &["x"]).unwrap(), ["y", "x"]);
    assert_eq!(process(Some(&[""]), &["x"]).unwrap(), ["x"]);
    assert_eq!(
        process(Some(&[""]), &[]).unwrap_err().message,
        "no command specified"
    );
}

#[test]
fn privileged_opens_everything_but_the_namespaces() {
    let mut spec = ContainerSpec::default();
    spec.security.privileged = true;
    let made = with(spec, &[], |i| container_spec(i).unwrap());
    let linux = made.linux().clone().unwrap();
    assert!(linux.seccomp().is_none());
    assert_eq!(linux.masked_paths().clone().unwrap().len(), 0);
    let caps = made
        .process()
        .clone()
        .unwrap()
        .capabilities()
        .clone()
        .unwrap();
    assert_eq!(caps.bounding().clone().unwrap().len(), 41);
    let sys = made
        .mounts()
        .clone()
        .unwrap()
        .into_iter()
        .find(|m| m.destination() == Path::new("/sys"))
        .unwrap();
    assert!(sys.options().clone().unwrap().contains(&"rw".to_owned()));
}

#[test]
fn a_mount_replaces_a_default_and_parents_come_first() {
    let bind = |target: &str| Bind {
        kind: "bind".into(),
        source: "/s".into(),
        target: target.into(),
        options: vec![],
    };
    let binds = [bind("/a/b"), bind("/dev/shm"), bind("/a")];
    let mounts = with(ContainerSpec::default(), &binds, |i| {
        container_spec(i).unwrap()
    })
    .mounts()
    .clone()
    .unwrap();
    let at = |t: &str| {
        mounts
            .iter()
            .position(|m| m.destination() == Path::new(t))
            .unwrap()
    };
    assert!(at("/a") < at("/a/b"));
    let shm: Vec<_> = mounts
        .iter()
        .filter(|m| m.destination() == Path::new("/dev/shm"))
        .collect();
    assert_eq!((shm.len(), shm[0].typ().as_deref()), (1, Some("bind")));
}

#[test]
fn numbers_of_a_pod_win_over_the_image() {
    let mut spec = ContainerSpec::default();
    spec.process.user = UserSpec {
        uid: Some(1000),
        gid: Some(0),
        groups: strings(&["7", "video"]),
        strict_groups: true,
        ..UserSpec::default()
    };
    let user = |spec: ContainerSpec| {
        with(spec, &[], |i| {
            container_spec(i).map(|s| {
                s.process()
                    .clone()
                    .unwrap()
                    .user()
                    .username()
                    .clone()
                    .unwrap()
            })
        })
    };
    assert_eq!(user(spec).unwrap(), "1000;gid=0,!,7,video");
    let mut bad = ContainerSpec::default();
    bad.process.user.user = "a;gid=0".into();
    assert!(user(bad).is_err());
    let mut root = ContainerSpec::default();
    root.process.user.must_not_be_root = true;
    assert!(user(root.clone()).is_err());
    root.process.user.uid = Some(0);
    assert!(user(root.clone()).is_err());
    root.process.user.uid = Some(5);
    assert_eq!(user(root).unwrap(), "5");
}

#[test]
fn environment_is_replaced_in_place_and_taken_away() {
    let mut spec = ContainerSpec::default();
    spec.process.env = strings(&["A=2", "B=3", "HOSTNAME"]);
    let env = with(spec, &[], environment);
    assert_eq!(env, ["PATH=/bin", "A=2", "B=3"]);
}

#[test]
fn an_exec_adds_to_the_container() {
    let command = strings(&["id"]);
    let env = strings(&["X=1"]);
    let exec = ExecInput {
        command: &command,
        env: &env,
        terminal: true,
        ..ExecInput::default()
    };
    let text = with(ContainerSpec::default(), &[], |i| {
        exec_process(i, &exec).unwrap()
    });
    let process: Process = serde_json::from_str(&text).unwrap();
    assert_eq!(process.args().clone().unwrap(), ["id"]);
    assert_eq!(
        process.env().clone().unwrap(),
        ["PATH=/bin", "HOSTNAME=host", "A=1", "TERM=xterm", "X=1"]
    );
    assert_eq!(
        (process.cwd().as_path(), process.terminal()),
        (Path::new("/work"), Some(true))
    );
    assert!(
        with(ContainerSpec::default(), &[], |i| exec_process(
            i,
            &ExecInput::default()
        ))
        .is_err()
    );
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    use gantry_model::ErrorKind as K;
    type Change = fn(&mut ContainerSpec);
    let fail = |change: Change| {
        let mut spec = ContainerSpec::default();
        change(&mut spec);
        with(spec, &[], |i| container_spec(i).unwrap_err())
    };
    let cases: [(Change, K); 5] = [
        (
            |s| s.security.cap_add = vec!["NOPE".into()],
            K::InvalidArgument,
        ),
        (
            |s| s.security.seccomp = SeccompSpec::Profile("{".into()),
            K::InvalidArgument,
        ),
        (
            |s| s.security.apparmor = "localhost/x".into(),
            K::FailedPrecondition,
        ),
        (|s| s.resources.memory = 1, K::InvalidArgument),
        (|s| s.process.user.user = "a\nb".into(), K::InvalidArgument),
    ];
    for (change, kind) in cases {
        assert_eq!(fail(change).kind, kind);
    }
}
