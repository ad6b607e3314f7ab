//! The command line of the runtime: each verb with runc's arguments, and what it leaves.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::bundle::Bundle;
use gantry_integration::{cases, wait};
use serde_json::{Value, json};

cases![
    exec_joins_and_answers_with_its_code,
    users_of_an_exec_are_numbers,
    pause_list_ps_update_events,
    a_terminal_goes_to_the_console_socket,
    kill_reaches_all_and_only_living_ones,
    errors_go_to_the_log,
    features_are_told,
    later_changes_of_the_bundle_do_not_matter,
    a_deleted_container_leaves_nothing,
];

fn running() -> Result<Bundle> {
    let mut b = Bundle::new()?;
    b.config["process"]["args"] = json!(["/bin/busybox", "sleep", "1000"]);
    b.ok(&["run", "--detach", "--pid-file", &pid_file(&b), &b.id])?;
    Ok(b)
}

fn pid_file(b: &Bundle) -> String {
    b.path().join("pid").display().to_string()
}

fn exec_joins_and_answers_with_its_code() -> Result<()> {
    let b = running()?;
    let pid: i32 = std::fs::read_to_string(pid_file(&b))?.parse()?;
    let state: Value = serde_json::from_str(&b.ok(&["state", &b.id])?)?;
    ensure!(
        state["pid"] == pid && state["status"] == "running",
        "{state}"
    );
    let script = "echo $$ $A; busybox hostname; busybox pwd; busybox ls /proc/self/fd | busybox tr '\\n' ' '; exit 7";
    let done = b.oci(&[
        "exec", "--env", "A=b", "--cwd", "/etc", &b.id, "/bin/sh", "-c", script,
    ])?;
    let out = String::from_utf8(done.stdout)?;
    ensure!(done.status.code() == Some(7), "{}: {out}", done.status);
    let (first, rest) = out.split_once('\n').context("a line")?;
    ensure!(first.ends_with(" b") && first != "1 b", "{out}");
    ensure!(rest == "inside\n/etc\n0 1 2 3 ", "{out}");
    for (command, code) in [("/no/such", 127), ("nope", 127), ("/etc", 126)] {
        let done = b.oci(&["exec", &b.id, command])?;
        ensure!(
            done.status.code() == Some(code),
            "{command}: {}",
            done.status
        );
    }
    let file = b.path().join("process.json");
    let process = json!({"cwd": "/", "user": {"uid": 3, "gid": 4, "additionalGids": [5], "umask": 0o77},
        "args": ["/bin/sh", "-c", "busybox id; umask; busybox grep Cap /proc/self/status | busybox sort -u -k2"], "env": ["PATH=/bin"]});
    std::fs::write(&file, process.to_string())?;
    let out = b.ok(&["exec", "--process", &file.display().to_string(), &b.id])?;
    ensure!(out.starts_with("uid=3 gid=4 groups=5\n0077\n"), "{out}");
    ensure!(
        out.lines().count() == 3 && out.contains("\t0000000000000000"),
        "{out}"
    );
    let out = b.ok(&[
        "exec",
        "--detach",
        &b.id,
        "/bin/sh",
        "-c",
        "echo there > /there",
    ]);
    out?;
    wait::until("the detached exec", Duration::from_secs(10), || {
        std::fs::read_to_string(b.root().join("there")).is_ok_and(|t| t == "there\n")
    })
}

fn users_of_an_exec_are_numbers() -> Result<()> {
    let b = running()?;
    // A row named like a number that wraps must not be found.
    std::fs::write(
        b.root().join("etc/passwd"),
        "4294967296:x:0:0::/:/bin/sh\n+1:x:0:0::/:/bin/sh\n",
    )?;
    for (user, wanted) in [
        ("1", "uid=1 gid=0"),
        ("01", "uid=1 gid=0"),
        ("1:2", "uid=1 gid=2"),
    ] {
        let out = b.ok(&["exec", "-u", user, &b.id, "busybox", "id"])?;
        ensure!(out.starts_with(wanted), "{user}: {out}");
    }
    for user in [
        "1:",
        ":1",
        "+1",
        "-1",
        "root",
        "0x0",
        "4294967296",
        "2147483648",
        "4294967295",
    ] {
        let done = b.oci(&["exec", "-u", user, &b.id, "busybox", "id"])?;
        ensure!(
            !done.status.success(),
            "{user}: {}",
            String::from_utf8_lossy(&done.stdout)
        );
    }
    Ok(())
}

