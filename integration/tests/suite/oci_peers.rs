//! The same bundles through our runtime, Debian's runc and crun: what the container sees must be the same, but for the
//! differences written down here with their reason.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use gantry_integration::bundle::{Bundle, Runtime};
use gantry_integration::cases;
use serde_json::{Value, json};

cases![
    ordinary_as_runc,
    ordinary_as_crun,
    tight_as_runc,
    tight_as_crun,
    users_as_runc,
    users_as_crun
];

/// Prints everything a program can see of its container, in sections.
const LOOK: &str = r#"
busybox echo @mounts; busybox cat /proc/self/mountinfo
busybox echo @status; busybox grep -E '^(Uid|Gid|Groups|Umask|NoNewPrivs|Seccomp):|^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status
busybox echo @limits; busybox cat /proc/self/limits
busybox echo @devices; for f in /dev/* /dev/pts/*; do busybox stat -c '%n %F %t:%T %a %u:%g' $f; busybox readlink $f; done
busybox echo @groups; for f in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us pids/pids.max memory.max memory.high cpu.max cpu.weight pids.max; do [ -e /sys/fs/cgroup/$f ] && busybox echo $f $(busybox cat /sys/fs/cgroup/$f); done
busybox echo @rules; busybox cat /sys/fs/cgroup/devices/devices.list 2>/dev/null
busybox echo @rest; busybox hostname; busybox pwd; busybox env | busybox sort; busybox id
busybox cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/kernel/domainname
busybox ip -o link | busybox cut -d' ' -f2,3; busybox ps -o pid,args | busybox grep -v 'ps -o\|grep'
busybox head -c 1 /proc/keys; busybox ls /sys/firmware; (echo x > /proc/sys/kernel/msgmax) 2>&1; (echo x > /new) 2>&1; busybox ls /proc/self/fd
busybox echo @end
"#;

const DEFAULT_DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

type Sections = BTreeMap<String, Vec<String>>;

fn look(b: &mut Bundle, runtime: Runtime) -> Result<Sections> {
    b.runtime = runtime;
    let text = b.sh(LOOK).with_context(|| format!("{runtime:?}"))?;
    ensure!(text.ends_with("@end\n"), "{runtime:?}: {text}");
    let mut sections = Sections::new();
    let mut name = String::new();
    for line in text.lines() {
        match line.strip_prefix('@') {
            Some(next) => next.clone_into(&mut name),
            None => sections
                .entry(name.clone())
                .or_default()
                .push(line.to_owned()),
        }
    }
    Ok(sections)
}

/// A mount: its file system and attributes, by its place.
fn mounts(lines: &[String]) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let one = |line: &String| {
        let mut words = line.split(' ');
        let (place, options) = (words.nth(4)?.to_owned(), words.next()?);
        let kind = line.split(" - ").nth(1)?.split(' ').next()?.to_owned();
        Some((
            place,
            (kind, options.split(',').map(str::to_owned).collect()),
        ))
    };
    // Which controllers are mounted is each runtime's choice: ours mounts those that the container is under. Default
    // devices of a user namespace are nodes of its own with us, as the one who makes them may; others bind the host's.
    let chosen = |place: &str| {
        place.starts_with("/sys/fs/cgroup/")
            || DEFAULT_DEVICES
                .iter()
                .any(|d| place.strip_prefix("/dev/") == Some(d))
    };
    let all = lines.iter().filter_map(one);
    all.filter(|(place, _)| !chosen(place)).collect()
}

fn same_mounts(ours: &[String], theirs: &[String]) -> Result<()> {
    let (ours, theirs) = (mounts(ours), mounts(theirs));
    let places = |m: &BTreeMap<String, _>| m.keys().cloned().collect::<Vec<_>>();
    ensure!(
        places(&ours) == places(&theirs),
        "places\nours:   {:?}\ntheirs: {:?}",
        places(&ours),
        places(&theirs)
    );
    for (place, (kind, options)) in &ours {
        let (their_kind, their_options) = &theirs[place];
        // A masked file is covered by the container's own null device, not by the host's: it cannot be swapped.
        let mask = kind == "tmpfs" && their_kind == "devtmpfs";
        // crun's tmpfs of v1 is named after what is mounted in it; the file system is the same.
        ensure!(
            kind == their_kind || mask,
            "{place}: {kind}, theirs {their_kind}"
        );
        // The kernel's own file systems and masks are always nosuid, nodev, noexec; on v1 their root is read-only when
        // it was asked for.
        let extra: Vec<&String> = options.difference(their_options).collect();
        let kernels = place.starts_with("/proc") || place.starts_with("/sys");
        let fine = |o: &str| {
            kernels && matches!(o, "nosuid" | "nodev" | "noexec")
                || place == "/sys/fs/cgroup" && o == "ro"
                || mask && o == "rw"
        };
        ensure!(
            extra.iter().all(|o| fine(o)),
            "{place}: ours {options:?}, theirs {their_options:?}"
        );
        let missing: Vec<&String> = their_options.difference(options).collect();
        let known = |o: &str| {
            (place == "/sys/fs/cgroup" && o == "rw") || (mask && matches!(o, "ro" | "relatime"))
        };
        ensure!(
            missing.iter().all(|o| known(o)),
            "{place}: ours {options:?}, theirs {their_options:?}"
        );
    }
    Ok(())
}

/// Lines in any order, without those that differ for a known reason.
fn set(lines: Option<&Vec<String>>, known: &[&str]) -> BTreeSet<String> {
    let all = lines.into_iter().flatten();
    all.filter(|l| !known.iter().any(|k| l.starts_with(k)))
        .cloned()
        .collect()
}

fn compare(mut b: Bundle, peer: Runtime) -> Result<()> {
    let ours = look(&mut b, Runtime::Gantry)?;
    let theirs = look(&mut b, peer)?;
    same_mounts(&ours["mounts"], &theirs["mounts"])
        .with_context(|| format!("mounts beside {peer:?}"))?;
    // /dev/core leads to a file that is masked or not there: others make it only where the kernel has the file.
    let devices = ["/dev/core", "/proc/kcore"];
    // Debian's runc lets every container use /dev/net/tun, crun /dev/console; the rule for making nodes comes twice.
    let rules = ["c 10:200 rwm", "c 5:1 rwm"];
    let mapped = b.config["linux"]["uidMappings"].is_array();
    let unowned = |lines: &mut Sections| {
        for line in lines.entry("devices".into()).or_default() {
            let node = DEFAULT_DEVICES
                .iter()
                .any(|d| line.starts_with(&format!("/dev/{d} ")));
            // See `mounts`: what is bound from the host is nobody's in the container. And crun gives /dev/null to the
            // user when it is his standard input.
            if node && (mapped || peer == Runtime::Crun) {
                line.truncate(line.rfind(' ').unwrap_or(0));
            }
        }
    };
    let (mut ours, mut theirs) = (ours, theirs);
    unowned(&mut ours);
    unowned(&mut theirs);
    for (section, known) in [
        ("status", &[][..]),
        ("limits", &[]),
        ("devices", &devices),
        ("groups", &[]),
        ("rules", &rules),
        ("rest", &[]),
    ] {
        let (a, b) = (
            set(ours.get(section), known),
            set(theirs.get(section), known),
        );
        ensure!(
            a == b,
            "{section} beside {peer:?}\nonly ours:   {:#?}\nonly theirs: {:#?}",
            a.difference(&b).collect::<Vec<_>>(),
            b.difference(&a).collect::<Vec<_>>()
        );
    }
    b.host_is_untouched()
}

/// What most containers are made of.
fn ordinary() -> Result<Bundle> {
    let mut b = Bundle::new()?;
    let process = &mut b.config["process"];
    let caps = [
        "CAP_CHOWN",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_MKNOD",
    ];
    for set in ["bounding", "permitted", "effective"] {
        process["capabilities"][set] = json!(caps);
    }
    // Ours are never inheritable for their own sake (see docs/security.md).
    process["capabilities"]
        .as_object_mut()
        .context("capabilities")?
        .remove("inheritable");
    process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    process["env"] = json!(["PATH=/bin", "HOME=/", "A=b"]);
    process["oomScoreAdj"] = json!(100);
    let linux = &mut b.config["linux"];
    linux["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"});
    linux["resources"]["memory"] = json!({"limit": 67_108_864, "reservation": 33_554_432});
    linux["resources"]["cpu"] = json!({"shares": 512, "quota": 50_000, "period": 100_000});
    linux["resources"]["pids"] = json!({"limit": 50});
    b.mount(json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]}));
    b.mount(json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]}));
    std::fs::create_dir(b.path().join("volume"))?;
    let volume = b.path().join("volume");
    b.mount(json!({"destination": "/volume", "type": "bind", "source": volume, "options": ["rbind", "ro", "nosuid", "rprivate"]}));
    Ok(b)
}

/// A user, a filter, no new privileges, a root that cannot be written.
fn tight() -> Result<Bundle> {
    let mut b = ordinary()?;
    b.config["root"]["readonly"] = json!(true);
    for dir in ["dev", "proc", "sys", "volume"] {
        std::fs::create_dir(b.root().join(dir))?;
    }
    let process = &mut b.config["process"];
    process["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 10], "umask": 0o27});
    process["noNewPrivileges"] = json!(true);
    process["cwd"] = json!("/etc");
    b.config["linux"]["devices"] = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o660, "uid": 7, "gid": 8}]);
    b.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["keyctl", "add_key"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]
    });
    Ok(b)
}

/// Ids mapped. What the kernel does not let a runtime inside make is left out.
fn users() -> Result<Bundle> {
    let mut b = ordinary()?;
    let map = json!([{"containerID": 0, "hostID": 300_000, "size": 65_536}]);
    b.config["linux"]["uidMappings"] = map.clone();
    b.config["linux"]["gidMappings"] = map;
    let list = b.config["linux"]["namespaces"]
        .as_array_mut()
        .context("namespaces")?;
    list.push(json!({"type": "user"}));
    let mounts: &mut Vec<Value> = b.config["mounts"].as_array_mut().context("mounts")?;
    mounts.retain(|m| m["destination"] != "/dev/mqueue");
    for path in [b.root(), b.root().join("bin"), b.root().join("etc")] {
        std::os::unix::fs::chown(path, Some(300_000), Some(300_000))?;
    }
    Ok(b)
}

fn ordinary_as_runc() -> Result<()> {
    compare(ordinary()?, Runtime::Runc)
}

fn ordinary_as_crun() -> Result<()> {
    compare(ordinary()?, Runtime::Crun)
}

fn tight_as_runc() -> Result<()> {
    compare(tight()?, Runtime::Runc)
}

fn tight_as_crun() -> Result<()> {
    compare(tight()?, Runtime::Crun)
}

fn users_as_runc() -> Result<()> {
    compare(users()?, Runtime::Runc)
}

fn users_as_crun() -> Result<()> {
    compare(users()?, Runtime::Crun)
}
