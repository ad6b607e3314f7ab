//! What the runtime specification offers beyond what Gantry's own containers use: hooks, user and time namespaces,
//! namespaces by path, mount options, scheduling, filter listeners. Through `gantry-shim oci`, on real bundles.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::bundle::Bundle;
use gantry_integration::{cases, wait};
use serde_json::{Value, json};

cases![
    hooks_run_at_their_stage_in_their_namespaces,
    a_failing_hook_ends_the_container,
    hooks_get_nothing_of_the_containers_environment,
    a_user_namespace_of_its_own,
    a_user_namespace_by_path,
    namespaces_by_path,
    no_namespace_at_all,
    clocks_can_be_set_apart,
    attributes_reach_mounts_below,
    binds_stay_connected_as_asked,
    a_tmpfs_begins_with_the_images_files,
    owners_of_a_mount_are_mapped,
    devices_as_described,
    scheduling_and_personality,
    a_filters_listener_is_handed_over,
    what_is_not_done_is_refused_by_name,
    a_container_without_a_process,
];

/// The host's ids a container's first 1,000 stand for.
const SHIFT: u32 = 300_000;

fn with_users(b: &mut Bundle) -> Result<()> {
    let map = json!([{"containerID": 0, "hostID": SHIFT, "size": 1000}]);
    b.config["linux"]["uidMappings"] = map.clone();
    b.config["linux"]["gidMappings"] = map;
    namespaces(b)?.push(json!({"type": "user"}));
    own(b, SHIFT)
}

/// The root file system's owner, all of it.
fn own(b: &Bundle, id: u32) -> Result<()> {
    let mut left = vec![b.root()];
    while let Some(path) = left.pop() {
        std::os::unix::fs::lchown(&path, Some(id), Some(id))?;
        if path.is_dir() && !path.is_symlink() {
            left.extend(std::fs::read_dir(&path)?.flatten().map(|e| e.path()));
        }
    }
    Ok(())
}

fn namespaces(b: &mut Bundle) -> Result<&mut Vec<Value>> {
    let list = b.config["linux"]["namespaces"].as_array_mut();
    list.context("namespaces")
}

/// Appends to a file of the host which stage ran, its status and its mount namespace.
fn hook(b: &Bundle, stage: &str) -> Value {
    let file = b.host().join("stages");
    let script = format!(
        "read -r state; s=${{state#*status\\\":\\\"}}; echo {stage} ${{s%%\\\"*}} $(readlink /proc/self/ns/mnt) >> {}",
        file.display()
    );
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": 20})
}

fn hooks_run_at_their_stage_in_their_namespaces() -> Result<()> {
    let mut b = Bundle::new()?;
    for stage in [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ] {
        b.config["hooks"][stage] = json!([hook(&b, stage)]);
    }
    // Its program is the container's, and so is all it sees.
    let inside = "echo $(cat | busybox wc -c) in $(busybox readlink /proc/self/ns/mnt) > /started; busybox ps > /seen";
    b.config["hooks"]["startContainer"] =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", inside], "env": ["PATH=/bin"]}]);
    std::os::unix::fs::symlink("busybox", b.root().join("bin/cat"))?;
    b.config["process"]["args"] =
        json!(["/bin/sh", "-c", "busybox cat /started; busybox sleep 1000"]);
    let host = std::fs::read_link("/proc/self/ns/mnt")?
        .display()
        .to_string();
    let stages = |b: &Bundle| -> Result<Vec<Vec<String>>> {
        let text = std::fs::read_to_string(b.host().join("stages"))?;
        let words = |l: &str| l.split(' ').map(str::to_owned).collect();
        Ok(text.lines().map(words).collect())
    };
    b.ok(&["create", &b.id])?;
    let seen = stages(&b)?;
    let names: Vec<_> = seen
        .iter()
        .map(|s| (s[0].as_str(), s[1].as_str()))
        .collect();
    let wanted = [
        ("prestart", "created"),
        ("createRuntime", "creating"),
        ("createContainer", "creating"),
    ];
    ensure!(names == wanted, "{seen:?}");
    ensure!(
        seen[0][2] == host && seen[1][2] == host,
        "{seen:?}, ours {host}"
    );
    ensure!(seen[2][2] != host, "{seen:?}, ours {host}");
    ensure!(
        !b.root().join("started").is_file(),
        "startContainer before the start"
    );
    b.ok(&["start", &b.id])?;
    let seen = stages(&b)?;
    ensure!(
        seen.len() == 4 && seen[3][0] == "poststart" && seen[3][1] == "running",
        "{seen:?}"
    );
    ensure!(seen[3][2] == host, "{seen:?}");
    let started = std::fs::read_to_string(b.root().join("started"))?;
    ensure!(
        !started.contains(&host) && !started.starts_with("0 "),
        "{started}"
    );
    b.ok(&["kill", &b.id, "KILL"])?;
    wait::until("the container to end", Duration::from_secs(10), || {
        b.status().is_ok_and(|s| s == "stopped")
    })?;
    b.ok(&["delete", &b.id])?;
    let seen = stages(&b)?;
    ensure!(
        seen.len() == 5 && seen[4][..2] == ["poststop", "stopped"],
        "{seen:?}"
    );
    Ok(())
}

