//! A whole supervisor in a thread, with the host's namespaces and no container, so that no root is needed.

use super::*;
use gantry_supervisor_proto::frame::{Decoder, encode};
use gantry_supervisor_proto::types::{Create, HoldPorts, Id, Namespace, Nothing, PidMode, Port};
use gantry_supervisor_proto::{ErrorKind, Request};
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

struct Running {
    folder: PathBuf,
    /// The maker's end.
    pipe: Option<OwnedFd>,
    thread: JoinHandle<Result<(), String>>,
}

fn start(name: &str) -> Running {
    let folder = std::env::temp_dir().join(format!("gantry-shim-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let listener = UnixListener::bind(folder.join("shim.sock")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (theirs, ours) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let birth = Birth {
        id: "5".repeat(64),
        folder: folder.clone(),
        lock: std::fs::File::create(folder.join("lock")).unwrap().into(),
        pipe: theirs,
        listener,
    };
    Running {
        folder,
        pipe: Some(ours),
        thread: std::thread::spawn(move || Supervisor::serve(birth)),
    }
}

struct Asker {
    socket: UnixStream,
    decoder: Decoder,
    next: u64,
}

impl Asker {
    fn connect(running: &Running) -> Self {
        Self {
            socket: UnixStream::connect(running.folder.join("shim.sock")).unwrap(),
            decoder: Decoder::default(),
            next: 1,
        }
    }

    fn send(&mut self, request: &Request) {
        let frame = encode(&request.frame(self.next, ""));
        self.next += 1;
        self.socket.write_all(&frame).unwrap();
    }

    fn ask(&mut self, request: &Request) -> Result<(), WireError> {
        self.send(request);
        self.answer()
    }

    fn answer(&mut self) -> Result<(), WireError> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                let reply = Reply::decode(&frame).unwrap();
                assert_eq!(reply.id + 1, self.next);
                return reply.into_result::<Nothing>().map(drop);
            }
            assert!(self.decoder.read_from(&self.socket).unwrap(), "hung up");
        }
    }
}

fn prepare() -> Request {
    Request::Prepare(Prepare {
        network: Namespace::Host,
        ipc: Namespace::Host,
        uts: Namespace::Host,
        pid: PidMode::Host,
        ..Prepare::default()
    })
}

fn kind(result: Result<(), WireError>) -> ErrorKind {
    result.unwrap_err().kind
}

#[test]
fn a_maker_that_dies_before_committed_leaves_nothing() {
    let mut running = start("abort");
    Asker::connect(&running).ask(&prepare()).unwrap();
    running.pipe = None;
    assert_eq!(running.thread.join().unwrap(), Ok(()));
    assert!(!running.folder.try_exists().unwrap());
}

#[test]
fn committed_is_read_before_the_hang_up_is_obeyed() {
    let mut running = start("commit");
    let mut asker = Asker::connect(&running);
    asker.ask(&prepare()).unwrap();
    // Both are there when it looks.
    asker.send(&Request::Commit(Nothing {}));
    running.pipe = None;
    drop(asker);
    let mut asker = Asker::connect(&running);
    asker
        .ask(&Request::Hello(
            gantry_supervisor_proto::types::Hello::default(),
        ))
        .unwrap();
    let state = files::read_state(&running.folder).unwrap();
    assert!(state.committed && state.boot_id == files::boot_id().unwrap());
    asker.ask(&Request::Shutdown(Nothing {})).unwrap();
    assert_eq!(running.thread.join().unwrap(), Ok(()));
    assert!(!running.folder.try_exists().unwrap());
}

#[test]
fn requests_out_of_place_are_refused_by_kind() {
    let running = start("refuse");
    let mut asker = Asker::connect(&running);
    let create = |id: &str| {
        Request::Create(Create {
            id: id.to_owned(),
            config: "{}".to_owned(),
            ..Create::default()
        })
    };
    assert_eq!(kind(asker.ask(&create("c"))), ErrorKind::FailedPrecondition);
    assert_eq!(
        kind(asker.ask(&Request::Commit(Nothing {}))),
        ErrorKind::FailedPrecondition
    );
    asker.ask(&prepare()).unwrap();
    assert_eq!(kind(asker.ask(&prepare())), ErrorKind::AlreadyExists);
    for bad in ["", "../x", "a/b", "a.exit"] {
        assert_eq!(
            kind(asker.ask(&create(bad))),
            ErrorKind::InvalidArgument,
            "{bad:?}"
        );
    }
    assert_eq!(
        kind(asker.ask(&create("c"))),
        ErrorKind::InvalidArgument,
        "no configuration"
    );
    let id = || Id { id: "c".into() };
    for request in [
        Request::Start(id()),
        Request::Delete(id()),
        Request::Stats(id()),
        Request::ExecStart(id()),
    ] {
        assert_eq!(
            kind(asker.ask(&request)),
            ErrorKind::NotFound,
            "{request:?}"
        );
    }
    let ports = vec![Port {
        protocol: "tcp".into(),
        address: "::1".into(),
        port: 1,
    }];
    assert_eq!(
        kind(asker.ask(&Request::HoldPorts(HoldPorts { ports }))),
        ErrorKind::Unimplemented
    );
    let left: Vec<_> = std::fs::read_dir(&running.folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 4, "lock, socket and the two states: {left:?}");
    asker.ask(&Request::Shutdown(Nothing {})).unwrap();
    assert_eq!(running.thread.join().unwrap(), Ok(()));
}

/// What a client of each release said then is understood now: no request of its is unknown or misread.
#[test]
fn clients_of_every_release_are_served() {
    for (release, text) in [
        (
            "v0.1",
            include_str!("../../../supervisor-proto/transcripts/v0.1.jsonl"),
        ),
        (
            "v0.2",
            include_str!("../../../supervisor-proto/transcripts/v0.2.jsonl"),
        ),
    ] {
        let running = start(&format!("old-{release}"));
        let mut asker = Asker::connect(&running);
        let frames = text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let to = line["to"].as_str().unwrap().to_owned();
            (to, line["frame"].clone())
        });
        for (_, mut frame) in frames.filter(|(to, _)| to == "supervisor") {
            let op = frame["op"].as_str().unwrap().to_owned();
            if op == "prepare" {
                // As recorded, but with nothing that needs root.
                for part in ["network", "ipc", "uts", "pid"] {
                    frame["body"][part] = "host".into();
                }
                for part in ["sysctls", "cgroup", "own_cgroup", "netns_link"] {
                    frame["body"].as_object_mut().unwrap().remove(part);
                }
            }
            asker.socket.write_all(&encode(&frame)).unwrap();
            asker.next = frame["id"].as_u64().unwrap() + 1;
            if let Err(error) = asker.answer() {
                let misread = matches!(error.kind, ErrorKind::Unimplemented)
                    || error.message.contains("request ");
                assert!(!misread, "{release} {op}: {error}");
            }
        }
        assert_eq!(running.thread.join().unwrap(), Ok(()), "{release}");
    }
}

#[test]
fn whoever_sends_no_frames_is_hung_up_on_and_others_go_on() {
    let running = start("noise");
    let mut noise = Asker::connect(&running);
    noise.socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(!noise.decoder.read_from(&noise.socket).unwrap_or(false));
    let mut asker = Asker::connect(&running);
    asker.ask(&prepare()).unwrap();
    asker.ask(&Request::Shutdown(Nothing {})).unwrap();
    assert_eq!(running.thread.join().unwrap(), Ok(()));
}
