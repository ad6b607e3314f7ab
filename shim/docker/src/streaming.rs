//! Everything that is not one request and one answer: taken-over connections, framed output, lines of JSON.

pub(crate) mod detach;
pub(crate) mod frame;
pub(crate) mod head;
pub(crate) mod hijack;
pub(crate) mod lines;
pub(crate) mod peer;
pub(crate) mod tap;

pub(crate) use peer::{Peer, SharedStream};
pub(crate) use tap::Tap;