fn pause_list_ps_update_events() -> Result<()> {
    let b = running()?;
    b.ok(&["pause", &b.id])?;
    ensure!(b.status()? == "paused");
    ensure!(
        !b.oci(&["exec", &b.id, "busybox", "true"])?.status.success(),
        "exec while paused"
    );
    ensure!(!b.oci(&["pause", &b.id])?.status.success(), "paused twice");
    b.ok(&["resume", &b.id])?;
    ensure!(b.status()? == "running");
    let list: Value = serde_json::from_str(&b.ok(&["list", "--format", "json"])?)?;
    ensure!(
        list.as_array().map(Vec::len) == Some(1) && list[0]["id"] == b.id.as_str(),
        "{list}"
    );
    ensure!(
        list[0]["created"]
            .as_str()
            .is_some_and(|t| t.ends_with('Z')),
        "{list}"
    );
    ensure!(b.ok(&["list", "-q"])?.trim() == b.id);
    let pids: Vec<i32> = serde_json::from_str(&b.ok(&["ps", "--format", "json", &b.id])?)?;
    let pid: i32 = std::fs::read_to_string(pid_file(&b))?.parse()?;
    ensure!(pids == [pid], "{pids:?}");
    ensure!(b.ok(&["ps", &b.id])?.contains("sleep 1000"));
    b.ok(&[
        "update",
        "--memory",
        "67108864",
        "--pids-limit",
        "77",
        &b.id,
    ])?;
    let stats: Value = serde_json::from_str(&b.ok(&["events", "--stats", &b.id])?)?;
    ensure!(
        stats["data"]["memory"]["usage"]["limit"] == 67_108_864,
        "{stats}"
    );
    ensure!(stats["data"]["pids"]["limit"] == 77, "{stats}");
    ensure!(
        !b.oci(&["update", "--memory", "many", &b.id])?
            .status
            .success()
    );
    Ok(())
}

fn a_terminal_goes_to_the_console_socket() -> Result<()> {
    let mut b = Bundle::new()?;
    let path = b.path().join("console.sock");
    let listener = UnixListener::bind(&path)?;
    b.config["process"]["terminal"] = json!(true);
    b.config["process"]["consoleSize"] = json!({"height": 33, "width": 77});
    let script = "busybox stty size; busybox tty; busybox readlink /proc/self/fd/0; busybox stat -c %F /dev/console; read line; echo got $line";
    b.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    let refused = b.oci(&["create", &b.id])?;
    ensure!(
        !refused.status.success(),
        "without a socket there is nobody to hold the terminal"
    );
    b.ok(&[
        "create",
        "--console-socket",
        &path.display().to_string(),
        &b.id,
    ])?;
    let (stream, _) = listener.accept()?;
    let mut buffer = vec![0; 256];
    let got = gantry_sys::fdpass::recv(&stream, &mut buffer)?;
    let fd = got.fds.into_iter().next().context("a descriptor")?;
    let mut master = std::fs::File::from(fd);
    b.ok(&["start", &b.id])?;
    std::io::Write::write_all(&mut master, b"typed\n")?;
    let mut text = String::new();
    let mut chunk = [0; 512];
    // EIO once the last slave is closed.
    while let Ok(n @ 1..) = master.read(&mut chunk) {
        text.push_str(&String::from_utf8_lossy(&chunk[..n]));
    }
    for word in ["33 77", "/dev/pts/0", "character special file", "got typed"] {
        ensure!(text.contains(word), "{word}: {text}");
    }
    Ok(())
}

