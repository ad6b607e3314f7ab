//! The connection between the socket and the HTTP library, with a [`Follower`] on the requests and an eye on the first
//! line of answers to a takeover.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::Follower;

const CHUNK: usize = 8 << 10;
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n";
const PLAIN_OK: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// A connection that is listened in on.
pub(crate) struct Tap<I> {
    inner: I,
    follower: Follower,
    input: BytesMut,
    scratch: Vec<u8>,
    ended: bool,
    output: Bytes,
}

impl<I> Tap<I> {
    /// Around this connection.
    pub(crate) fn new(inner: I) -> Self {
        Self {
            inner,
            follower: Follower::new(),
            input: BytesMut::new(),
            scratch: vec![0; CHUNK],
            ended: false,
            output: Bytes::new(),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Tap<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.input.is_empty() {
                let take = this.input.len().min(buf.remaining());
                buf.put_slice(&this.input.split_to(take));
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            let mut piece = ReadBuf::new(&mut this.scratch);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                this.ended = true;
                this.follower.end(&mut this.input);
            } else {
                let piece = Bytes::copy_from_slice(piece.filled());
                this.follower.feed(piece, &mut this.input);
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> Tap<I> {
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.output.has_remaining() {
            let wrote = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.output))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(wrote);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Tap<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_held(cx))?;
        if let Some(asked) = this.follower.asked()
            && buf.starts_with(b"HTTP/1.1 ")
            // An interim answer (100 Continue) comes before the answer.
            && buf.get(9..12) != Some(b"100")
        {
            let taken = buf.starts_with(SWITCHING);
            this.follower.answered(taken);
            if taken && asked.plain {
                this.output = Bytes::from_static(PLAIN_OK);
                let _ = this.poll_held(cx)?;
                return Poll::Ready(Ok(SWITCHING.len()));
            }
        }
        Pin::new(&mut this.inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_held(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_held(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