fn a_failing_hook_ends_the_container() -> Result<()> {
    for stage in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
    ] {
        let mut b = Bundle::new()?;
        b.config["hooks"][stage] = json!([
            {"path": "/bin/sh", "args": ["sh", "-c", "echo no such luck; exit 3"]},
            {"path": "/bin/sh", "args": ["sh", "-c", "echo second >&2"]}
        ]);
        b.config["hooks"]["poststop"] = json!([hook(&b, "poststop")]);
        b.refused(&format!(
            "{stage} hook 0 (/bin/sh) ended with code 3: no such luck"
        ))?;
        ensure!(
            !b.oci(&["state", &b.id])?.status.success(),
            "{stage}: it is still there"
        );
        let after = std::fs::read_to_string(b.host().join("stages"))?;
        ensure!(after.starts_with("poststop stopped"), "{stage}: {after}");
    }
    // Of poststart and poststop failures are told, and the others run.
    let mut b = Bundle::new()?;
    for stage in ["poststart", "poststop"] {
        let fails = json!({"path": "/bin/false"});
        b.config["hooks"][stage] = json!([fails, hook(&b, stage)]);
    }
    let done = b.oci(&["run", &b.id])?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(done.status.success(), "{said}");
    for stage in ["poststart", "poststop"] {
        ensure!(
            said.contains(&format!("warning: {stage} hook 0 (/bin/false)")),
            "{said}"
        );
    }
    let seen = std::fs::read_to_string(b.host().join("stages"))?;
    ensure!(seen.lines().count() == 2, "{seen}");
    // A limit is kept, also by what the hook has started.
    let mut b = Bundle::new()?;
    b.config["hooks"]["createRuntime"] =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", "sleep 1000 & wait"], "timeout": 1}]);
    b.refused("did not end within 1 s")
}

fn hooks_get_nothing_of_the_containers_environment() -> Result<()> {
    let mut b = Bundle::new()?;
    let file = b.host().join("env");
    // What once let an image load its own library into the runtime's hook.
    b.config["process"]["env"] = json!(["PATH=/bin", "LD_PRELOAD=/evil.so"]);
    std::fs::write(b.root().join("evil.so"), "evil")?;
    for stage in ["createRuntime", "createContainer"] {
        let script = format!(
            "{{ tr '\\0' ' ' < /proc/self/environ; pwd; ls /proc/self/fd | wc -l; }} >> {}",
            file.display()
        );
        b.config["hooks"][stage] =
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["ONLY=this"]}]);
    }
    b.sh("true")?;
    let seen = std::fs::read_to_string(&file)?;
    for line in seen.lines().step_by(2) {
        let mut words: Vec<_> = line.split(' ').collect();
        words.retain(|w| !w.starts_with("PWD="));
        ensure!(words == ["ONLY=this", "/"], "{seen}");
    }
    ensure!(!seen.contains("evil"), "{seen}");
    Ok(())
}

