//! The accepted socket, shared between the HTTP code and whoever must notice that the client has gone.
//!
//! A client may shut down its sending side and still read: end of input is not "gone". Only a socket closed from the
//! other end (EPOLLHUP, unix(7)) is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// How often a half-closed connection is looked at. Readiness to write is level-triggered, so it cannot be awaited.
const LOOK: Duration = Duration::from_millis(500);

/// How long a client may take to read a head before it is sent more.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long and how much input is read away behind a request that was refused unread.
const WIND_DOWN: Duration = Duration::from_millis(500);
const MAX_AWAY: usize = 4 << 20;

/// The other end of a connection.
pub(crate) trait Peer: Send + Sync {
    /// Ends when the client has closed the connection altogether. Cancel safe.
    fn gone(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Ends when the client has read all that was sent, or after a while. Clients that read an answer's head through a
    /// buffer of their own and the rest beside it (docker-py) lose what comes together with the head.
    fn caught_up(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Reads away what the client still sends, for a while: closing a socket with unread input makes its other end lose
    /// the answer that says what was wrong (a head that is too long, no HTTP at all).
    fn read_away(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A connected socket with many owners; it closes when the last one drops it.
#[derive(Clone)]
pub(crate) struct SharedStream(Arc<UnixStream>);

impl SharedStream {
    /// Takes an accepted socket.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self(Arc::new(stream))
    }
}

impl Peer for SharedStream {
    fn gone(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                // Nothing to look at while the client neither sends nor closes: an idle connection wakes nobody.
                if self.0.ready(Interest::READABLE).await.is_err() {
                    return;
                }
                // First, too: a client that asks and goes away at once is still obeyed.
                tokio::time::sleep(LOOK).await;
                match self.0.ready(Interest::WRITABLE).await {
                    Ok(ready) if !ready.is_write_closed() => {}
                    _ => return,
                }
            }
        })
    }

    fn caught_up(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let end = tokio::time::Instant::now() + PATIENCE;
            // Nobody tells when the other end reads, so it is looked at.
            while gantry_sys::socket_queue::unread_by_peer(&*self.0).is_ok_and(|size| size > 0)
                && tokio::time::Instant::now() < end
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    fn read_away(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let mut stream = self.clone();
            let reading = async {
                let mut buffer = vec![0; 16 << 10];
                let mut left = MAX_AWAY;
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    left = left.saturating_sub(read);
                    if left == 0 {
                        return;
                    }
                }
            };
            drop(tokio::time::timeout(WIND_DOWN, reading).await);
        })
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        use std::os::fd::AsFd;
        // shutdown(2) acts on the socket, not on the descriptor, so a duplicate does it for all owners.
        let twin = self.0.as_fd().try_clone_to_owned()?;
        let result = std::os::unix::net::UnixStream::from(twin).shutdown(std::net::Shutdown::Write);
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_half_closed_client_is_not_gone() {
        let (client, server) = UnixStream::pair().unwrap();
        let mut server = SharedStream::new(server);
        let mut client = client;
        client.write_all(b"in").await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "in");
        let still = tokio::time::timeout(Duration::from_millis(50), server.gone()).await;
        assert!(still.is_err(), "half-closed only");
        server.write_all(b"out").await.unwrap();
        drop(client);
        tokio::time::timeout(Duration::from_secs(10), server.gone())
            .await
            .expect("closed altogether");
    }
}
