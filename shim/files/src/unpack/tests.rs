//! Layers honest and hostile, unpacked without root (owners are kept).

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::error::Kind;

/// A layer under construction.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn raw(mut self, name: &str, kind: u8, mode: u32, link: &str, data: &[u8]) -> Self {
        let mut h = tar::Header::new_gnu();
        h.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        h.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        h.set_entry_type(tar::EntryType::new(kind));
        h.set_mode(mode);
        h.set_uid(0);
        h.set_gid(0);
        h.set_size(data.len() as u64);
        h.set_mtime(1_234_567);
        h.set_device_major(0).unwrap();
        h.set_device_minor(0).unwrap();
        h.set_cksum();
        self.0.extend_from_slice(h.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.raw(name, b'0', 0o644, "", data.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.raw(name, b'5', 0o755, "", b"")
    }

    fn symlink(self, name: &str, to: &str) -> Self {
        self.raw(name, b'2', 0o777, to, b"")
    }

    fn hardlink(self, name: &str, to: &str) -> Self {
        self.raw(name, b'1', 0o4777, to, b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::write(dir.path().join("outside"), "untouched").unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn unpack_with(&self, layer: &[u8], options: &Options) -> Result<Unpacked> {
        let root = fs::File::open(self.root()).unwrap();
        unpack(&root.into(), layer, options, |_| Ok(()))
    }

    fn unpack(&self, layer: Layer) -> Result<Unpacked> {
        let result = self.unpack_with(&layer.end(), &options());
        // Whatever the layer was: nothing beside the root has changed.
        assert_eq!(
            fs::read_to_string(self.dir.path().join("outside")).unwrap(),
            "untouched"
        );
        assert_eq!(
            fs::read_dir(self.dir.path().join("out")).unwrap().count(),
            0
        );
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 3);
        result
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root().join(path)).is_ok()
    }
}

fn options() -> Options {
    Options {
        owners: Owners::Keep,
        sync: false,
        ..Options::default()
    }
}

