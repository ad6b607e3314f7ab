//! The OCI runtime alone (`gantry-shim oci`), on bundles whose root tries to lead it out.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gantry_integration::{cases, paths, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

cases![
    a_process_sees_only_its_own,
    links_in_the_root_lead_nowhere,
    dangling_links_are_followed_inside,
    procfs_cannot_be_covered,
    only_namespaced_sysctls_are_set,
    a_working_directory_by_descriptor_is_refused,
    our_binary_cannot_be_an_interpreter,
    create_start_kill_delete,
];

/// A bundle with busybox in a folder of its own; `host` beside it is what an attack would reach for.
struct Bundle {
    dir: TempDir,
    id: String,
    config: Value,
}

impl Bundle {
    fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = TempDir::new()?;
        for folder in ["bundle/rootfs/bin", "bundle/rootfs/etc", "host", "state"] {
            std::fs::create_dir_all(dir.path().join(folder))?;
        }
        let made = Self {
            id: format!(
                "b{}x{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            ),
            config: config(),
            dir,
        };
        std::fs::copy("/bin/busybox", made.root().join("bin/busybox"))?;
        symlink("busybox", made.root().join("bin/sh"))?;
        Ok(made)
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("bundle/rootfs")
    }

    fn host(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    /// A link text that climbs out of the root to `host`, whatever depth it is read at.
    fn way_out(&self) -> String {
        format!("../../../../../../../..{}", self.host().display())
    }

    fn oci(&self, args: &[&str]) -> Result<Output> {
        let mut config = self.config.clone();
        config["linux"]["cgroupsPath"] = json!(format!("gantry-test-{}", self.id));
        std::fs::write(
            self.dir.path().join("bundle/config.json"),
            config.to_string(),
        )?;
        let program = paths::program("gantry-shim")?;
        let mut command = Command::new(program);
        command
            .args(["oci", "--root"])
            .arg(self.dir.path().join("state"))
            .args(args);
        command
            .arg("--bundle")
            .arg(self.dir.path().join("bundle"))
            .stdin(Stdio::null());
        if args[0] == "create" {
            // The container keeps these streams, so a pipe would not end before it does.
            command.stdout(Stdio::null()).stderr(Stdio::null());
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let done = command
            .spawn()
            .and_then(std::process::Child::wait_with_output);
        done.context("run gantry-shim")
    }

    /// Runs a shell script inside; its output, or why it failed.
    fn sh(&mut self, script: &str) -> Result<String> {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        let done = self.oci(&["run", &self.id])?;
        let err = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{}: {err}", done.status);
        Ok(String::from_utf8(done.stdout)?)
    }

    /// Expects the runtime to refuse, with this in its words.
    fn refused(&mut self, words: &str) -> Result<()> {
        match self.sh("echo started") {
            Ok(out) => bail!("not refused: {out}"),
            Err(e) if e.to_string().contains(words) => Ok(()),
            Err(e) => bail!("refused, but not for {words:?}: {e}"),
        }
    }

    fn host_is_untouched(&self) -> Result<()> {
        let found: Vec<_> = std::fs::read_dir(self.host())?
            .flatten()
            .map(|e| e.path())
            .collect();
        ensure!(found.is_empty(), "made on the host: {found:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let ours = self.dir.path().display().to_string();
        ensure!(!mounts.contains(&ours), "mounted on the host:\n{mounts}");
        Ok(())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.oci(&["delete", "--force", &self.id]);
    }
}

fn config() -> Value {
    let namespaces =
        ["mount", "pid", "ipc", "uts", "network", "cgroup"].map(|t| json!({"type": t}));
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/busybox", "true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_MKNOD"],
                "permitted": ["CAP_CHOWN", "CAP_MKNOD"],
                "effective": ["CAP_CHOWN", "CAP_MKNOD"],
                "inheritable": ["CAP_CHOWN"]
            }
        },
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["ro"])
        ],
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
            "resources": {"devices": [
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "access": "m"},
                {"allow": true, "type": "b", "access": "m"}
            ]}
        }
    })
}

fn a_process_sees_only_its_own() -> Result<()> {
    let mut b = Bundle::new()?;
    let status = b.sh("busybox cat /proc/self/status")?;
    ensure!(status.contains("CapInh:\t0000000000000000"), "{status}");
    ensure!(status.contains("CapBnd:\t0000000008000001"), "{status}");
    // The listing's own descriptor is the fourth.
    let fds = b.sh("busybox ls /proc/self/fd")?;
    ensure!(fds.split_whitespace().eq(["0", "1", "2", "3"]), "{fds}");
    let seen = b.sh("busybox hostname; echo $$; busybox ls / | busybox tr '\\n' ' '")?;
    ensure!(seen == "inside\n1\nbin dev etc proc sys ", "{seen:?}");
    let tries = b.sh(
        "cd /; for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger; do (echo x > $f) 2>/dev/null && echo wrote $f; done
         busybox cat /proc/keys; busybox ls /sys/firmware
         busybox mknod /dev/disk b 254 0 && (busybox head -c 1 /dev/disk) 2>/dev/null && echo read disk; echo end",
    )?;
    ensure!(tries == "end\n", "{tries}");
    b.host_is_untouched()
}

