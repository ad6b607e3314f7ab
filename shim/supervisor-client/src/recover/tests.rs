//! Folders as living, dead and half-born supervisors leave them.

use super::*;
use gantry_supervisor_proto::files::{Task, lock, make_exit_slot, write_exit, write_state};
use gantry_supervisor_proto::types::{Exit, TaskState};
use std::path::PathBuf;

fn shims(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("gantry-client-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn id(digit: char) -> SandboxId {
    SandboxId::parse(&digit.to_string().repeat(64)).unwrap()
}

fn folder(shims: &Path, digit: char) -> PathBuf {
    let path = shims.join(id(digit).as_str());
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn state(boot_id: &str, pid: i32) -> State {
    State {
        boot_id: boot_id.to_owned(),
        pid,
        committed: true,
        tasks: vec![Task {
            id: "c".repeat(64),
            run: 1,
            state: TaskState::Running,
            pid: 5,
            ..Task::default()
        }],
        ..State::default()
    }
}

#[test]
fn no_folder_has_nobody_in_it() {
    assert!(look(&shims("none")).unwrap().is_empty());
}

#[test]
fn a_held_lock_is_life_and_a_free_one_is_none() {
    let shims = shims("life");
    let boot = files::boot_id().unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    let held: Vec<File> = ['a', 'b']
        .iter()
        .map(|digit| {
            let dir = folder(&shims, *digit);
            write_state(&dir, &state(&boot, own)).unwrap();
            let file = File::create(dir.join(LOCK)).unwrap();
            lock(&file).unwrap();
            file
        })
        .collect();
    // An exit is in its slot, and the supervisor died before it wrote the state.
    let slot = make_exit_slot(&folder(&shims, 'b'), &"c".repeat(64)).unwrap();
    let exit = Exit {
        code: 3,
        at: 9,
        ..Exit::default()
    };
    write_exit(&slot, 1, &exit).unwrap();
    let [_a, b] = <[File; 2]>::try_from(held).unwrap();
    drop(b);
    let mut found = look(&shims).unwrap();
    found.sort_by(|x, y| x.id.cmp(&y.id));
    assert_eq!((found[0].alive, found[1].alive), (true, false));
    assert!(found[0].pidfd.is_some() && found[1].pidfd.is_none());
    assert_eq!(found[1].state.tasks[0].exit, Some(exit));
    assert!(!found[0].stale && found[0].state.committed);
    std::fs::remove_dir_all(shims).unwrap();
}

#[test]
fn another_boots_state_is_stale_and_a_damaged_one_has_no_tasks() {
    let shims = shims("stale");
    write_state(&folder(&shims, 'a'), &state("another boot", 1)).unwrap();
    std::fs::write(folder(&shims, 'b').join("state.json"), b"{\"tasks\":[").unwrap();
    folder(&shims, 'c');
    std::fs::create_dir_all(shims.join("not-an-id")).unwrap();
    let mut found = look(&shims).unwrap();
    found.sort_by(|x, y| x.id.cmp(&y.id));
    let seen: Vec<_> = found
        .iter()
        .map(|f| (f.alive, f.stale, f.state.tasks.len()))
        .collect();
    assert_eq!(
        seen,
        [(false, true, 1), (false, false, 0), (false, false, 0)]
    );
    std::fs::remove_dir_all(shims).unwrap();
}
