//! Who may be spoken to without TLS, and where redirects lead.

use super::location::{Location, Origin};
use gantry_model::ErrorKind;

#[test]
fn only_loopback_and_named_hosts_are_spoken_to_plainly() {
    for plain in [
        "localhost",
        "localhost:5000",
        "127.0.0.1:5001",
        "127.9.9.9",
        "[::1]:5000",
    ] {
        assert_eq!(Origin::of(plain, &[]).unwrap().to_string(), plain);
    }
    for other in [
        "docker.io",
        "localhost.example.com",
        "10.0.0.1:5000",
        "[fe80::1]:80",
        "127.0.0.1.nip.io",
    ] {
        assert_eq!(
            Origin::of(other, &[]).unwrap_err().kind,
            ErrorKind::Unimplemented,
            "{other}"
        );
        assert!(Origin::of(other, &[other.to_owned()]).is_ok());
    }
}

#[test]
fn redirects_are_followed_by_kind() {
    let at = Location {
        origin: Origin::of("localhost:5000", &[]).unwrap(),
        path: "/v2/a".into(),
    };
    assert_eq!(at.follow("/v2/b?x=y").unwrap().path, "/v2/b?x=y");
    let away = at.follow("http://storage:9000/blob").unwrap();
    assert_eq!(
        (away.origin.to_string().as_str(), away.path.as_str()),
        ("storage:9000", "/blob")
    );
    assert_eq!(
        at.follow("https://storage/blob").unwrap_err().kind,
        ErrorKind::Unimplemented
    );
    for bad in ["", "ftp://x/y", "http://user@host/", "\r\n"] {
        assert!(at.follow(bad).is_err(), "{bad}");
    }
}