fn a_user_namespace_of_its_own() -> Result<()> {
    let mut b = Bundle::new()?;
    with_users(&mut b)?;
    b.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    let caps = json!(["CAP_CHOWN", "CAP_NET_ADMIN", "CAP_SETUID"]);
    for set in ["bounding", "permitted", "effective"] {
        b.config["process"]["capabilities"][set] = caps.clone();
    }
    let out = b.sh(
        "busybox cat /proc/self/uid_map | busybox tr -s ' '; busybox stat -c '%u %g %a %n' /dev /dev/null /dev/shm 2>&1; \
         echo made > /file; busybox chown 7:8 /file; busybox cat /proc/sys/net/ipv4/ip_forward; \
         echo x > /dev/null && echo null works; busybox ip link set lo mtu 1400 && echo its own network; \
         busybox mknod /disk b 7 0 2>/dev/null || echo no devices",
    )?;
    let wanted = format!(
        " 0 {SHIFT} 1000\n0 0 755 /dev\n0 0 666 /dev/null\nbusybox: can't stat '/dev/shm': No such file or directory\n\
         1\nnull works\nits own network\nno devices\n"
    );
    let out = out.replace("stat: can't", "busybox: can't");
    ensure!(out == wanted, "{out}");
    let file = b.root().join("file").metadata()?;
    ensure!(
        (file.uid(), file.gid()) == (SHIFT + 7, SHIFT + 8),
        "{file:?}"
    );
    b.host_is_untouched()?;
    // Its processes are nobody's on the host, and an exec joins them.
    b.config["process"]["args"] = json!(["/bin/busybox", "sleep", "1000"]);
    b.ok(&["run", "--detach", &b.id])?;
    let pids: Vec<i32> = serde_json::from_str(&b.ok(&["ps", "--format", "json", &b.id])?)?;
    let owner = std::fs::metadata(format!("/proc/{}", pids[0]))?.uid();
    ensure!(owner == SHIFT, "process of {owner}");
    let id = b.ok(&["exec", "--user", "5:6", &b.id, "busybox", "id"])?;
    ensure!(id.starts_with("uid=5 gid=6"), "{id}");
    let link = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/user"));
    ensure!(link(pids[0])? != std::fs::read_link("/proc/self/ns/user")?);
    Ok(())
}

fn a_user_namespace_by_path() -> Result<()> {
    let mut first = Bundle::new()?;
    with_users(&mut first)?;
    first.config["process"]["args"] = json!(["/bin/busybox", "sleep", "1000"]);
    first.ok(&["run", "--detach", &first.id])?;
    let pids: Vec<i32> = serde_json::from_str(&first.ok(&["ps", "-f", "json", &first.id])?)?;
    let mut b = Bundle::new()?;
    own(&b, SHIFT)?;
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", pids[0]);
    namespaces(&mut b)?.retain(|n| n["type"] != "network");
    namespaces(&mut b)?.push(json!({"type": "user", "path": path("user")}));
    namespaces(&mut b)?.push(json!({"type": "network", "path": path("net")}));
    let out = b.sh(
        "busybox cat /proc/self/uid_map | busybox tr -s ' '; busybox readlink /proc/self/ns/user; \
         busybox readlink /proc/self/ns/net; busybox hostname; echo $$",
    )?;
    let link = |kind: &str| -> Result<String> {
        Ok(std::fs::read_link(path(kind))?.display().to_string())
    };
    let wanted = format!(
        " 0 {SHIFT} 1000\n{}\n{}\ninside\n1\n",
        link("user")?,
        link("net")?
    );
    ensure!(out == wanted, "{out}{wanted}");
    b.host_is_untouched()
}

fn namespaces_by_path() -> Result<()> {
    let mut first = Bundle::new()?;
    first.config["process"]["args"] = json!(["/bin/busybox", "sleep", "1000"]);
    first.config["hostname"] = json!("first");
    first.ok(&["run", "--detach", &first.id])?;
    let pids: Vec<i32> = serde_json::from_str(&first.ok(&["ps", "-f", "json", &first.id])?)?;
    let mut b = Bundle::new()?;
    b.config
        .as_object_mut()
        .context("config")?
        .remove("hostname");
    let kinds = [
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("pid", "pid"),
    ];
    let joined = kinds
        .map(|(kind, file)| json!({"type": kind, "path": format!("/proc/{}/ns/{file}", pids[0])}));
    let mut all = joined.to_vec();
    all.push(json!({"type": "mount"}));
    *namespaces(&mut b)? = all;
    let out = b.sh("busybox hostname; busybox ps -o args; for n in net ipc uts pid; do busybox readlink /proc/self/ns/$n; done")?;
    ensure!(
        out.starts_with("first\n") && out.contains("sleep 1000"),
        "{out}"
    );
    for (_, file) in kinds {
        let link = std::fs::read_link(format!("/proc/{}/ns/{file}", pids[0]))?;
        ensure!(out.contains(&link.display().to_string()), "{file}: {out}");
    }
    *namespaces(&mut b)? = vec![json!({"type": "mount"}), json!({"type": "mount"})];
    b.refused("listed twice")
}

