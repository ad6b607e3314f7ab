//! On folders that look like a group; that the kernel takes the same order is shown by the integration tests.

use super::*;

fn group(name: &str, version: Version, files: &[(&str, &str)]) -> (PathBuf, Group, Hierarchies) {
    let root = std::env::temp_dir().join(format!("gantry-update-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let mut mounts = Vec::new();
    for (path, text) in files {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        let controller = path.split('/').next().unwrap();
        let controller = if version == Version::V2 {
            ""
        } else {
            controller
        };
        let mount = match version {
            Version::V1 => root.join(controller),
            Version::V2 => root.clone(),
        };
        if !mounts.contains(&(controller.to_owned(), mount.clone())) {
            mounts.push((controller.to_owned(), mount));
        }
    }
    let hierarchies = Hierarchies { version, mounts };
    let group = Group::at(&hierarchies, "c", &[]).unwrap();
    (root, group, hierarchies)
}

fn text(root: &Path, file: &str) -> String {
    std::fs::read_to_string(root.join(file)).unwrap()
}

const V1: [(&str, &str); 7] = [
    ("memory/c/memory.limit_in_bytes", "1000"),
    ("memory/c/memory.memsw.limit_in_bytes", "2000"),
    ("memory/c/memory.soft_limit_in_bytes", "9000"),
    ("cpu/c/cpu.shares", "1024"),
    ("cpu/c/cpu.cfs_period_us", "100000"),
    ("cpu/c/cpu.cfs_quota_us", "-1"),
    ("pids/c/pids.max", "max"),
];

#[test]
fn what_is_asked_changes_and_the_rest_stays() {
    let (root, mut group, h) = group("change", Version::V1, &V1);
    let limits = Limits {
        memory: Some(3000),
        memory_swap: Some(4000),
        cpu_shares: Some(2048),
        pids: Some(0),
        ..Limits::default()
    };
    group.update(&h, &limits).unwrap();
    assert_eq!(text(&root, "memory/c/memory.limit_in_bytes"), "3000");
    assert_eq!(text(&root, "memory/c/memory.memsw.limit_in_bytes"), "4000");
    assert_eq!(text(&root, "cpu/c/cpu.shares"), "2048");
    assert_eq!(text(&root, "pids/c/pids.max"), "max");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_refused_write_sets_the_ones_before_it_back() {
    let (root, mut group, h) = group("undo", Version::V1, &V1);
    // A folder cannot be written: what a kernel that refuses looks like from here.
    std::fs::remove_file(root.join("pids/c/pids.max")).unwrap();
    std::fs::create_dir(root.join("pids/c/pids.max")).unwrap();
    let limits = Limits {
        memory: Some(1500),
        memory_swap: Some(2500),
        cpu_shares: Some(2048),
        cpu_quota: Some(50_000),
        cpu_period: Some(200_000),
        pids: Some(10),
        ..Limits::default()
    };
    let error = group.update(&h, &limits).unwrap_err();
    assert!(error.to_string().contains("pids.max"), "{error}");
    for (file, old) in &V1[..5] {
        assert_eq!(text(&root, file), *old, "{file}");
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn v2_keeps_the_half_of_cpu_max_that_is_not_asked_for() {
    let files = [
        ("c/memory.max", "4096"),
        ("c/memory.swap.max", "0000"),
        ("c/cpu.max", "50000 100000"),
    ];
    let (root, mut group, h) = group("v2", Version::V2, &files);
    let limits = Limits {
        cpu_quota: Some(60_000),
        memory_swap: Some(8191),
        ..Limits::default()
    };
    group.update(&h, &limits).unwrap();
    assert_eq!(text(&root, "c/cpu.max"), "60000 100000");
    assert_eq!(text(&root, "c/memory.swap.max"), "4095", "without memory");
    let climbing = Limits {
        unified: vec![("../x".into(), "1".into())],
        ..Limits::default()
    };
    assert_eq!(
        group.update(&h, &climbing).unwrap_err().errno(),
        Errno::EINVAL
    );
    std::fs::remove_dir_all(root).unwrap();
}
