//! Names as people write them, and strings that must not pass.

use super::*;

#[test]
fn short_names_are_completed() {
    for (input, full, familiar) in [
        (
            "busybox",
            "docker.io/library/busybox:latest",
            "busybox:latest",
        ),
        (
            "busybox:1.36",
            "docker.io/library/busybox:1.36",
            "busybox:1.36",
        ),
        (
            "docker.io/busybox",
            "docker.io/library/busybox:latest",
            "busybox:latest",
        ),
        (
            "index.docker.io/library/busybox",
            "docker.io/library/busybox:latest",
            "busybox:latest",
        ),
        (
            "grafana/loki",
            "docker.io/grafana/loki:latest",
            "grafana/loki:latest",
        ),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        (
            "127.0.0.1:5001/library/busybox:1",
            "127.0.0.1:5001/library/busybox:1",
            "127.0.0.1:5001/library/busybox:1",
        ),
        (
            "[::1]:5000/a/b",
            "[::1]:5000/a/b:latest",
            "[::1]:5000/a/b:latest",
        ),
        (
            "registry.k8s.io/pause:3.9",
            "registry.k8s.io/pause:3.9",
            "registry.k8s.io/pause:3.9",
        ),
        ("Host/img", "Host/img:latest", "Host/img:latest"),
        (
            "a__b--c.d_e",
            "docker.io/library/a__b--c.d_e:latest",
            "a__b--c.d_e:latest",
        ),
        (
            "library/a/b",
            "docker.io/library/a/b:latest",
            "library/a/b:latest",
        ),
    ] {
        let r = Reference::parse_tagged(input).unwrap();
        assert_eq!(r.to_string(), full, "{input}");
        assert_eq!(r.familiar(), familiar, "{input}");
        assert_eq!(
            Reference::parse(&r.familiar()).unwrap(),
            r,
            "{input} is read back as itself"
        );
    }
}

#[test]
fn a_digest_is_kept_beside_a_tag_and_stops_latest() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let r = Reference::parse_tagged(&format!("busybox:1@{digest}")).unwrap();
    assert_eq!(r.tag(), Some("1"));
    assert_eq!(r.digest().unwrap().as_str(), digest);
    let r = Reference::parse_tagged(&format!("busybox@{digest}")).unwrap();
    assert_eq!(r.tag(), None);
    assert_eq!(r.familiar(), format!("busybox@{digest}"));
}

#[test]
fn errors_are_dockers_words() {
    let text = |s: &str| Reference::parse(s).unwrap_err().to_string();
    assert_eq!(
        text("UPPER"),
        "invalid reference format: repository name (library/UPPER) must be lowercase"
    );
    let id = "0a".repeat(32);
    assert_eq!(
        text(&id),
        format!("invalid repository name ({id}), cannot specify 64-byte hexadecimal strings")
    );
    assert_eq!(
        text(&"a".repeat(300)),
        "repository name must not be more than 255 characters"
    );
    for bad in [
        "",
        ":",
        "a:",
        "a:b:c",
        "a b",
        "-a",
        "a-",
        "a//b",
        "/a",
        "a/",
        "a@",
        "a..b",
        "a___b",
        "a._b",
        "../a",
        "a/../b",
        "http://x/y",
        "a:tag/",
        "[::1/a",
        "x.y:port/a",
        "x.y:999999/a",
        "é",
        "a\n",
        "a\0",
        "-x.y/a",
        &format!("a:{}", "t".repeat(129)),
    ] {
        assert!(Reference::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        text("a@sha512:00"),
        "unsupported digest algorithm or malformed digest"
    );
    assert_eq!(text(&"a/".repeat(600)), "invalid reference format");
}

#[test]
fn tags_and_digests_replace_each_other() {
    let r = Reference::parse("busybox:1").unwrap();
    assert_eq!(r.with_tag("2").unwrap().familiar(), "busybox:2");
    assert!(r.with_tag("a/b").is_err());
    let d = Digest::from_bytes(&[7; 32]);
    assert_eq!(r.with_digest(d.clone()).familiar(), format!("busybox@{d}"));
}
