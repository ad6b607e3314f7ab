//! An attached client's socket as two bounded channels.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use gantry_model::supervisor::{Attached, Input, Output};
use gantry_model::{Error, Result};
use gantry_supervisor_proto::stream::{Kind, MAX_PAYLOAD, Parser, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// Pieces in each channel. With the socket's own buffer that is what a slow reader may lag behind before the
/// supervisor's patience begins to run.
const DEPTH: usize = 16;

/// How long input that was sent before its client went is passed on.
const LEGACY: Duration = Duration::from_secs(10);

/// Takes the socket that came with the answer.
///
/// # Errors
/// When it cannot be watched.
pub(crate) fn attached(socket: OwnedFd) -> Result<Attached> {
    let failed =
        |e: std::io::Error| Error::internal(format!("take socket of an attached process: {e}"));
    let socket = StdStream::from(socket);
    socket.set_nonblocking(true).map_err(failed)?;
    let (reader, writer) = UnixStream::from_std(socket).map_err(failed)?.into_split();
    let (output_tx, output) = mpsc::channel(DEPTH);
    let (input, input_rx) = mpsc::channel(DEPTH);
    tokio::spawn(async move {
        let mut taking = std::pin::pin!(take(writer, input_rx));
        let mut takes = true;
        {
            let mut giving = std::pin::pin!(give(reader, &output_tx));
            // The first of: output ended, output not wanted any more. The end of input is not the end of the client.
            loop {
                tokio::select! {
                    () = &mut giving => break,
                    () = output_tx.closed() => break,
                    () = &mut taking, if takes => takes = false,
                }
            }
        }
        drop(output_tx);
        if takes {
            // What was said before the client went is still passed on, above all that its input has ended; a process
            // that does not read is not waited for. Then both halves close, which detaches.
            let _ = tokio::time::timeout(LEGACY, taking).await;
        }
    });
    Ok(Attached { output, input })
}

/// Output until the supervisor closes.
async fn give(mut reader: OwnedReadHalf, to: &mpsc::Sender<Output>) {
    let mut parser = Parser::default();
    let mut buffer = vec![0; 32 << 10];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => parser.push(&buffer[..count]),
        }
        loop {
            let (kind, bytes) = match parser.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            let stderr = match kind {
                Kind::Stdout => false,
                Kind::Stderr => true,
                Kind::Stdin | Kind::End => continue,
            };
            if to.send(Output { stderr, bytes }).await.is_err() {
                return;
            }
        }
    }
}

/// Input as long as there is some.
async fn take(mut writer: OwnedWriteHalf, mut from: mpsc::Receiver<Input>) {
    while let Some(input) = from.recv().await {
        let sent = match input {
            Input::Data(bytes) => send(&mut writer, &bytes).await,
            Input::End => writer.write_all(&header(Kind::End, 0)).await,
        };
        if sent.is_err() {
            break;
        }
    }
}

async fn send(writer: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    for piece in bytes.chunks(MAX_PAYLOAD) {
        writer.write_all(&header(Kind::Stdin, piece.len())).await?;
        writer.write_all(piece).await?;
    }
    Ok(())
}
