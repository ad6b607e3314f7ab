//! Real HTTP over an in-memory connection: takeovers that say so, those that do not, and what follows a refused one.

use std::convert::Infallible;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::DuplexStream;

use super::*;
use crate::query::Query;
use crate::streaming::Tap;
use crate::version::NEWEST;

struct Stays;

impl Peer for Stays {
    fn gone(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn caught_up(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn read_away(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// A server whose `attach` echoes stdin as stdout in capitals after the word "ready" on stderr, until stdin ends; every
/// other path is 404.
fn serve(terminal: bool) -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 << 10);
    let service = service_fn(move |http: Request<Incoming>| async move {
        if !http.uri().path().ends_with("/yes/attach") {
            let failure = crate::response::Failure::new(StatusCode::NOT_FOUND, "no");
            return Ok::<_, Infallible>(failure.into_response());
        }
        let mut req = Req {
            args: vec![],
            query: Query::default(),
            version: NEWEST,
            peer: Arc::new(Stays),
            http,
        };
        let hijack = Hijack::new(&mut req, terminal);
        let answer = hijack.answer();
        tokio::spawn(hijack.pump(Some(echo()), true, Bytes::new(), async {}));
        Ok(answer)
    });
    tokio::spawn(async move {
        let io = TokioIo::new(Tap::new(server));
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(io, service)
            .with_upgrades()
            .await;
    });
    client
}

fn echo() -> Attached {
    let (out, output) = mpsc::channel(4);
    let (input, mut from) = mpsc::channel(4);
    tokio::spawn(async move {
        let _ = out
            .send(Output {
                stderr: true,
                bytes: b"ready".to_vec(),
            })
            .await;
        while let Some(Input::Data(bytes)) = from.recv().await {
            let bytes = bytes.to_ascii_uppercase();
            let _ = out
                .send(Output {
                    stderr: false,
                    bytes,
                })
                .await;
        }
    });
    Attached { output, input }
}

async fn head(client: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn rest(mut client: DuplexStream) -> Vec<u8> {
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test]
async fn with_the_header_it_is_101() {
    let mut client = serve(false);
    client
        .write_all(b"POST /v1.50/containers/yes/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        .await
        .unwrap();
    let head = head(&mut client).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("connection: upgrade") && head.contains("upgrade: tcp"),
        "{head}"
    );
    assert!(
        head.contains("content-type: application/vnd.docker.multiplexed-stream"),
        "{head}"
    );
    client.write_all(b"hi").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(
        rest(client).await,
        b"\x02\0\0\0\0\0\0\x05ready\x01\0\0\0\0\0\0\x02HI"
    );
}

#[tokio::test]
async fn without_it_is_200_and_the_same_stream() {
    let mut client = serve(true);
    // The first bytes of stdin come with the request, as old SDKs send them.
    client
        .write_all(
            b"POST /containers/yes/attach HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\nearly ",
        )
        .await
        .unwrap();
    let head = head(&mut client).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert!(
        !head.contains("upgrade") && !head.contains("content-length"),
        "{head}"
    );
    assert!(!head.contains("transfer-encoding"), "{head}");
    client.write_all(b"late").await.unwrap();
    client.shutdown().await.unwrap();
    let all = rest(client).await;
    assert_eq!(String::from_utf8(all).unwrap(), "readyEARLY LATE");
}

#[tokio::test]
async fn a_refused_takeover_leaves_the_connection_usable() {
    let mut client = serve(false);
    for _ in 0..3 {
        for upgrade in ["", "Connection: Upgrade\r\nUpgrade: tcp\r\n"] {
            let ask = format!("POST /containers/no/attach HTTP/1.1\r\nHost: d\r\n{upgrade}\r\n");
            client.write_all(ask.as_bytes()).await.unwrap();
            assert!(head(&mut client).await.starts_with("HTTP/1.1 404 "));
            let mut body = vec![0; "{\"message\":\"no\"}\n".len()];
            client.read_exact(&mut body).await.unwrap();
        }
    }
    client
        .write_all(b"POST /containers/yes/attach HTTP/1.1\r\nHost: d\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    client.shutdown().await.unwrap();
    assert_eq!(rest(client).await, b"\x02\0\0\0\0\0\0\x05ready");
}

#[tokio::test]
async fn a_slow_client_is_run_ahead_of_so_far_and_no_further() {
    let (mut client, mut server) = tokio::io::duplex(1 << 10);
    let (out, from) = mpsc::channel(1);
    let give = tokio::spawn(async move { give_output(from, &mut server, true).await });
    let piece = 64 << 10;
    let mut given = 0;
    // The writer stops taking when it is that far behind; a piece more waits in the channel.
    while let Ok(sent) = tokio::time::timeout(
        std::time::Duration::from_millis(200),
        out.send(Output {
            stderr: false,
            bytes: vec![b'x'; piece],
        }),
    )
    .await
    {
        sent.unwrap();
        given += piece;
        assert!(given <= MAX_BEHIND + 4 * piece, "kept without bound");
    }
    assert!(given >= MAX_BEHIND);
    drop(out);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), given, "nothing of what was taken is lost");
    give.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_asks_to_close_is_taken_over_or_closed_behind_its_answer() {
    let ask = |name: &str| {
        format!("POST /containers/{name}/attach HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    };
    let mut client = serve(true);
    client.write_all(ask("yes").as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    client.write_all(b"typed").await.unwrap();
    client.shutdown().await.unwrap();
    let all = rest(client).await;
    assert_eq!(String::from_utf8(all).unwrap(), "readyTYPED");

    let mut client = serve(false);
    client.write_all(ask("no").as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 404 "));
    // Comes to an end: the server closes.
    assert!(rest(client).await.ends_with(b"{\"message\":\"no\"}\n"));
}