fn kill_reaches_all_and_only_living_ones() -> Result<()> {
    let mut b = Bundle::new()?;
    // Of a container that shares the host's pids the others outlive the first.
    let list = b.config["linux"]["namespaces"]
        .as_array_mut()
        .context("namespaces")?;
    list.retain(|n| n["type"] != "pid");
    let script = "busybox sleep 1000 & busybox sleep 1000 & exec busybox sleep 1000";
    b.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    b.ok(&["run", "--detach", &b.id])?;
    let pids = |b: &Bundle| -> Result<Vec<i32>> {
        Ok(serde_json::from_str(
            &b.ok(&["ps", "--format", "json", &b.id])?,
        )?)
    };
    wait::until("three processes", Duration::from_secs(10), || {
        pids(&b).is_ok_and(|p| p.len() == 3)
    })?;
    b.ok(&["kill", "--all", &b.id, "SIGKILL"])?;
    wait::until("all to end", Duration::from_secs(10), || {
        pids(&b).is_ok_and(|p| p.is_empty()) && b.status().is_ok_and(|s| s == "stopped")
    })?;
    ensure!(
        !b.oci(&["kill", &b.id, "KILL"])?.status.success(),
        "nobody to kill"
    );
    b.ok(&["delete", &b.id])?;
    ensure!(!b.oci(&["delete", &b.id])?.status.success(), "it is gone");
    b.ok(&["delete", "--force", &b.id])?;
    Ok(())
}

fn errors_go_to_the_log() -> Result<()> {
    let mut b = Bundle::new()?;
    let log = b.path().join("log.json");
    b.config["process"]["args"] = json!(["/no/such"]);
    let mut command = b.runtime.command()?;
    b.command(&["run", &b.id])?;
    command.args([
        "--log",
        &log.display().to_string(),
        "--log-format",
        "json",
        "--root",
    ]);
    command
        .arg(b.path().join("state"))
        .args(["run", "--bundle"]);
    command.arg(b.path().join("bundle")).arg(&b.id);
    let done = command.output()?;
    ensure!(done.status.code() == Some(127), "{}", done.status);
    let line: Value = serde_json::from_str(std::fs::read_to_string(&log)?.trim())?;
    ensure!(line["level"] == "error", "{line}");
    ensure!(
        line["msg"].as_str().is_some_and(|m| m.contains("/no/such")),
        "{line}"
    );
    Ok(())
}

fn features_are_told() -> Result<()> {
    let b = Bundle::new()?;
    let features: Value = serde_json::from_str(&b.ok(&["features"])?)?;
    ensure!(
        features["hooks"].as_array().map(Vec::len) == Some(6),
        "{features}"
    );
    ensure!(
        features["linux"]["mountExtensions"]["idmap"]["enabled"] == true,
        "{features}"
    );
    Ok(())
}

fn later_changes_of_the_bundle_do_not_matter() -> Result<()> {
    let mut b = Bundle::new()?;
    b.config["process"]["args"] = json!(["/bin/sh", "-c", "echo $A > /said; busybox sleep 1000"]);
    b.config["process"]["env"] = json!(["PATH=/bin", "A=before"]);
    b.config["annotations"] = json!({"when": "before"});
    b.ok(&["create", &b.id])?;
    b.config["process"]["env"] = json!(["PATH=/bin", "A=after"]);
    b.config["annotations"] = json!({"when": "after"});
    b.ok(&["start", &b.id])?;
    let out = b.ok(&["exec", &b.id, "/bin/sh", "-c", "busybox cat /said; echo $A"])?;
    ensure!(out == "before\nbefore\n", "{out}");
    let state: Value = serde_json::from_str(&b.ok(&["state", &b.id])?)?;
    ensure!(state["annotations"]["when"] == "before", "{state}");
    Ok(())
}

fn a_deleted_container_leaves_nothing() -> Result<()> {
    let b = running()?;
    let group = format!("/sys/fs/cgroup/memory/gantry-test-{}", b.id);
    let unified = format!("/sys/fs/cgroup/gantry-test-{}", b.id);
    let there = || std::path::Path::new(&group).is_dir() || std::path::Path::new(&unified).is_dir();
    ensure!(there(), "no cgroup");
    b.ok(&["delete", "--force", &b.id])?;
    ensure!(!there(), "its cgroup stays");
    ensure!(
        std::fs::read_dir(b.path().join("state"))?.next().is_none(),
        "its state stays"
    );
    b.host_is_untouched()
}
