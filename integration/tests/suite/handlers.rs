//! Other OCI runtimes as handlers: Debian's runc and crun do all that the built-in one does, through both doors.
//!
//! crun 1.8 refuses hosts that mount cgroup v2 beside v1, so it is run by a script that hides that mount.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_integration::node::Options;
use gantry_integration::{Node, cases, cri, leaks, wait, web};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

cases![
    handlers_are_shown_and_unknown_ones_refused,
    a_run_by_a_handler_is_a_run,
    what_cannot_run_says_why,
    execs_by_a_handler,
    signals_limits_and_pauses_by_a_handler,
    a_handlers_container_is_on_the_network,
    a_handlers_container_outlives_the_daemon,
    a_dead_supervisor_takes_a_handlers_container_along,
    a_handler_that_fails_is_quoted,
    nothing_of_a_runtime_outlives_its_supervisor,
];

pub(super) const HANDLERS: [&str; 2] = ["runc", "crun"];
const HIDING: &str = "#!/bin/sh
exec unshare -m sh -c 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec crun \"$@\"' crun \"$@\"
";
/// runc, but for creating while there is a file: it says how many seconds to wait for nothing.
const HANGING: &str = "#!/bin/sh
if [ -e FILE ]; then for a in \"$@\"; do if [ \"$a\" = create ]; then sleep \"$(cat FILE)\"; fi; done; fi
exec runc \"$@\"
";
pub(super) const LONG: Duration = Duration::from_secs(20);

/// A daemon with both, and two that are good for nothing.
pub(super) fn node() -> Result<Node> {
    let mut node = Node::prepare(Options::default())?;
    let script = |name: &str, text: &str| -> Result<String> {
        let path = node.dir().join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path.display().to_string())
    };
    let crun = script("crun-hidden", HIDING)?;
    let broken = script(
        "broken",
        "#!/bin/sh\nwhile [ \"$1\" != --log ]; do shift; done\necho 'the dog ate it' > \"$2\"\nexit 1\n",
    )?;
    let hanging = script(
        "hanging",
        &HANGING.replace("FILE", &node.dir().join("hang").display().to_string()),
    )?;
    let mut config = fs::read_to_string(node.config())?;
    for (name, path, more) in [
        ("runc", "/usr/sbin/runc", ""),
        ("crun", &crun, ""),
        ("broken", &broken, ""),
        ("hanging", &hanging, "timeout = \"2s\"\n"),
        ("slow", &hanging, ""),
        ("gone", "/nonexistent/runtime", ""),
    ] {
        config.push_str(&format!("[handlers.{name}]\npath = {path:?}\n{more}"));
    }
    fs::write(node.config(), config)?;
    node.restart()?;
    node.load_busybox()?;
    Ok(node)
}

fn handlers_are_shown_and_unknown_ones_refused() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    let info = node.api("GET", "/info", b"")?.json();
    ensure!(info["DefaultRuntime"] == "gantry", "{info}");
    ensure!(info["Runtimes"]["runc"]["path"] == "/usr/sbin/runc");
    let features = &info["Runtimes"]["runc"]["status"]["org.opencontainers.runtime-spec.features"];
    let features = features.as_str().context("runc says what it can do")?;
    ensure!(features.contains("mountOptions"), "{features}");
    for (name, words) in [
        ("nope", "unknown or invalid runtime name: nope"),
        ("gone", "/nonexistent/runtime"),
    ] {
        let ran = docker.run(&["create", "--runtime", name, "busybox", "true"])?;
        ensure!(ran.code == 1 && ran.err.contains(words), "{ran:?}");
    }
    let ran = docker.ok(&[
        "run",
        "--rm",
        "--runtime",
        "gantry",
        "busybox",
        "echo",
        "hi",
    ])?;
    ensure!(ran == "hi", "the built-in one has a name too");

    let api = node.cri()?;
    let status = api.wait(api.runtime().status(v1::StatusRequest { verbose: true }))?;
    let listed = status.runtime_handlers.iter();
    let runc = listed.clone().find(|h| h.name == "runc").context("runc")?;
    ensure!(
        runc.features
            .context("features")?
            .recursive_read_only_mounts,
        "{runc:?}"
    );
    ensure!(listed.clone().any(|h| h.name.is_empty()));
    let request = v1::RunPodSandboxRequest {
        config: Some(cri::pod("p", "")),
        runtime_handler: "nope".to_owned(),
    };
    let refused = api.wait(api.runtime().run_pod_sandbox(request));
    ensure!(
        refused.as_ref().is_err_and(
            |s| s.code() == tonic::Code::InvalidArgument && s.message().contains("nope")
        ),
        "{refused:?}"
    );
    drop(api);
    node.finish()
}

