//! Requests in every cut, followed byte by byte and at once.

use super::*;

/// Feeds the text in pieces of every size and wants the same result each time.
fn seen(text: &str) -> (String, Option<Takeover>) {
    let mut last = None;
    for size in [1, 2, 3, 7, text.len().max(1)] {
        let mut follower = Follower::new();
        let mut out = BytesMut::new();
        for piece in text.as_bytes().chunks(size) {
            follower.feed(Bytes::copy_from_slice(piece), &mut out);
        }
        follower.end(&mut out);
        let now = (String::from_utf8(out.to_vec()).unwrap(), follower.asked());
        if let Some(before) = &last {
            assert_eq!(before, &now, "pieces of {size}");
        }
        last = Some(now);
    }
    last.unwrap()
}

#[test]
fn ordinary_requests_pass_as_they_are() {
    for text in [
        "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /_ping HTTP/1.1\nHost: d\n\n",
        "POST /v1.40/x HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcdGET /info HTTP/1.1\r\n\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "garbage",
        "",
    ] {
        assert_eq!(seen(text), (text.to_owned(), None), "{text:?}");
    }
}

#[test]
fn a_takeover_that_says_so_is_only_noted() {
    let text = "POST /containers/a/attach?stream=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw GET / HTTP/1.1\r\n\r\n";
    assert_eq!(
        seen(text),
        (text.to_owned(), Some(Takeover { plain: false }))
    );
}

#[test]
fn a_takeover_that_does_not_is_made_to() {
    let (out, asked) = seen(
        "GET /info HTTP/1.1\r\n\r\nPOST /v1.24/exec/abc/start HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}raw\r\n\r\nbytes",
    );
    assert_eq!(asked, Some(Takeover { plain: true }));
    assert_eq!(
        out,
        "GET /info HTTP/1.1\r\n\r\nPOST /v1.24/exec/abc/start HTTP/1.1\r\nConnection: close, Upgrade\r\nUpgrade: tcp\r\n\
         x-gantry-plain-hijack: 1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}raw\r\n\r\nbytes"
    );
}

#[test]
fn only_two_paths_take_over() {
    for (line, expected) in [
        ("POST /containers/a/attach HTTP/1.1", true),
        ("POST /v1.44/containers/a/attach?x=1 HTTP/1.1", true),
        ("POST /v1.44/exec/a/start HTTP/1.1", true),
        ("GET /containers/a/attach HTTP/1.1", false),
        ("POST /containers/a/start HTTP/1.1", false),
        ("POST /containers/a/b/attach HTTP/1.1", false),
        ("POST /exec/a/resize HTTP/1.1", false),
    ] {
        assert_eq!(takes_over(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn a_refused_takeover_is_followed_by_requests_again() {
    let mut follower = Follower::new();
    let mut out = BytesMut::new();
    let ask = Bytes::from_static(b"POST /containers/a/attach HTTP/1.1\r\n\r\n");
    follower.feed(ask.clone(), &mut out);
    assert!(follower.asked().is_some());
    follower.answered(false);
    assert!(follower.asked().is_none());
    follower.feed(ask, &mut out);
    assert_eq!(follower.asked(), Some(Takeover { plain: true }));
    follower.answered(true);
    out.clear();
    follower.feed(
        Bytes::from_static(b"POST /containers/a/attach HTTP/1.1\r\n\r\n"),
        &mut out,
    );
    assert_eq!(follower.asked(), None, "raw bytes are not read");
}

#[test]
fn a_head_without_end_is_not_held_for_ever() {
    let mut follower = Follower::new();
    let mut out = BytesMut::new();
    for _ in 0..100 {
        follower.feed(Bytes::from(vec![b'a'; 1024]), &mut out);
    }
    assert_eq!(out.len(), 100 * 1024);
}