fn no_namespace_at_all() -> Result<()> {
    let mut b = Bundle::new()?;
    b.config
        .as_object_mut()
        .context("config")?
        .remove("hostname");
    *namespaces(&mut b)? = Vec::new();
    let mounts = b.config["mounts"].as_array_mut().context("mounts")?;
    mounts.retain(|m| m["destination"] != "/sys/fs/cgroup");
    let link = |kind: &str| -> Result<String> {
        Ok(std::fs::read_link(format!("/proc/self/ns/{kind}"))?
            .display()
            .to_string())
    };
    let out = b.sh("busybox ls /; for n in mnt net pid; do busybox readlink /proc/self/ns/$n; done; echo x > /dev/null; busybox ls /proc/self/fd")?;
    let wanted = format!(
        "bin\ndev\netc\nproc\nsys\n{}\n{}\n{}\n0\n1\n2\n3\n",
        link("mnt")?,
        link("net")?,
        link("pid")?
    );
    ensure!(out == wanted, "{out}{wanted}");
    b.host_is_untouched()
}

fn clocks_can_be_set_apart() -> Result<()> {
    let mut b = Bundle::new()?;
    namespaces(&mut b)?.push(json!({"type": "time"}));
    b.config["linux"]["timeOffsets"] =
        json!({"boottime": {"secs": 1_000_000_000}, "monotonic": {"secs": 7}});
    let out = b.sh("busybox cut -d. -f1 /proc/uptime")?;
    let uptime: u64 = out.trim().parse()?;
    ensure!(uptime >= 1_000_000_000, "{uptime}");
    b.config["process"]["args"] = json!(["/bin/busybox", "sleep", "1000"]);
    b.ok(&["run", "--detach", &b.id])?;
    let out = b.ok(&[
        "exec",
        &b.id,
        "busybox",
        "cut",
        "-d.",
        "-f1",
        "/proc/uptime",
    ])?;
    ensure!(out.trim().parse::<u64>()? >= 1_000_000_000, "exec: {out}");
    Ok(())
}

fn attributes_reach_mounts_below() -> Result<()> {
    let mut b = Bundle::new()?;
    // A mount beneath the source, in the mount namespace of this very command.
    let source = b.path().join("source");
    std::fs::create_dir_all(source.join("below"))?;
    let mut bind = |target: &str, options: &[&str]| {
        b.mount(
            json!({"destination": target, "type": "bind", "source": source, "options": options}),
        );
    };
    bind("/plain", &["rbind", "ro"]);
    bind(
        "/deep",
        &[
            "rbind",
            "rro",
            "rnoexec",
            "rnosuid",
            "rnodev",
            "rnosymfollow",
        ],
    );
    bind("/back", &["rbind", "ro", "noexec", "rrw", "rexec"]);
    bind("/flat", &["bind"]);
    b.config["process"]["args"] = json!(["/bin/busybox", "cat", "/proc/self/mountinfo"]);
    let run = b.command(&["run", &b.id])?;
    let mut inside = std::process::Command::new("unshare");
    inside.args([
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs below \"$1\" && shift && exec \"$@\"",
        "sh",
    ]);
    inside
        .arg(source.join("below"))
        .arg(run.get_program())
        .args(run.get_args());
    let done = inside.output()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let options = |target: &str| -> Result<Vec<String>> {
        let line = text.lines().find(|l| l.split(' ').nth(4) == Some(target));
        let line = line.with_context(|| format!("{target} is not in\n{text}"))?;
        Ok(line
            .split(' ')
            .nth(5)
            .unwrap_or_default()
            .split(',')
            .map(str::to_owned)
            .collect())
    };
    let has = |target: &str, word: &str| -> Result<bool> {
        Ok(options(target)?.iter().any(|o| o == word))
    };
    ensure!(
        has("/plain", "ro")? && !has("/plain/below", "ro")?,
        "{text}"
    );
    for word in ["ro", "noexec", "nosuid", "nodev", "nosymfollow"] {
        ensure!(
            has("/deep", word)? && has("/deep/below", word)?,
            "{word}: {text}"
        );
    }
    ensure!(!has("/back", "ro")? && !has("/back", "noexec")?, "{text}");
    ensure!(options("/flat/below").is_err(), "{text}");
    Ok(())
}

