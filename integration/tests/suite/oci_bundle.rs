//! The OCI runtime alone (`gantry-shim oci`), on bundles whose root tries to lead it out.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::bundle::Bundle;
use gantry_integration::{cases, paths, wait};
use serde_json::{Value, json};

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
    let source = b.path().join("file");
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
