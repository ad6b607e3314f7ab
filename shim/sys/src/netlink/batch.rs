//! A list of requests to be sent in one system call, each with the words for its error.

use super::message::Buffer;

const NLM_F_REQUEST: u16 = 1;

/// Requests in the order in which the kernel shall do them.
///
/// rtnetlink goes on after a refused request: what follows must not depend on more than its
/// idempotence. nf_tables batches are transactions instead (see `nft::Transaction`).
#[derive(Debug, Default, Clone)]
pub struct Batch {
    pub(super) buffer: Buffer,
    pub(super) requests: Vec<Request>,
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) offset: usize,
    pub(super) what: String,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True if nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The encoded messages, for tests.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Adds a request. `what` names the action and its object for the error message; sequence
    /// number and ack flag are set when it is sent.
    pub fn request(
        &mut self,
        what: impl Into<String>,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Buffer),
    ) {
        let offset = self.buffer.message(kind, flags | NLM_F_REQUEST, 0, body);
        self.requests.push(Request {
            offset,
            what: what.into(),
        });
    }
}