fn binds_stay_connected_as_asked() -> Result<()> {
    for root in ["rshared", "rprivate"] {
        let mut b = Bundle::new()?;
        let source = b.path().join("source");
        for dir in ["out", "late"] {
            std::fs::create_dir_all(source.join(dir))?;
        }
        let bind = |target: &str, how: &str| json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", how]});
        for (target, how) in [
            ("/shared", "rshared"),
            ("/slave", "rslave"),
            ("/private", "rprivate"),
        ] {
            b.mount(bind(target, how));
        }
        // Mounted by the host when the binds are made.
        let late = source.join("late").display().to_string();
        b.config["hooks"]["createRuntime"] =
            json!([{"path": "/bin/mount", "args": ["mount", "-t", "tmpfs", "late", late]}]);
        for set in ["bounding", "permitted", "effective"] {
            b.config["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
        }
        let script = "busybox cut -d' ' -f5 /proc/self/mountinfo; busybox mount -t tmpfs out /shared/out; busybox mount -t tmpfs out /slave/late";
        b.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        let run = b.command(&["run", &b.id])?;
        let mut outer = std::process::Command::new("unshare");
        outer.args([
            "-m",
            "sh",
            "-c",
            "mount --make-$1 / && shift && \"$@\" && echo @ && cut -d' ' -f5 /proc/self/mountinfo",
            "sh",
            root,
        ]);
        outer.arg(run.get_program()).args(run.get_args());
        let done = outer.output()?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let (inside, outside) = text.split_once("@\n").context("two tables")?;
        let connected = root == "rshared";
        let has = |table: &str, place: &str| table.lines().any(|l| l == place);
        for (place, wanted) in [
            ("/shared/late", connected),
            ("/slave/late", connected),
            ("/private/late", false),
        ] {
            ensure!(
                has(inside, place) == wanted,
                "{root}: {place} inside\n{inside}"
            );
        }
        let out = source.join("out").display().to_string();
        ensure!(
            has(outside, &out) == connected,
            "{root}: {out} outside\n{outside}"
        );
        // The mounts of the container itself are nowhere outside.
        let bundle = b.root().display().to_string();
        ensure!(
            !outside.contains(&bundle) && !has(outside, "/shared"),
            "{root}\n{outside}"
        );
    }
    Ok(())
}

fn a_tmpfs_begins_with_the_images_files() -> Result<()> {
    let mut b = Bundle::new()?;
    std::fs::create_dir_all(b.root().join("data/sub"))?;
    std::fs::write(b.root().join("data/sub/file"), "from the image\n")?;
    std::fs::set_permissions(
        b.root().join("data/sub/file"),
        PermissionsExt::from_mode(0o640),
    )?;
    std::os::unix::fs::symlink(b.way_out(), b.root().join("data/link"))?;
    b.mount(json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro", "size=1m"]}));
    let out = b.sh("busybox cat /data/sub/file; busybox stat -c %a /data/sub/file; busybox readlink /data/link | busybox wc -c; echo x 2>/dev/null > /data/new || echo read-only")?;
    let wanted = format!(
        "from the image\n640\n{}\nread-only\n",
        b.way_out().len() + 1
    );
    ensure!(out == wanted, "{out}");
    b.mount(
        json!({"destination": "/data", "type": "proc", "source": "proc", "options": ["tmpcopyup"]}),
    );
    b.refused("tmpcopyup")
}

fn owners_of_a_mount_are_mapped() -> Result<()> {
    let mut b = Bundle::new()?;
    let source = b.path().join("source");
    std::fs::create_dir(&source)?;
    std::fs::write(source.join("of-root"), "")?;
    std::fs::write(source.join("of-5"), "")?;
    std::os::unix::fs::chown(source.join("of-5"), Some(5), Some(5))?;
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 100}]);
    let bind = |options: &[&str]| json!({"destination": "/data", "type": "bind", "source": source, "options": options});
    let mut mapped = bind(&["bind", "idmap"]);
    mapped["uidMappings"] = map.clone();
    mapped["gidMappings"] = map;
    b.mount(mapped);
    let out = b.sh("busybox stat -c '%u %g' /data/of-root /data/of-5")?;
    ensure!(out == "1000 1000\n1005 1005\n", "{out}");
    b.config["mounts"].as_array_mut().context("mounts")?.pop();
    b.mount(bind(&["rbind", "ridmap"]));
    b.refused("without a user namespace")?;
    // In a user namespace its own maps are what is meant: the host's owners are the container's.
    let mut b = Bundle::new()?;
    with_users(&mut b)?;
    b.mount(bind(&["rbind", "ridmap"]));
    let out = b.sh("busybox stat -c '%u %g' /data/of-root /data/of-5; echo new > /data/new")?;
    ensure!(out == "0 0\n5 5\n", "{out}");
    ensure!(
        source.join("new").metadata()?.uid() == 0,
        "made inside by root"
    );
    Ok(())
}