fn a_run_by_a_handler_is_a_run() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    let shared = node.dir().join("shared");
    fs::create_dir(&shared)?;
    let bind = format!("{}:/s:ro", shared.display());
    for name in HANDLERS {
        let run = |args: &[&str]| {
            let all = ["run", "--rm", "--network", "none", "--runtime", name];
            docker.run(&[&all, args].concat())
        };
        let script = "echo out; echo err >&2; exit 23";
        let ran = run(&["busybox", "sh", "-c", script])?;
        ensure!(
            (ran.code, ran.out.as_str(), ran.err.as_str()) == (23, "out\n", "err\n"),
            "{ran:?}"
        );
        let asked = [
            "run",
            "--rm",
            "-i",
            "--network",
            "none",
            "--runtime",
            name,
            "busybox",
            "wc",
            "-c",
        ];
        let piped = docker.run_with(&asked, &[b'x'; 70_000])?.ok()?;
        ensure!(piped == "70000", "{piped}");
        // A terminal of its own, as big as was asked.
        let tty = run(&["-t", "busybox", "sh", "-c", "tty; echo $HOME; exit 4"])?;
        ensure!(tty.code == 4 && tty.out.starts_with("/dev/pts/"), "{tty:?}");
        // Who, where, what it sees.
        let script = "id -u; id -g; pwd; hostname; echo $A; cat /proc/1/comm; ls /sys/class/net";
        let seen = run(&[
            "-u", "7:8", "-w", "/made", "-h", "box", "-e", "A=b", "busybox", "sh", "-c", script,
        ])?
        .ok()?;
        ensure!(seen == "7\n8\n/made\nbox\nb\nsh\nlo", "{seen}");
        let ran = run(&[
            "-v",
            &bind,
            "--read-only",
            "busybox",
            "sh",
            "-c",
            "touch /s/x; touch /x",
        ])?;
        ensure!(
            ran.code == 1 && ran.err.matches("Read-only file system").count() == 2,
            "{ran:?}"
        );
        // No mount of it is in the host's table while it runs.
        docker.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "--runtime",
            name,
            "busybox",
            "sleep",
            "1000",
        ])?;
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        let folder = node.dir().display().to_string();
        let found: Vec<&str> = table.lines().filter(|l| l.contains(&folder)).collect();
        ensure!(found.is_empty(), "{found:?}");
        let shown = docker.ok(&["inspect", "-f", "{{.HostConfig.Runtime}}", name])?;
        ensure!(shown == name);
        docker.ok(&["rm", "-f", name])?;
    }
    node.finish()
}

fn what_cannot_run_says_why() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    for name in HANDLERS {
        for (args, code, words) in [
            (&["busybox", "nosuch"][..], 127, "executable file not found"),
            (&["busybox", "/nosuch"], 127, "no such file or directory"),
            (&["busybox", "/etc/passwd"], 126, "permission denied"),
            (
                &["-u", "who", "busybox", "id"],
                125,
                "unable to find user who: no matching entries in passwd file",
            ),
        ] {
            let all = [
                "run",
                "--network",
                "none",
                "--name",
                "xx",
                "--runtime",
                name,
            ];
            let ran = docker.run(&[&all, args].concat())?;
            ensure!(ran.code == code && ran.err.contains(words), "{ran:?}");
            docker.ok(&["rm", "xx"])?;
        }
    }
    node.finish()
}

fn execs_by_a_handler() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    for name in HANDLERS {
        docker.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "none",
            "--runtime",
            name,
            "-e",
            "A=b",
            "busybox",
            "sleep",
            "1000",
        ])?;
        let exec = |args: &[&str]| docker.run(&[&["exec"], args].concat());
        let ran = exec(&[name, "sh", "-c", "echo out; echo err >&2; exit 5"])?;
        ensure!(
            (ran.code, ran.out.as_str(), ran.err.as_str()) == (5, "out\n", "err\n"),
            "{ran:?}"
        );
        let piped = docker.run_with(&["exec", "-i", name, "wc", "-c"], &[b'x'; 70_000])?;
        ensure!(piped.clone().ok()? == "70000", "{piped:?}");
        let tty = exec(&["-t", name, "sh", "-c", "tty; exit 6"])?;
        ensure!(tty.code == 6 && tty.out.starts_with("/dev/pts/"), "{tty:?}");
        let seen = exec(&[
            "-u",
            "9",
            "-w",
            "/tmp",
            name,
            "sh",
            "-c",
            "id -u; pwd; echo $A",
        ])?;
        ensure!(seen.clone().ok()? == "9\n/tmp\nb", "{seen:?}");
        let ran = exec(&[name, "nosuch"])?;
        ensure!(
            ran.code == 127 && format!("{}{}", ran.out, ran.err).contains("not found"),
            "{ran:?}"
        );
        let ran = exec(&[name, "/etc/passwd"])?;
        ensure!(ran.code == 126, "{ran:?}");
        let ran = exec(&["-w", "/nosuch", name, "true"])?;
        ensure!(ran.code == 126, "{ran:?}");
        // One that is killed with its container.
        let live = docker.live(&["exec", name, "sh", "-c", "echo up; sleep 1000"])?;
        live.says("up")?;
        docker.ok(&["kill", name])?;
        ensure!(live.end()?.code == 137);
        docker.ok(&["rm", name])?;
    }
    node.finish()
}

