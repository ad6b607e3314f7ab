//! The connections of the door's socket. A host that is out of descriptors neither ends the door nor makes it spin.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::Stream;
use tokio::net::{UnixListener, UnixStream};

/// Between two tries while connections cannot be accepted: waiting ones stay in the socket's queue.
const AGAIN: Duration = Duration::from_millis(100);

/// Every connection; never an error.
pub(crate) fn incoming(
    listener: UnixListener,
) -> impl Stream<Item = Result<UnixStream, Infallible>> {
    futures_util::stream::unfold((listener, false), async |(listener, mut failing)| {
        let stream = loop {
            match listener.accept().await {
                Ok((stream, _)) => break stream,
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "the cri door cannot accept connections; it keeps trying");
                    }
                    failing = true;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        if failing {
            tracing::info!("the cri door accepts connections again");
        }
        Some((Ok(stream), (listener, false)))
    })
}