fn devices_as_described() -> Result<()> {
    let mut b = Bundle::new()?;
    b.config["linux"]["devices"] = json!([
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/sub/pipe", "type": "p", "major": 0, "minor": 0, "fileMode": 0o600},
        {"path": "/dev/disk", "type": "b", "major": 7, "minor": 200}
    ]);
    let script = "busybox stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/sub/pipe /dev/disk; busybox head -c 2 /dev/mine | busybox wc -c; busybox head -c 1 /dev/disk 2>&1";
    b.config["process"]["capabilities"]["effective"] = json!(["CAP_DAC_OVERRIDE"]);
    b.config["process"]["capabilities"]["permitted"] = json!(["CAP_DAC_OVERRIDE"]);
    b.config["process"]["capabilities"]["bounding"] = json!(["CAP_DAC_OVERRIDE"]);
    b.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    let done = b.oci(&["run", &b.id])?;
    let out = String::from_utf8(done.stdout)?;
    let wanted = "character special file 1:5 640 3:4\nfifo 0:0 600 0:0\nblock special file 7:c8 666 0:0\n2\nhead: /dev/disk: Operation not permitted\n";
    ensure!(
        out == wanted,
        "{out}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

fn scheduling_and_personality() -> Result<()> {
    let mut b = Bundle::new()?;
    b.config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7});
    b.config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
    b.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    // Fields 19 and 41 of stat: nice and policy (3 is SCHED_BATCH).
    let out =
        b.sh("busybox cut -d' ' -f19,41 /proc/self/stat; busybox ionice -p 1; busybox uname -m")?;
    let machine = if cfg!(target_arch = "x86_64") {
        "i686"
    } else {
        "armv8l"
    };
    ensure!(
        out == format!("7 3\nidle: prio 0\n{machine}\n")
            || out == format!("7 3\nidle\n{machine}\n"),
        "{out}"
    );
    b.config["process"]["ioPriority"]["priority"] = json!(9);
    b.refused("process.ioPriority.priority 9")?;
    b.config["process"]["ioPriority"]["priority"] = json!(0);
    b.config["process"]["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}, {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}
    ]);
    b.refused("names a limit twice")
}

/// The message of a filter's first listener, and its descriptor.
fn receive(stream: &UnixStream) -> Result<(Value, OwnedFd)> {
    let mut buffer = vec![0; 16384];
    let mut got = gantry_sys::fdpass::recv(stream, &mut buffer)?;
    ensure!(got.fds.len() == 1, "{} descriptors", got.fds.len());
    let listener = got.fds.pop().context("a descriptor")?;
    Ok((serde_json::from_slice(&buffer[..got.len])?, listener))
}

