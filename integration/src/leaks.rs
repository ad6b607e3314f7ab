//! What a daemon may leave behind when its containers are gone: nothing. And the broom for tests that failed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Node;

/// Everything that belongs to this node's containers and should be gone. The daemon itself may run.
#[must_use]
pub fn find(node: &Node) -> Vec<String> {
    let mut left = Vec::new();
    for (pid, line) in processes(node) {
        left.push(format!("process {pid}: {line}"));
    }
    left.extend(
        mounts(node.dir())
            .into_iter()
            // A test may have given the daemon a disk of its own.
            .filter(|m| *m != node.root() && *m != node.run())
            .map(|m| format!("mount {}", m.display())),
    );
    left.extend(
        leaf_cgroups(node)
            .into_iter()
            .map(|c| format!("cgroup {}", c.display())),
    );
    for folder in [
        node.run().join("shims"),
        node.run().join("netns"),
        node.root().join("containers"),
    ] {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            left.push(format!("file {}", entry.path().display()));
        }
    }
    left.extend(network(node));
    left
}

/// Supervisors, containers and helpers, known by the test's folder on their command line or by their cgroup.
fn processes(node: &Node) -> Vec<(i32, String)> {
    let daemon = if node.runs() {
        i32::try_from(node.pid()).unwrap_or(0)
    } else {
        0
    };
    let mut found = matching(|line, cgroups| {
        let in_cgroup = || {
            cgroups()
                .lines()
                .any(|l| l.split('/').any(|part| is_ours(part, &node.instance)))
        };
        line.contains(&node.dir().display().to_string()) || in_cgroup()
    });
    found.retain(|(pid, _)| *pid != daemon);
    found
}

/// Processes with a text on their command line, with that line.
#[must_use]
pub fn processes_of(text: &str) -> Vec<(i32, String)> {
    matching(|line, _| line.contains(text))
}

/// Processes but this one whose command line, or cgroups on demand, please `wanted`.
fn matching(wanted: impl Fn(&str, &dyn Fn() -> String) -> bool) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        else {
            continue;
        };
        if pid.unsigned_abs() == std::process::id() {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let cgroups = || fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if wanted(&line, &cgroups) {
            found.push((pid, line));
        }
    }
    found
}

/// Whether a cgroup's or link's name derives from an instance: the name itself, or it and a separator.
fn is_ours(name: &str, instance: &str) -> bool {
    name.split(['-', '.', '_', ':'])
        .any(|part| part == instance)
}

fn mounts(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = |line: &str| line.split(' ').nth(4).map(PathBuf::from);
    table
        .lines()
        .filter_map(point)
        .filter(|p| p.starts_with(folder))
        .collect()
}

/// cgroups below the instance's own one. Its parent and the daemon's leaves may stay as long as the daemon runs.
fn leaf_cgroups(node: &Node) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for top in instance_cgroups(node) {
        walk(&top, &mut |path| {
            // A sandbox's or container's cgroup carries its id of 64 digits.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name
                .split(['-', '.', '_'])
                .any(|p| p.len() >= 32 && p.chars().all(|c| c.is_ascii_hexdigit()))
            {
                found.push(path.to_path_buf());
            }
        });
    }
    found
}

fn instance_cgroups(node: &Node) -> Vec<PathBuf> {
    let mut tops = Vec::new();
    for controller in fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
    {
        walk(&controller.path(), &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_ours(&name, &node.instance) {
                tops.push(path.to_path_buf());
            }
        });
    }
    tops
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            visit(&entry.path());
            walk(&entry.path(), visit);
        }
    }
}

/// Host ends of veth pairs and rules that name a container's address. The bridge and its table may stay.
fn network(node: &Node) -> Vec<String> {
    let mut left = Vec::new();
    if let Ok(links) = node.net.ip(&["-o", "link", "show", "type", "veth"]) {
        left.extend(links.lines().map(|l| format!("link {l}")));
    }
    if let Ok(rules) = node.net.tool("nft", &["list", "ruleset"]) {
        let published = rules
            .lines()
            .filter(|l| l.contains("dnat to ") || l.contains("elements = "));
        left.extend(
            published
                .filter(|l| names_container(l))
                .map(|l| format!("rule {}", l.trim())),
        );
    }
    left
}

/// A published port's element maps to an address with a port; sets of constant ranges do not.
fn names_container(line: &str) -> bool {
    line.contains("dnat to 1")
        || line.split(' ').any(|word| {
            word.trim_end_matches(',')
                .parse::<std::net::Ipv4Addr>()
                .is_ok()
        })
}

/// Ends and removes whatever a failed test has left: processes, mounts, cgroups.
pub fn sweep(node: &Node) {
    for folder in instance_cgroups(node).iter().flat_map(|top| beneath(top)) {
        // A process in a frozen group dies when it is thawed.
        let _ = fs::write(folder.join("freezer.state"), "THAWED");
    }
    end_all(|| processes(node));
    unmount(node.dir());
    for top in instance_cgroups(node) {
        let mut folders = beneath(&top);
        // Deepest first; one that still holds a dying process stays, and the next sweep finds it.
        folders.sort_by_key(|f| std::cmp::Reverse(f.components().count()));
        for folder in folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// A cgroup and those in it.
fn beneath(top: &Path) -> Vec<PathBuf> {
    let mut folders = vec![top.to_path_buf()];
    walk(top, &mut |path| folders.push(path.to_path_buf()));
    folders
}

/// The same for another daemon that keeps everything in one folder.
pub fn sweep_folder(folder: &Path) {
    end_all(|| processes_of(&folder.display().to_string()));
    unmount(folder);
}

fn end_all(find: impl Fn() -> Vec<(i32, String)>) {
    for _ in 0..10 {
        let left = find();
        if left.is_empty() {
            break;
        }
        for (pid, _) in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let limit = std::time::Duration::from_secs(2);
        let _ = crate::wait::until("processes to end", limit, || find().is_empty());
    }
}

fn unmount(folder: &Path) {
    for mount in mounts(folder).iter().rev() {
        let _ = Command::new("umount").arg("-l").arg(mount).output();
    }
}

#[cfg(test)]
mod tests {
    use super::{is_ours, names_container};

    #[test]
    fn names_of_an_instance_are_told_apart() {
        assert!(is_ours("t12x1", "t12x1"));
        assert!(is_ours("gantry-t12x1", "t12x1"));
        assert!(!is_ours("gantry-t12x10", "t12x1"));
    }

    #[test]
    fn a_published_port_is_told_from_a_constant_set() {
        assert!(names_container(
            "elements = { tcp . 8080 : 10.89.0.2 . 80 }"
        ));
        assert!(!names_container("elements = { 127.0.0.0/8 }"));
    }
}
