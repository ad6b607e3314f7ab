//! A supervisor of a release before, played from its recorded transcript, is served by this client.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_model::call::Call;
use gantry_model::container::Resources;
use gantry_model::supervisor::{
    AttachStreams, Attached, ExecLaunch, Output, Supervisor, SupervisorEvent, Target,
};
use gantry_model::{ContainerId, ErrorKind, ExecId, SandboxId};
use gantry_supervisor_proto::files::SOCKET;
use gantry_supervisor_proto::frame::{Decoder, encode};
use gantry_supervisor_proto::stream::{Kind, header};
use gantry_sys::fdpass;
use serde_json::{Value, json};
use std::os::fd::AsFd;
use tokio::sync::mpsc;

use crate::link::Link;
use crate::shim::Shim;

/// What the recorded supervisor answered, by request.
fn answers(transcript: &str) -> HashMap<String, Value> {
    let frames: Vec<(String, Value)> = transcript
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            (
                line["to"].as_str().unwrap().to_owned(),
                line["frame"].clone(),
            )
        })
        .collect();
    let reply = |id: &Value| {
        let of_it = |(to, frame): &&(String, Value)| to == "client" && frame["id"] == *id;
        frames.iter().find(of_it).unwrap().1.clone()
    };
    let requests = frames.iter().filter(|(to, _)| to == "supervisor");
    requests
        .map(|(_, f)| (f["op"].as_str().unwrap().to_owned(), reply(&f["id"])))
        .collect()
}

/// Answers as it did, and unknown requests as a release that does not know them.
fn play(listener: &UnixListener, answers: &HashMap<String, Value>, events: &[Value]) {
    let (mut socket, _) = listener.accept().unwrap();
    let mut decoder = Decoder::default();
    while decoder.read_from(&socket).unwrap_or(false) {
        while let Some(frame) = decoder.next_frame().unwrap() {
            let request: Value = serde_json::from_slice(&frame).unwrap();
            let op = request["op"].as_str().unwrap();
            let mut reply = answers.get(op).cloned().unwrap_or_else(|| {
                let message = format!("this supervisor does not know the request {op:?}");
                json!({"error": {"kind": "unimplemented", "message": message}})
            });
            reply["id"] = request["id"].clone();
            if reply["fds"] == 1 {
                let fd = descriptor(op);
                fdpass::send(&socket, &encode(&reply), &[fd.as_fd()]).unwrap();
            } else {
                socket.write_all(&encode(&reply)).unwrap();
            }
            if op == "hello" {
                for event in events {
                    socket.write_all(&encode(event)).unwrap();
                }
            }
        }
    }
}

/// An attached process that says "hi" and ends, or any descriptor.
fn descriptor(op: &str) -> OwnedFd {
    if op != "attach" {
        return std::fs::File::open("/dev/null").unwrap().into();
    }
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(&header(Kind::Stdout, 2)).unwrap();
    ours.write_all(b"hi").unwrap();
    theirs.into()
}

fn shim(folder: &Path) -> (Shim, mpsc::UnboundedReceiver<SupervisorEvent>) {
    let own = i32::try_from(std::process::id()).unwrap();
    let pidfd = gantry_sys::process::pidfd_open(own).unwrap();
    let (asks, asked) = mpsc::unbounded_channel();
    let (events_tx, events) = mpsc::unbounded_channel();
    let link = Link::new(folder.to_owned(), pidfd, asked, events_tx).unwrap();
    tokio::spawn(link.run());
    let shim = Shim {
        id: SandboxId::parse(&"5".repeat(64)).unwrap(),
        pid: own,
        asks,
        birth: Mutex::new(None),
    };
    (shim, events)
}

fn call() -> Call {
    Call {
        operation: gantry_model::OperationId::from_random([7; 32]),
        timeout: Duration::from_secs(20),
        cancel: gantry_model::call::Cancel::default(),
    }
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("gantry-old-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[tokio::test]
async fn a_supervisor_of_the_first_release_is_served() {
    let text = include_str!("../../supervisor-proto/transcripts/v0.1.jsonl");
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["frame"].clone())
        .filter(|frame| frame.get("event").is_some())
        .collect();
    let folder = folder("v01");
    let listener = UnixListener::bind(folder.join(SOCKET)).unwrap();
    let answers = Arc::new(answers(text));
    let playing = std::thread::spawn(move || play(&listener, &answers, &events));

    let (shim, mut told) = shim(&folder);
    let (call, id) = (call(), ContainerId::parse(&"c".repeat(64)).unwrap());
    let exec = ExecId::parse(&"e".repeat(64)).unwrap();
    let exited = told.recv().await.unwrap();
    assert!(
        matches!(&exited, SupervisorEvent::ExecExited { exit, .. } if exit.timed_out && exit.code == 137),
        "{exited:?}"
    );
    assert!(matches!(
        told.recv().await,
        Some(SupervisorEvent::Exited { run: 1, .. })
    ));
    shim.commit(&call).await.unwrap();
    assert!(shim.network_namespace(&call).await.unwrap().is_some());
    assert_eq!(
        shim.start(&call, &id).await.unwrap().0,
        1_780_000_000_000_000_000
    );
    shim.kill(&call, &id, 15, false).await.unwrap();
    let launch = ExecLaunch {
        id: exec.clone(),
        container: id.clone(),
        process: "{}".into(),
        terminal: false,
        stdin: false,
        timeout_ms: 1,
        tied: true,
        output_limit: 1,
    };
    shim.exec_create(&call, &launch).await.unwrap();
    assert_eq!(shim.exec_start(&call, &exec).await.unwrap(), 4713);
    let target = Target::Exec(exec);
    let attached = shim.attach(&call, &target, AttachStreams::default()).await;
    let Attached { mut output, .. } = attached.unwrap();
    let hi = Output {
        stderr: false,
        bytes: b"hi".to_vec(),
    };
    assert_eq!(output.recv().await, Some(hi));
    let stats = shim.stats(&call, &id).await.unwrap();
    assert_eq!((stats.cpu_total, stats.pids_limit), (2, 9));
    assert!(stats.cpu_per_core.is_empty() && stats.interfaces.is_empty());

    let late = shim.processes(&call, &id).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Unimplemented);
    let late = shim.update(&call, &id, &Resources::default()).await;
    let late = late.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Unimplemented);
    assert!(late.message.contains("older release"), "{late}");
    shim.delete(&call, &id).await.unwrap();
    drop(shim);
    tokio::task::spawn_blocking(move || playing.join().unwrap())
        .await
        .unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
