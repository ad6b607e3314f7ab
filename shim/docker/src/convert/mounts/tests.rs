//! Mount texts and objects as the CLI sends them.

use super::super::body;
use super::*;

fn read(raw: Value) -> Result<Vec<MountSpec>, Failure> {
    mounts(&body::read(raw).unwrap())
}

#[test]
fn bind_texts() {
    let raw =
        json!({"HostConfig": {"Binds": ["/a:/b:ro,rslave", "vol:/c/", "/d", "vol2:/e:nocopy,z"]}});
    let all = read(raw).unwrap();
    assert_eq!(
        all[0],
        MountSpec {
            source: MountSource::Bind {
                path: "/a".into(),
                create: true
            },
            target: "/b".into(),
            read_only: true,
            propagation: Some("rslave".into()),
        }
    );
    assert_eq!(
        all[1].source,
        volume("vol".into(), "", BTreeMap::new(), false)
    );
    assert_eq!(all[1].target, "/c");
    assert_eq!(
        all[2].source,
        volume(String::new(), "", BTreeMap::new(), false)
    );
    assert_eq!(
        all[3].source,
        volume("vol2".into(), "", BTreeMap::new(), true)
    );
}

#[test]
fn bad_bind_texts_are_named() {
    for (text, part) in [
        ("a:b:c:d", "a:b:c:d"),
        (":/x", ":/x"),
        ("/a:b", "'b' mount path must be absolute"),
        ("/a:/", "destination can't be '/'"),
        ("/a:/b:what", "invalid mode: what"),
        ("../x:/b", "../x"),
        ("/a:/b/../c", "must not contain '..'"),
    ] {
        let failure = read(json!({"HostConfig": {"Binds": [text]}})).unwrap_err();
        assert_eq!(failure.status.as_u16(), 400, "{text}");
        assert!(failure.message.contains(part), "{}", failure.message);
    }
}

#[test]
fn objects() {
    let raw = json!({"HostConfig": {"Mounts": [
        {"Type": "bind", "Source": "/tmp", "Target": "/x", "ReadOnly": true},
        {"Type": "volume", "Target": "/y"},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1024, "Mode": 511}},
    ]}});
    let all = read(raw).unwrap();
    assert_eq!(
        all[0].source,
        MountSource::Bind {
            path: "/tmp".into(),
            create: false
        }
    );
    assert!(matches!(
        &all[1].source,
        MountSource::Volume {
            anonymous: true,
            ..
        }
    ));
    assert_eq!(
        all[2].source,
        MountSource::Tmpfs {
            options: ["noexec", "nosuid", "nodev", "size=1024", "mode=777"]
                .map(str::to_owned)
                .to_vec()
        }
    );
    for (mount, status) in [
        (json!({"Type": "bind", "Target": "/x"}), 400),
        (
            json!({"Type": "bind", "Source": "rel", "Target": "/x"}),
            400,
        ),
        (json!({"Type": "what", "Target": "/x"}), 400),
        (json!({"Type": "image", "Source": "i", "Target": "/x"}), 501),
        (
            json!({"Type": "bind", "Source": "/a", "Target": "/x", "BindOptions": {"NonRecursive": true}}),
            501,
        ),
        (json!({"Type": "volume"}), 400),
    ] {
        let failure = read(json!({"HostConfig": {"Mounts": [mount]}})).unwrap_err();
        assert_eq!(failure.status.as_u16(), status, "{}", failure.message);
    }
}

#[test]
fn tmpfs_and_declared_volumes() {
    let raw = json!({
        "Volumes": {"/data": {}, "/b": {}},
        "HostConfig": {"Binds": ["/a:/b"], "Tmpfs": {"/run": "rw,exec,size=1m"}},
    });
    let all = read(raw).unwrap();
    let targets: Vec<&str> = all.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/b", "/run", "/data"]);
    assert_eq!(
        all[1].source,
        MountSource::Tmpfs {
            options: ["nosuid", "nodev", "size=1m"].map(str::to_owned).to_vec()
        }
    );
    let twice = json!({"HostConfig": {"Binds": ["/a:/b", "/c:/b/"]}});
    assert_eq!(
        read(twice).unwrap_err().message,
        "Duplicate mount point: /b"
    );
}