fn a_filters_listener_is_handed_over() -> Result<()> {
    let mut b = Bundle::new()?;
    let path = b.path().join("agent.sock");
    let agent = UnixListener::bind(&path)?;
    b.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": path,
        "listenerMetadata": "for the agent",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
    });
    b.config["annotations"] = json!({"a": "b"});
    b.config["process"]["noNewPrivileges"] = json!(true);
    b.config["process"]["args"] = json!(["/bin/sh", "-c", "busybox mkdir /x 2>&1; echo end"]);
    let mut command = b.command(&["run", &b.id])?;
    let child = command.stdout(std::process::Stdio::piped()).spawn()?;
    let (stream, _) = agent.accept()?;
    let (state, listener) = receive(&stream)?;
    ensure!(state["fds"] == json!(["seccompFd"]), "{state}");
    ensure!(state["metadata"] == "for the agent", "{state}");
    ensure!(
        state["state"]["id"] == b.id.as_str() && state["state"]["annotations"]["a"] == "b",
        "{state}"
    );
    let pid = state["pid"].as_i64().context("pid")?;
    let root = std::fs::read_link(format!("/proc/{pid}/ns/pid"))?;
    ensure!(
        root != std::fs::read_link("/proc/self/ns/pid")?,
        "pid {pid} is as the host counts"
    );
    // Without anybody to answer the kernel says that there is no such call.
    drop(listener);
    let mut out = String::new();
    child.stdout.context("stdout")?.read_to_string(&mut out)?;
    ensure!(
        out.contains("Function not implemented") && out.ends_with("end\n"),
        "{out}"
    );
    b.config["linux"]["seccomp"]["listenerPath"] = json!(b.path().join("nobody.sock"));
    b.refused("connect to seccomp agent")?;
    b.config["linux"]["seccomp"]["syscalls"][0]["names"] = json!(["sendmsg"]);
    b.refused("SCMP_ACT_NOTIFY is not possible")
}

fn what_is_not_done_is_refused_by_name() -> Result<()> {
    let mut b = Bundle::new()?;
    let whole = b.config.clone();
    for (place, value, words) in [
        (
            "/linux/intelRdt",
            json!({}),
            "linux.intelRdt is not supported",
        ),
        (
            "/linux/netDevices",
            json!({"eth7": {}}),
            "linux.netDevices is not supported",
        ),
        (
            "/linux/rootfsPropagation",
            json!("sideways"),
            "root propagation \"sideways\"",
        ),
        (
            "/process/capabilities/bounding",
            json!(["CAP_FLY"]),
            "CAP_FLY",
        ),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_FLY", "soft": 1, "hard": 1}]),
            "RLIMIT_FLY",
        ),
        ("/process/cwd", json!("relative"), "is not absolute"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_FLY"}),
            "SCMP_ACT_FLY",
        ),
        (
            "/linux/uidMappings",
            json!([{"containerID": 0, "hostID": 1, "size": 1}]),
            "without a user namespace",
        ),
        (
            "/hooks",
            json!({"poststart": [{"path": "relative"}]}),
            "its path is not absolute",
        ),
        ("/ociVersion", json!("0.5.0"), "ociVersion \"0.5.0\""),
    ] {
        b.config = whole.clone();
        let (above, name) = place.rsplit_once('/').context("a place")?;
        b.config.pointer_mut(above).context("above")?[name] = value;
        b.refused(words)?;
    }
    for (name, label, file) in [
        (
            "apparmorProfile",
            "none-such",
            "/sys/module/apparmor/parameters/enabled",
        ),
        ("selinuxLabel", "a:b:c:s0", "/sys/fs/selinux/enforce"),
    ] {
        b.config = whole.clone();
        b.config["process"][name] = json!(label);
        let there = std::fs::read_to_string(file).is_ok_and(|t| !t.starts_with('N'));
        let words = if there {
            format!("{label:?}")
        } else {
            format!("process.{name} {label:?}: ")
        };
        b.refused(&words)?;
    }
    b.host_is_untouched()
}

fn a_container_without_a_process() -> Result<()> {
    let mut b = Bundle::new()?;
    b.config
        .as_object_mut()
        .context("config")?
        .remove("process");
    b.ok(&["create", &b.id])?;
    ensure!(b.status()? == "created");
    let done = b.oci(&["start", &b.id])?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(
        !done.status.success() && said.contains("no process"),
        "{said}"
    );
    wait::until("the container to end", Duration::from_secs(10), || {
        b.status().is_ok_and(|s| s == "stopped")
    })?;
    b.ok(&["delete", &b.id])?;
    Ok(())
}
