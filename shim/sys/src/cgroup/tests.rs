//! Finding hierarchies and naming groups; the rest needs root and lives in the integration tests.

use super::*;
use crate::mount::parse_table;

const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

#[test]
fn hybrid_is_v1_and_shared_mounts_are_found() {
    let h = Hierarchies::from_table(&parse_table(V1)).unwrap();
    assert_eq!(h.version(), Version::V1);
    let g = Group::at(&h, "/a/b", &[]).unwrap();
    assert_eq!(
        g.dir("cpuacct").unwrap(),
        Path::new("/sys/fs/cgroup/cpu,cpuacct/a/b")
    );
    assert_eq!(g.dir("cpuset"), None);
    assert!(
        Group::at(&h, "a", &["cpuset"])
            .unwrap()
            .dir("cpuset")
            .is_some()
    );
}

#[test]
fn unified_alone_is_v2() {
    let h = Hierarchies::from_table(&parse_table(
        "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    ))
    .unwrap();
    let g = Group::at(&h, "a/b", &[]).unwrap();
    assert_eq!(
        (h.version(), g.dir("memory").unwrap()),
        (Version::V2, Path::new("/sys/fs/cgroup/a/b"))
    );
    assert!(Hierarchies::from_table(&[]).is_err());
}

#[test]
fn an_exec_group_owns_one_directory_only() {
    let h = Hierarchies::from_table(&parse_table(V1)).unwrap();
    let g = Group::at(&h, "a", &[]).unwrap();
    let c = g.child("exec-1").unwrap();
    assert_eq!(c.own, [PathBuf::from("/sys/fs/cgroup/pids/a/exec-1")]);
    assert_eq!(c.dir("memory"), g.dir("memory"));
    assert!(g.child("../x").is_err());
}

#[test]
fn climbing_names_are_refused() {
    let h = Hierarchies::from_table(&parse_table(V1)).unwrap();
    for bad in ["", "/", "a/../b", "a//b", "./a"] {
        assert!(Group::at(&h, bad, &[]).is_err(), "{bad}");
    }
}