#[test]
fn an_honest_layer_arrives_whole() {
    let place = Place::new();
    let layer = Layer::default()
        .dir("./")
        .dir("bin/")
        .raw("bin/su", b'0', 0o4755, "", b"#!")
        .hardlink("bin/sudo", "bin/su")
        .symlink("sh", "/bin/su")
        .raw("pipe", b'6', 0o600, "", b"")
        .raw("tmp", b'5', 0o1777, "", b"")
        .file("/no/parents/named", "x");
    let done = place.unpack(layer).unwrap();
    assert_eq!((done.entries, done.whiteouts, done.file_bytes), (8, 0, 3));
    let su = fs::metadata(place.root().join("bin/su")).unwrap();
    assert_eq!(
        (su.permissions().mode() & 0o7777, su.nlink(), su.mtime()),
        (0o4755, 2, 1_234_567)
    );
    assert_eq!(
        fs::read_link(place.root().join("sh")).unwrap(),
        Path::new("/bin/su")
    );
    assert_eq!(
        fs::symlink_metadata(place.root().join("sh"))
            .unwrap()
            .mtime(),
        1_234_567
    );
    assert!(
        fs::metadata(place.root().join("pipe"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
    assert_eq!(
        fs::metadata(place.root().join("tmp"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o1777
    );
    assert_eq!(
        fs::metadata(place.root().join("bin")).unwrap().mtime(),
        1_234_567,
        "set after its entries"
    );
    assert_eq!(place.read("no/parents/named"), "x");
}

#[test]
fn every_compression_gives_the_same_diff_id() {
    let tar = Layer::default().file("a", &"text ".repeat(100_000)).end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
    let plain = Place::new().unpack_with(&tar, &options()).unwrap();
    assert_eq!(plain.digest, plain.diff_id);
    for packed in [gzip, zstd] {
        let place = Place::new();
        let done = place.unpack_with(&packed, &options()).unwrap();
        assert_eq!(
            (&done.diff_id, done.diff_size),
            (&plain.diff_id, plain.diff_size)
        );
        assert_eq!(
            (done.size, place.read("a").len()),
            (packed.len() as u64, 500_000)
        );
        assert_ne!(done.digest, done.diff_id);
        let promised = Options {
            digest: Some(done.digest),
            diff_id: Some(done.diff_id),
            ..options()
        };
        assert!(Place::new().unpack_with(&packed, &promised).is_ok());
        let wrong = Options {
            diff_id: Some("sha256:00".into()),
            ..options()
        };
        assert_eq!(
            Place::new()
                .unpack_with(&packed, &wrong)
                .unwrap_err()
                .kind(),
            Kind::Digest
        );
        let cut = Place::new().unpack_with(&packed[..packed.len() / 2], &options());
        assert_eq!(cut.unwrap_err().kind(), Kind::Archive);
    }
}

#[test]
fn names_cannot_leave_the_root() {
    for name in [
        "../outside",
        "a/../../outside",
        "/../outside",
        "..",
        "a/..",
        "./../outside",
    ] {
        let err = Place::new()
            .unpack(Layer::default().file(name, "x"))
            .unwrap_err();
        assert_eq!(err.kind(), Kind::Archive, "{name}");
        let err = Place::new()
            .unpack(Layer::default().hardlink("a", name))
            .unwrap_err();
        assert_eq!(err.kind(), Kind::Archive, "{name}");
    }
    // An absolute name is one beneath the root.
    let place = Place::new();
    place
        .unpack(Layer::default().file("/etc/passwd", "x"))
        .unwrap();
    assert_eq!(place.read("etc/passwd"), "x");
}

#[test]
fn symlinks_of_the_layer_lead_nowhere_else() {
    let out = |p: &Place| p.dir.path().join("out").to_str().unwrap().to_owned();
    // Through an absolute link: the same path beneath the root, which is not there.
    let place = Place::new();
    let err = place
        .unpack(Layer::default().symlink("l", &out(&place)).file("l/x", "x"))
        .unwrap_err();
    assert_eq!(err.kind(), Kind::Archive);
    // Through a relative one: `..` stops at the root.
    let place = Place::new();
    let err = place
        .unpack(Layer::default().symlink("l", "../out").file("l/x", "x"))
        .unwrap_err();
    assert_eq!(err.kind(), Kind::Archive);
    let place = Place::new();
    place
        .unpack(
            Layer::default()
                .dir("out")
                .symlink("l", "../../out")
                .file("l/x", "in"),
        )
        .unwrap();
    assert_eq!(place.read("out/x"), "in");
    // A file written over a link replaces the link, and so does a directory.
    for over in [
        Layer::default()
            .symlink("l", "../outside")
            .file("l", "mine"),
        {
            Layer::default()
                .symlink("d", "../out")
                .dir("d")
                .file("d/x", "mine")
                .symlink("l", "d/x")
        },
    ] {
        let place = Place::new();
        place.unpack(over).unwrap();
        assert_eq!(place.read("l"), "mine");
    }
    // A hard link to a symlink is another name of the link, and its mode is not applied to the target.
    let place = Place::new();
    place
        .unpack(
            Layer::default()
                .symlink("l", "../outside")
                .hardlink("h", "l"),
        )
        .unwrap();
    assert!(
        fs::symlink_metadata(place.root().join("h"))
            .unwrap()
            .is_symlink()
    );
    let mode = fs::metadata(place.dir.path().join("outside"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o4000, 0);
}

#[test]
fn links_left_by_lower_layers_are_no_way_out() {
    let place = Place::new();
    symlink(place.dir.path().join("out"), place.root().join("l")).unwrap();
    symlink("/proc/self/cwd", place.root().join("magic")).unwrap();
    assert!(place.unpack(Layer::default().file("l/x", "x")).is_err());
    assert!(place.unpack(Layer::default().file("magic/x", "x")).is_err());
    assert!(
        place
            .unpack(Layer::default().hardlink("x", "l/../outside"))
            .is_err()
    );
    place
        .unpack(
            Layer::default()
                .file("l/.wh.x", "")
                .file("l/.wh..wh..opq", ""),
        )
        .unwrap();
}

#[test]
fn a_cached_parent_is_not_trusted_after_a_swap() {
    let place = Place::new();
    // d is open as the parent of d/a when it becomes a link.
    let layer = Layer::default()
        .dir("other")
        .dir("d")
        .file("d/a", "1")
        .symlink("d", "other")
        .file("d/b", "2");
    place.unpack(layer).unwrap();
    assert_eq!(place.read("other/b"), "2");
}

#[test]
fn hard_links_need_their_target() {
    let err = |l: Layer| Place::new().unpack(l).unwrap_err().kind();
    assert_eq!(
        err(Layer::default().hardlink("a", "missing")),
        Kind::Archive
    );
    assert_eq!(
        err(Layer::default().file("a", "").hardlink("a", "a")),
        Kind::Archive
    );
    assert_eq!(err(Layer::default().hardlink("a", "/")), Kind::Archive);
    assert_eq!(
        err(Layer::default()
            .dir("d")
            .file("d/f", "")
            .hardlink("d", "d/f")),
        Kind::Archive
    );
}

#[test]
fn later_entries_win() {
    let place = Place::new();
    let layer = Layer::default()
        .file("a", "old")
        .file("a", "new")
        .dir("d")
        .file("d/x", "x")
        .file("d", "a file now")
        .file("f", "f")
        .raw("f", b'5', 0o700, "", b"");
    place.unpack(layer).unwrap();
    assert_eq!(
        (place.read("a").as_str(), place.read("d").as_str()),
        ("new", "a file now")
    );
    assert!(place.root().join("f").is_dir());
}

#[test]
fn whiteouts_hide_lower_layers_and_nothing_else() {
    let place = Place::new();
    let lower = Layer::default()
        .file("gone", "")
        .file("kept", "")
        .file("tree/gone/deep", "")
        .file("tree/stays", "")
        .file("opaque/old", "")
        .file("opaque/sub/old", "")
        .file("opaque/sub/new", "old");
    place.unpack(lower).unwrap();
    let upper = Layer::default()
        .file(".wh.gone", "")
        .file(".wh.never-there", "")
        .file("tree/.wh.gone", "")
        // Before and after the entries of its own layer.
        .file("opaque/sub/new", "new")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/own", "own")
        .file("opaque/.wh..wh..opq", "")
        .file(".wh..wh.plnk", "")
        .file("made", "")
        .file(".wh.made", "");
    let done = place.unpack(upper).unwrap();
    assert_eq!(done.whiteouts, 6);
    for gone in [
        "gone",
        "tree/gone",
        "opaque/old",
        "opaque/sub/old",
        ".wh.gone",
        ".wh..wh.plnk",
    ] {
        assert!(!place.has(gone), "{gone}");
    }
    for kept in ["kept", "tree/stays", "opaque/own", "made"] {
        assert!(place.has(kept), "{kept}");
    }
    assert_eq!(place.read("opaque/sub/new"), "new");
}

#[test]
fn whiteouts_that_aim_elsewhere_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..."] {
        let err = Place::new()
            .unpack(Layer::default().file(name, ""))
            .unwrap_err();
        assert_eq!(err.kind(), Kind::Archive, "{name}");
    }
    let err = Place::new()
        .unpack(Layer::default().raw("dev", b'3', 0o600, "", b""))
        .unwrap_err();
    assert_eq!(err.kind(), Kind::Archive, "overlay's own mark");
}

#[test]
fn a_million_repeated_whiteouts_cost_one_walk() {
    let place = Place::new();
    for i in 0..300 {
        fs::write(place.root().join(format!("f{i}")), "").unwrap();
    }
    let mut layer = Layer::default();
    for i in 0..300 {
        layer = layer.file(&format!("f{i}"), "");
    }
    for _ in 0..20_000 {
        layer = layer.file(".wh..wh..opq", "");
    }
    let began = std::time::Instant::now();
    place.unpack(layer).unwrap();
    // 20,000 walks over 300 names would be minutes of a debug build.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    assert_eq!(fs::read_dir(place.root()).unwrap().count(), 300);
}

#[test]
fn limits_hold() {
    let kind = |limits: Limits, layer: Layer| {
        let options = Options {
            limits,
            ..options()
        };
        Place::new()
            .unpack_with(&layer.end(), &options)
            .unwrap_err()
            .kind()
    };
    let three = || Layer::default().file("a", "").file("b", "").file("c", "");
    assert_eq!(
        kind(
            Limits {
                entries: 2,
                ..Limits::default()
            },
            three()
        ),
        Kind::Limit
    );
    assert_eq!(
        kind(
            Limits {
                bytes: 1000,
                ..Limits::default()
            },
            three()
        ),
        Kind::Limit
    );
    assert_eq!(
        kind(
            Limits {
                depth: 2,
                ..Limits::default()
            },
            Layer::default().file("a/b/c", "")
        ),
        Kind::Limit
    );
    assert_eq!(
        kind(
            Limits {
                path: 3,
                ..Limits::default()
            },
            Layer::default().file("abcd", "")
        ),
        Kind::Limit
    );
}

#[test]
fn bombs_stop_early() {
    let tar = Layer::default().file("zeros", &"\0".repeat(16 << 20)).end();
    let bomb = zstd::encode_all(tar.as_slice(), 19).unwrap();
    let limits = Limits {
        ratio: 100,
        ratio_after: 1 << 20,
        ..Limits::default()
    };
    let place = Place::new();
    let err = place
        .unpack_with(
            &bomb,
            &Options {
                limits,
                ..options()
            },
        )
        .unwrap_err();
    assert_eq!(err.kind(), Kind::Limit);
    assert!(fs::metadata(place.root().join("zeros")).map_or(0, |m| m.len()) < 8 << 20);
}

#[test]
fn foreign_attributes_are_left_out() {
    let place = Place::new();
    let record = |k: &str, v: &str| {
        let rest = k.len() + v.len() + 3;
        format!("{} {k}={v}\n", rest + 2)
    };
    let records = record("SCHILY.xattr.trusted.overlay.redirect", "/x")
        + &record("SCHILY.xattr.user.overlay.opaque", "y")
        + &record("SCHILY.xattr.security.selinux", "x")
        + &record("SCHILY.xattr.user.mine", "v");
    let layer = Layer::default()
        .raw("pax", b'x', 0o644, "", records.as_bytes())
        .file("f", "");
    let done = place.unpack(layer).unwrap();
    let file = fs::File::open(place.root().join("f")).unwrap();
    let names = gantry_sys::xattr::list(&file).unwrap_or_default();
    // A temporary file system without user attributes leaves out the fourth as well.
    if names.contains(&c"user.mine".to_owned()) {
        assert_eq!(done.ignored_xattrs, 3);
    } else {
        assert_eq!(done.ignored_xattrs, 4);
    }
    assert!(!names.iter().any(
        |n| n.to_bytes().starts_with(b"trusted.") || n.to_bytes().starts_with(b"user.overlay")
    ));
}

#[test]
fn progress_can_stop_the_work() {
    let place = Place::new();
    let root = fs::File::open(place.root()).unwrap();
    // Slow enough for a tick of the progress clock, without a clock: the reader waits for it.
    let tar = Layer::default().file("a", &"x".repeat(4 << 20)).end();
    let slow = std::sync::Mutex::new(false);
    let reader = SlowReader {
        inner: tar.as_slice(),
        until: std::time::Instant::now(),
    };
    let stop = unpack(&root.into(), reader, &options(), |_| {
        *slow.lock().unwrap() = true;
        Err(Error::Request("stop".into()))
    });
    assert!(*slow.lock().unwrap());
    assert_eq!(stop.unwrap_err().kind(), Kind::Request);
}

/// Gives small pieces, each after a few milliseconds of work.
struct SlowReader<'a> {
    inner: &'a [u8],
    until: std::time::Instant,
}

impl std::io::Read for SlowReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.until += std::time::Duration::from_millis(5);
        while std::time::Instant::now() < self.until {
            std::thread::yield_now();
        }
        let n = buf.len().min(64 << 10);
        std::io::Read::read(&mut self.inner, &mut buf[..n])
    }
}