fn links_in_the_root_lead_nowhere() -> Result<()> {
    for place in ["dev", "proc", "sys"] {
        let mut b = Bundle::new()?;
        symlink(b.way_out(), b.root().join(place))?;
        b.refused(&format!("mount /{place}"))?;
        b.host_is_untouched()?;
    }
    Ok(())
}

fn dangling_links_are_followed_inside() -> Result<()> {
    let mut b = Bundle::new()?;
    symlink(b.way_out(), b.root().join("etc/out"))?;
    symlink("../run/stub", b.root().join("etc/resolv.conf"))?;
    let source = b.dir.path().join("file");
    std::fs::write(&source, "bound\n")?;
    for target in ["/etc/resolv.conf", "/etc/out/deep/file"] {
        let bind = json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"]});
        b.config["mounts"]
            .as_array_mut()
            .context("mounts")?
            .push(bind);
    }
    let out = b.sh("busybox cat /run/stub /etc/out/deep/file")?;
    ensure!(out == "bound\nbound\n", "{out}");
    b.host_is_untouched()
}

fn procfs_cannot_be_covered() -> Result<()> {
    let mut b = Bundle::new()?;
    symlink("/proc", b.root().join("disguise"))?;
    for target in ["/proc/self", "/disguise/sys"] {
        let bind =
            json!({"destination": target, "type": "bind", "source": "/etc", "options": ["rbind"]});
        let mounts = b.config["mounts"].as_array_mut().context("mounts")?;
        mounts.push(bind);
        b.refused("inside procfs")?;
        b.config["mounts"].as_array_mut().context("mounts")?.pop();
    }
    Ok(())
}

fn only_namespaced_sysctls_are_set() -> Result<()> {
    let mut b = Bundle::new()?;
    for (name, value) in [
        ("kernel.core_pattern", "|/bin/sh"),
        ("net.ipv4.ip_forward", "1\nkernel.core_pattern=x"),
        ("net.ipv4/../../kernel.core_pattern", "x"),
    ] {
        b.config["linux"]["sysctl"] = json!({name: value});
        b.refused("sysctl")?;
    }
    b.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096"});
    let out = b.sh("busybox cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax")?;
    ensure!(out == "1\n4096\n", "{out}");
    Ok(())
}

fn a_working_directory_by_descriptor_is_refused() -> Result<()> {
    let mut b = Bundle::new()?;
    symlink("/proc/self/fd/4", b.root().join("etc/way"))?;
    for cwd in (3..12)
        .map(|n| format!("/proc/self/fd/{n}"))
        .chain(["/etc/way".to_owned()])
    {
        b.config["process"]["cwd"] = json!(cwd);
        b.refused("chdir to cwd")?;
    }
    Ok(())
}

fn our_binary_cannot_be_an_interpreter() -> Result<()> {
    let program = paths::program("gantry-shim")?;
    let before = std::fs::read(&program)?;
    let mut b = Bundle::new()?;
    let script = b.root().join("bin/trap");
    std::fs::write(&script, "#!/proc/self/exe\n")?;
    std::os::unix::fs::chown(&script, Some(0), Some(0))?;
    Command::new("chmod").arg("755").arg(&script).status()?;
    b.config["process"]["args"] = json!(["/bin/trap"]);
    let _ = b.oci(&["run", &b.id])?;
    let link = b.sh("busybox ls -l /proc/1/exe; (echo x > /proc/1/exe) 2>&1; echo end")?;
    ensure!(link.contains("/bin/busybox"), "{link}");
    ensure!(
        std::fs::read(Path::new(&program))? == before,
        "our binary was changed"
    );
    Ok(())
}

fn create_start_kill_delete() -> Result<()> {
    let mut b = Bundle::new()?;
    b.config["process"]["args"] = json!(["/bin/busybox", "sleep", "1000"]);
    let id = b.id.clone();
    let status = |b: &Bundle| -> Result<String> {
        let done = b.oci(&["state", &id])?;
        let state: Value = serde_json::from_slice(&done.stdout)?;
        Ok(state["status"].as_str().unwrap_or_default().to_owned())
    };
    let ok = |done: Output| -> Result<()> {
        ensure!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    };
    ok(b.oci(&["create", &id])?)?;
    ensure!(status(&b)? == "created");
    ensure!(
        !b.oci(&["create", &id])?.status.success(),
        "an id is given once"
    );
    ok(b.oci(&["start", &id])?)?;
    ensure!(status(&b)? == "running");
    ensure!(
        !b.oci(&["delete", &id])?.status.success(),
        "a running container stays"
    );
    ok(b.oci(&["kill", &id, "KILL"])?)?;
    wait::until("the container to end", Duration::from_secs(10), || {
        status(&b).is_ok_and(|s| s == "stopped")
    })?;
    ok(b.oci(&["delete", &id])?)?;
    ensure!(!b.oci(&["state", &id])?.status.success());
    Ok(())
}