fn signals_limits_and_pauses_by_a_handler() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    let script =
        "trap 'echo got; exit 7' TERM; trap 'echo usr' USR1; echo up; while :; do sleep 0.05; done";
    for name in HANDLERS {
        docker.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "none",
            "--runtime",
            name,
            "--memory",
            "64m",
            "--pids-limit",
            "33",
            "busybox",
            "sh",
            "-c",
            script,
        ])?;
        let logged = |text: &str| {
            wait::until(text, LONG, || {
                let log = docker.ok(&["logs", name]).unwrap_or_default();
                log.lines().any(|l| l == text)
            })
        };
        logged("up")?;
        let attached = docker.live(&["attach", "--sig-proxy=false", name])?;
        docker.ok(&["kill", "-s", "USR1", name])?;
        logged("usr")?;
        attached.says("usr")?;
        let stats = docker.ok(&[
            "stats",
            "--no-stream",
            "--format",
            "{{.MemUsage}} {{.PIDs}}",
            name,
        ])?;
        ensure!(stats.contains("/ 64MiB"), "{stats}");
        docker.ok(&["update", "--memory", "32m", "--memory-swap", "32m", name])?;
        let stats = docker.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}}", name])?;
        ensure!(stats.contains("/ 32MiB"), "{stats}");
        ensure!(docker.ok(&["top", name])?.contains("trap"));
        docker.ok(&["pause", name])?;
        ensure!(docker.ok(&["inspect", "-f", "{{.State.Status}}", name])? == "paused");
        ensure!(docker.run(&["exec", name, "true"])?.code != 0);
        docker.ok(&["unpause", name])?;
        docker.ok(&["exec", name, "true"])?;
        docker.ok(&["stop", name])?;
        ensure!(docker.ok(&["inspect", "-f", "{{.State.ExitCode}}", name])? == "7");
        logged("got")?;
        ensure!(attached.end()?.out.contains("got"));
        // A second run of the same container, and a kill while it is paused.
        docker.ok(&["start", name])?;
        docker.ok(&["pause", name])?;
        docker.ok(&["kill", name])?;
        ensure!(docker.ok(&["wait", name])? == "137");
        docker.ok(&["rm", name])?;
        let hog = "x=a; while :; do x=$x$x; done";
        let ran = docker.run(&[
            "run",
            "--name",
            name,
            "--network",
            "none",
            "--runtime",
            name,
            "--memory",
            "16m",
            "busybox",
            "sh",
            "-c",
            hog,
        ])?;
        ensure!(ran.code == 137, "{ran:?}");
        ensure!(docker.ok(&["inspect", "-f", "{{.State.OOMKilled}}", name])? == "true");
        docker.ok(&["rm", name])?;
    }
    node.finish()
}

fn a_handlers_container_is_on_the_network() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    for name in HANDLERS {
        docker.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "--runtime",
            name,
            "-p",
            "8080:80",
            "busybox",
            "httpd",
            "-f",
            "-h",
            "/var/www",
        ])?;
        web::get_when_up(&node.net, "127.0.0.1:8080")?;
        let stats = docker.ok(&["stats", "--no-stream", "--format", "{{.NetIO}}", name])?;
        ensure!(!stats.starts_with("0B"), "{stats}");
        docker.ok(&["rm", "-f", name])?;
    }
    node.finish()
}

