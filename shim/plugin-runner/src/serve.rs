//! The runner's side: opens one library, serves each connection on a thread of its own until control ends.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_plugin_loader::{Copied, Descriptor, HostServices, Instance, Invocation, Level};

use crate::wire::{self, CallHead, Control, Frame, LogLine, Opened, ReplyHead};

/// Longest log line of a plugin that is passed on.
const MAX_LOG: usize = 16 * 1024;

/// Serves one plugin until `control` ends. Calls that hang end with the process.
///
/// # Errors
/// When control breaks or says something else than it should.
pub fn serve(control: UnixStream) -> io::Result<()> {
    let Some(frame) = wire::recv::<Control>(&control)? else {
        return Ok(());
    };
    let Control::Open {
        library,
        secrets,
        deadline_ms,
    } = frame.head
    else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "control must open a library first",
        ));
    };
    let call = Invocation {
        operation: "open",
        deadline_ms,
        json: &frame.payload,
        ..Invocation::default()
    };
    let instance = match open(library.into(), secrets.into(), call) {
        Ok(instance) => Arc::new(instance),
        Err(error) => {
            return wire::send(
                &control,
                &Opened {
                    error,
                    ..Opened::default()
                },
                &[],
                &[],
            );
        }
    };
    let library = instance.library();
    let (version, capabilities) = (library.version.clone(), library.capabilities.clone());
    wire::send(
        &control,
        &Opened {
            error: String::new(),
            version,
            capabilities,
        },
        &[],
        &[],
    )?;
    while let Some(mut frame) = wire::recv::<Control>(&control)? {
        let (Control::Connect, Some(fd)) = (frame.head, frame.fds.pop()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "control must hand over a connection",
            ));
        };
        let instance = Arc::clone(&instance);
        std::thread::Builder::new()
            .name("call".into())
            .spawn(move || connection(&instance, &fd.into()))?;
    }
    Ok(())
}

fn open(path: PathBuf, secrets: PathBuf, call: Invocation<'_>) -> Result<Instance, String> {
    let copied = Copied::at(&path).map_err(|error| error.to_string())?;
    let library = copied.open().map_err(|error| error.to_string())?;
    library
        .open(Arc::new(Services { secrets }), call)
        .map_err(|reply| format!("{}: {}", reply.code.as_str(), reply.message))
}

/// One connection: one call after the other. Its end, of whatever kind, is the host's to notice.
fn connection(instance: &Instance, socket: &UnixStream) {
    while let Ok(Some(frame)) = wire::recv::<CallHead>(socket) {
        if answer(instance, socket, frame).is_err() {
            return;
        }
    }
}

fn answer(instance: &Instance, socket: &UnixStream, frame: Frame<CallHead>) -> io::Result<()> {
    let Frame {
        head,
        payload,
        mut fds,
    } = frame;
    let cancel = if head.cancel { fds.pop() } else { None };
    if fds.len() != head.given.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let descriptor = |(fd, given): (OwnedFd, bool)| {
        let fd = Arc::new(fd);
        if given {
            Descriptor::Given(fd)
        } else {
            Descriptor::Lent(fd)
        }
    };
    let call = Invocation {
        operation: &head.operation,
        deadline_ms: head.deadline_ms,
        cancel: cancel.as_ref().map(AsFd::as_fd),
        json: &payload,
        fds: fds.into_iter().zip(head.given).map(descriptor).collect(),
    };
    let reply = instance.call(&head.table, &head.function, call);
    let head = ReplyHead {
        outcome: reply.outcome as u32,
        code: reply.code as u32,
        message: reply.message,
    };
    let fds: Vec<BorrowedFd<'_>> = reply.fds.iter().map(AsFd::as_fd).collect();
    wire::send(socket, &head, &reply.json, &fds)
}

struct Services {
    secrets: PathBuf,
}

impl HostServices for Services {
    fn log(&self, operation: Option<&str>, level: Level, message: &str) {
        let level = match level {
            Level::Error => 1,
            Level::Warn => 2,
            Level::Info => 3,
            Level::Debug => 4,
        };
        let message: String = message.chars().take(MAX_LOG).collect();
        let line = LogLine {
            operation: operation.map(str::to_owned),
            level,
            message,
        };
        if let Ok(mut line) = serde_json::to_vec(&line) {
            line.push(b'\n');
            // A host that is gone reads no logs; control tells us soon.
            let _ = io::stdout().lock().write_all(&line);
        }
    }

    fn secret(&self, name: &str) -> io::Result<Vec<u8>> {
        crate::secret(&self.secrets, name)
    }

    fn netns_socket(
        &self,
        netns: BorrowedFd<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> io::Result<OwnedFd> {
        gantry_sys::netns_socket::open(netns, domain, kind, protocol)
            .map_err(|error| io::Error::from_raw_os_error(error.errno() as i32))
    }
}
