//! The way of a library into the process: what is refused, and that nothing of a refused one has run.
#![allow(clippy::unwrap_used)] // these are tests, helpers and all

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use gantry_plugin_loader::{Found, Library, LoadError, Trust, find};

#[path = "../../../plugins/fixtures/compile.rs"]
mod compile;

fn load(path: &Path, store: &Path) -> Result<Library, LoadError> {
    Found::at(path, Trust::Parents)?.load(store)
}

#[test]
fn a_plugin_is_found_by_its_note_and_loaded_from_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let path = compile::fixture(folder.path(), "a.so", &[]);
    std::fs::write(folder.path().join("b.so"), "not a library").unwrap();
    std::fs::write(folder.path().join("c.txt"), "nothing at all").unwrap();

    let mut found = find(folder.path(), Trust::Parents).unwrap();
    assert_eq!(found.len(), 2);
    assert!(matches!(
        found.pop().unwrap().found,
        Err(LoadError::NotElf { .. })
    ));
    let found = found.pop().unwrap().found.unwrap();
    assert_eq!(
        (found.identity.kind.as_str(), found.identity.name.as_str()),
        ("volume", "fixture")
    );

    let library = found.load(&store).unwrap();
    assert_eq!(library.version, "1.2.3");
    assert_eq!(library.capabilities, ["fixture"]);
    assert_eq!(
        library.loaded_from,
        store.join(format!("{}.so", library.sha256))
    );
    let mapped = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(mapped.contains(library.loaded_from.to_str().unwrap()));
    assert!(
        !mapped.contains(path.to_str().unwrap()),
        "the file itself is mapped"
    );
    let leftovers = std::fs::read_dir(&store).unwrap().count();
    assert_eq!(leftovers, 1, "only the copy is left");
}

#[test]
fn a_damaged_copy_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = compile::fixture(folder.path(), "a.so", &["SLOW"]);
    let sha256 = load(&path, &folder.path().join("store")).unwrap().sha256;
    let second = folder.path().join("second");
    std::fs::create_dir(&second).unwrap();
    std::fs::write(
        second.join(format!("{sha256}.so")),
        "cut by a power failure",
    )
    .unwrap();
    assert_eq!(load(&path, &second).unwrap().sha256, sha256);
    assert_eq!(
        std::fs::read(second.join(format!("{sha256}.so"))).unwrap(),
        std::fs::read(&path).unwrap()
    );
}

#[test]
fn a_replaced_file_gives_the_new_library() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let path = compile::fixture(folder.path(), "same.so", &[]);
    let first = load(&path, &store).unwrap();
    compile::fixture(folder.path(), "same.so", &["OLD_MINOR"]);
    let second = load(&path, &store).unwrap();
    assert_eq!(
        (first.identity.abi_minor, second.identity.abi_minor),
        (1, 0)
    );
    assert_ne!(first.sha256, second.sha256);
}

/// In a process of its own, since what is watched is whether a constructor ran in it.
#[test]
fn nothing_of_a_wrong_major_version_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = compile::fixture(folder.path(), "major.so", &["WRONG_MAJOR"]);
    let ran = folder.path().join("ran");
    if std::env::var_os("GANTRY_FIXTURE_RAN").is_some() {
        let refused = load(&path, &folder.path().join("store")).unwrap_err();
        assert!(
            matches!(
                refused,
                LoadError::WrongMajor {
                    found: 7,
                    wanted: 0,
                    ..
                }
            ),
            "{refused}"
        );
        return;
    }
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_of_a_wrong_major_version_runs"])
        .env("GANTRY_FIXTURE_RAN", &ran)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stdout)
    );
    assert!(!ran.try_exists().unwrap(), "a constructor ran");
}

#[test]
fn liars_and_unfinished_ones_are_refused_when_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let lies = compile::fixture(folder.path(), "lies.so", &["LIES"]);
    let refused = load(&lies, &store).unwrap_err();
    assert!(matches!(refused, LoadError::Broken { .. }), "{refused}");
    // Lazy binding would load it and end the process in the middle of a call.
    let undefined = compile::fixture(folder.path(), "undefined.so", &["UNDEFINED"]);
    let refused = load(&undefined, &store).unwrap_err();
    assert!(matches!(refused, LoadError::Open { .. }), "{refused}");
}

#[test]
fn who_could_write_the_file_or_its_folder_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = compile::fixture(folder.path(), "a.so", &[]);
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap()
    };
    let untrusted = |path: &Path, trust| {
        let refused = Found::at(path, trust).unwrap_err();
        assert!(matches!(refused, LoadError::Untrusted { .. }), "{refused}");
    };
    mode(&path, 0o666);
    untrusted(&path, Trust::Parents);
    mode(&path, 0o644);
    mode(folder.path(), 0o777);
    untrusted(&path, Trust::Parents);
    mode(folder.path(), 0o755);
    assert!(Found::at(&path, Trust::Parents).is_ok());
    // A folder under /tmp, where anybody may put things, is only good when it was named on purpose.
    if std::fs::metadata(std::env::temp_dir())
        .unwrap()
        .permissions()
        .mode()
        & 0o022
        != 0
    {
        untrusted(&path, Trust::Nothing);
    }
}

#[test]
fn symlinks_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    compile::fixture(folder.path(), "real.so", &[]);
    symlink("real.so", folder.path().join("link.so")).unwrap();
    assert!(matches!(
        Found::at(&folder.path().join("link.so"), Trust::Parents),
        Err(LoadError::Io { .. })
    ));
    let link = folder.path().join("link");
    symlink(folder.path(), &link).unwrap();
    assert!(
        find(&link, Trust::Nothing).is_err(),
        "a folder behind a symlink"
    );
    let up = folder.path().join("x/..");
    assert!(matches!(
        find(&up, Trust::Nothing),
        Err(LoadError::Untrusted { .. } | LoadError::Io { .. })
    ));
}

#[test]
fn the_note_survives_strip() {
    let folder = tempfile::tempdir().unwrap();
    let path = compile::cdylib(folder.path(), "gantry-fixtures");
    let stripped = Command::new("strip")
        .arg("--strip-all")
        .arg(&path)
        .status()
        .unwrap();
    assert!(stripped.success());
    let library = load(&path, &folder.path().join("store")).unwrap();
    assert_eq!(library.identity.name, "panics");
}