fn a_handlers_container_outlives_the_daemon() -> Result<()> {
    let mut node = node()?;
    let docker = node.docker();
    let counter = "i=0; while [ ! -e /v/end ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 23";
    for name in HANDLERS {
        docker.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "-v",
            "vv:/v",
            "--runtime",
            name,
            "busybox",
            "sh",
            "-c",
            counter,
        ])?;
    }
    let lines = |name: &str| -> Result<usize> {
        let log = docker.ok(&["logs", name])?;
        for (at, line) in log.lines().enumerate() {
            ensure!(line == at.to_string(), "line {at} is {line:?}");
        }
        Ok(log.lines().count())
    };
    node.kill()?;
    node.restart()?;
    for name in HANDLERS {
        let before = lines(name)?;
        let more = || lines(name).is_ok_and(|n| n > before + 2);
        wait::until("the log to go on", LONG, more)?;
        ensure!(docker.ok(&["exec", name, "echo", "hi"])? == "hi");
        docker.ok(&["pause", name])?;
        docker.ok(&["unpause", name])?;
    }
    // They end while nobody looks.
    let end = "sleep 1; touch /v/end";
    docker.ok(&["exec", "-d", HANDLERS[0], "sh", "-c", end])?;
    node.kill()?;
    let running = || !leaks::processes_of("while [ ! -e /v/end ]").is_empty();
    wait::until("both to end", LONG, || !running())?;
    node.restart()?;
    for name in HANDLERS {
        ensure!(docker.ok(&["wait", name])? == "23");
        lines(name)?;
        docker.ok(&["rm", name])?;
    }
    docker.ok(&["volume", "rm", "vv"])?;
    node.finish()
}

fn a_dead_supervisor_takes_a_handlers_container_along() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    for name in HANDLERS {
        let id = docker.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "--runtime",
            name,
            "busybox",
            "sleep",
            "71003",
        ])?;
        docker.ok(&["exec", "-d", name, "sleep", "71004"])?;
        let supervisors = leaks::processes_of("gantry-shim run --id");
        let folder = node.run().display().to_string();
        let (pid, _) = supervisors
            .iter()
            .find(|(_, line)| line.contains(&folder))
            .context("a supervisor")?;
        kill(Pid::from_raw(*pid), Signal::SIGKILL)?;
        let status = || {
            docker.ok(&[
                "inspect",
                "-f",
                "{{.State.Status}} {{.State.ExitCode}}",
                &id,
            ])
        };
        wait::until("its end to be seen", LONG, || {
            status().is_ok_and(|s| s == "exited 255")
        })?;
        let left = || {
            leaks::processes_of("sleep 7100")
                .iter()
                .any(|(_, line)| matches!(line.trim(), "sleep 71003" | "sleep 71004"))
        };
        wait::until("its processes to end", LONG, || !left())?;
        let kept: Vec<_> = fs::read_dir(node.run().join("shims"))?.flatten().collect();
        wait::until("the runtime's state to go", LONG, || {
            kept.iter().all(|e| fs::symlink_metadata(e.path()).is_err())
        })?;
        // Nothing of the first run is in the way of a second.
        docker.ok(&["start", name])?;
        ensure!(docker.ok(&["exec", name, "echo", "hi"])? == "hi");
        docker.ok(&["rm", "-f", name])?;
    }
    node.finish()
}

fn a_handler_that_fails_is_quoted() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    let ran = docker.run(&[
        "run",
        "--name",
        "xx",
        "--runtime",
        "broken",
        "busybox",
        "true",
    ])?;
    ensure!(
        ran.code == 125 && ran.err.contains("handler broken: the dog ate it"),
        "{ran:?}"
    );
    docker.ok(&["rm", "xx"])?;
    node.finish()
}

fn nothing_of_a_runtime_outlives_its_supervisor() -> Result<()> {
    let node = node()?;
    let docker = node.docker();
    let hang = node.dir().join("hang");
    fs::write(&hang, "71007")?;
    let live = docker.live(&[
        "run",
        "--name",
        "xx",
        "--runtime",
        "slow",
        "busybox",
        "true",
    ])?;
    let stuck = || {
        let all = leaks::processes_of("sleep 71007");
        all.iter().any(|(_, line)| line.trim() == "sleep 71007")
    };
    wait::until("the runtime to hang", LONG, stuck)?;
    let supervisors = leaks::processes_of("gantry-shim run --id");
    let folder = node.run().display().to_string();
    let (pid, _) = supervisors
        .iter()
        .find(|(_, line)| line.contains(&folder))
        .context("a supervisor")?;
    kill(Pid::from_raw(*pid), Signal::SIGKILL)?;
    let ran = live.end()?;
    ensure!(ran.code == 125, "{ran:?}");
    wait::until("what the runtime had begun to end", LONG, || !stuck())?;
    fs::remove_file(&hang)?;
    docker.ok(&["start", "xx"])?;
    ensure!(docker.ok(&["wait", "xx"])? == "0");
    docker.ok(&["rm", "xx"])?;
    node.finish()
}
