//! Requests, replies and events.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ErrorKind, WireError};
use crate::frame::FrameError;
use crate::types as t;

/// A request as it stands in its frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// Chosen by the client, not 0; comes back in the reply.
    pub id: u64,
    /// Name of the request.
    pub op: String,
    /// The engine's operation, for logs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// What it carries.
    #[serde(default)]
    pub body: Value,
}

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $op:literal),* $(,)?) => {
        /// Everything a client may ask.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $($(#[$doc])* $name($body)),*
        }

        impl Request {
            /// The frame that carries it.
            ///
            /// # Panics
            /// Never: every body has a JSON form.
            pub fn frame(&self, id: u64, operation: &str) -> RequestFrame {
                let (op, body) = match self {
                    $(Self::$name(body) => ($op, serde_json::to_value(body))),*
                };
                RequestFrame {
                    id,
                    op: op.to_owned(),
                    operation: operation.to_owned(),
                    body: body.expect("bodies have string keys"),
                }
            }

            /// Reads a frame's request.
            ///
            /// # Errors
            /// `Unimplemented` for a name this release does not know, `InvalidArgument` for a body that does not fit.
            pub fn of(frame: RequestFrame) -> Result<Self, WireError> {
                match frame.op.as_str() {
                    $($op => serde_json::from_value(frame.body)
                        .map(Self::$name)
                        .map_err(|e| WireError::invalid(format!("request {}: {e}", $op))),)*
                    other => Err(WireError::new(
                        ErrorKind::Unimplemented,
                        format!("this supervisor does not know the request {other:?}"),
                    )),
                }
            }
        }
    };
}

requests! {
    /// First of all.
    Hello(t::Hello) = "hello",
    /// Make the namespaces.
    Prepare(t::Prepare) = "prepare",
    /// From now on the supervisor survives its maker.
    Commit(t::Nothing) = "commit",
    /// The network namespace: the reply carries a descriptor, or none for the host's.
    NetworkNamespace(t::Nothing) = "network_namespace",
    /// Hold ports.
    HoldPorts(t::HoldPorts) = "hold_ports",
    /// Make a container; answered by [`t::Pid`].
    Create(t::Create) = "create",
    /// Let it go; answered by [`t::Time`].
    Start(t::Id) = "start",
    /// Signal.
    Kill(t::Kill) = "kill",
    /// Freeze or thaw.
    SetPaused(t::SetPaused) = "set_paused",
    /// Forget a container.
    Delete(t::Id) = "delete",
    /// Make an exec.
    ExecCreate(t::ExecCreate) = "exec_create",
    /// Let it go; answered by [`t::Pid`].
    ExecStart(t::Id) = "exec_start",
    /// Attach; the reply carries a socket that speaks [`crate::stream`].
    Attach(t::Attach) = "attach",
    /// Terminal size.
    Resize(t::Resize) = "resize",
    /// Close stdin.
    CloseStdin(t::CloseStdin) = "close_stdin",
    /// Open the log anew.
    ReopenLog(t::Id) = "reopen_log",
    /// Figures; answered by [`t::Stats`].
    Stats(t::Id) = "stats",
    /// Processes of a container, its execs' too; answered by [`t::Pids`]. Since 0.2.
    Processes(t::Id) = "processes",
    /// Change limits. Since 0.2.
    Update(t::Update) = "update",
    /// End.
    Shutdown(t::Nothing) = "shutdown",
}

/// What a supervisor says: the answer to a request, or an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request's id; 0 in an event.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub id: u64,
    /// How many descriptors ride on this frame.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub fds: u32,
    /// It went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Value>,
    /// It did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
    /// Told unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
}

impl Reply {
    /// The answer to request `id`.
    ///
    /// # Panics
    /// Never: every answer has a JSON form.
    pub fn to_request<T: Serialize>(id: u64, result: Result<T, WireError>) -> Self {
        match result {
            Ok(body) => Self {
                id,
                ok: Some(serde_json::to_value(body).expect("answers have string keys")),
                ..Self::default()
            },
            Err(error) => Self {
                id,
                error: Some(error),
                ..Self::default()
            },
        }
    }

    /// An event.
    pub fn telling(event: Event) -> Self {
        Self {
            event: Some(event),
            ..Self::default()
        }
    }

    /// Reads one from a frame.
    ///
    /// # Errors
    /// JSON that is no reply.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        Ok(serde_json::from_slice(frame)?)
    }

    /// The answer's body or error.
    ///
    /// # Errors
    /// The supervisor's own, or `Internal` for a body that does not fit.
    pub fn into_result<T: for<'a> Deserialize<'a>>(self) -> Result<T, WireError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        serde_json::from_value(self.ok.unwrap_or(Value::Null))
            .map_err(|e| WireError::internal(format!("read the supervisor's answer: {e}")))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero_u32(n: &u32) -> bool {
    *n == 0
}

/// What a supervisor tells unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A container ended, is on disk and its output drained.
    Exited {
        /// The container.
        id: String,
        /// Its run.
        run: u32,
        /// How.
        exit: t::Exit,
    },
    /// An exec ended and its output is drained.
    ExecExited {
        /// The exec.
        id: String,
        /// How.
        exit: t::Exit,
    },
    /// Something a newer supervisor tells.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests;
