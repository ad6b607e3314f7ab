//! Attach and exec as transports: nothing is lost or changed either way, a client that does not read is let go of
//! without holding up anybody, a half-closed side is no end, keys let go of a terminal.
//!
//! `GANTRY_BIG_MIB` makes the large transfers larger (1024 by hand, 64 in CI).

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gantry_integration::http::{self, Open};
use gantry_integration::{Node, cases, wait};

cases![
    an_exec_carries_everything_both_ways,
    an_attachment_carries_everything_both_ways,
    the_docker_command_carries_everything_both_ways,
    a_half_closed_side_is_no_end,
    a_client_that_does_not_read_holds_up_nobody,
    an_execs_slow_client_gets_everything,
    keys_let_go_of_a_terminal,
    execs_as_docker_makes_them,
];

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// Bytes of a large transfer.
fn big() -> usize {
    let mib = std::env::var("GANTRY_BIG_MIB")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(64_usize);
    mib << 20
}

/// The byte at each place of a stream: never the same for long, so that a lost or doubled piece is seen.
fn byte_at(place: usize) -> u8 {
    let block = (place >> 8).wrapping_mul(2_654_435_761);
    (place as u8) ^ ((block >> 13) as u8)
}

fn send_pattern(mut to: impl Write, total: usize) -> std::io::Result<()> {
    let mut piece = vec![0; 128 << 10];
    let mut place = 0;
    while place < total {
        let count = piece.len().min(total - place);
        for (offset, byte) in piece[..count].iter_mut().enumerate() {
            *byte = byte_at(place + offset);
        }
        to.write_all(&piece[..count])?;
        place += count;
    }
    to.flush()
}

/// Compares what comes with the pattern.
struct Check(usize);

impl Check {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        for byte in bytes {
            ensure!(*byte == byte_at(self.0), "byte {} is not as sent", self.0);
            self.0 += 1;
        }
        Ok(())
    }
}

/// Takes Docker's frames apart.
struct Frames {
    stream: UnixStream,
    begun: Vec<u8>,
    at: usize,
}

impl Frames {
    fn new(open: Open) -> Self {
        Self {
            stream: open.stream,
            begun: open.begun,
            at: 0,
        }
    }

    fn fill(&mut self, into: &mut [u8]) -> std::io::Result<bool> {
        let held = (self.begun.len() - self.at).min(into.len());
        into[..held].copy_from_slice(&self.begun[self.at..self.at + held]);
        self.at += held;
        let mut done = held;
        while done < into.len() {
            match self.stream.read(&mut into[done..])? {
                0 if done == 0 => return Ok(false),
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(true)
    }

    /// The next one's stream number and bytes; none at the end.
    fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let mut head = [0; 8];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        ensure!(head[0] <= 2 && length <= 1 << 20, "no frame: {head:?}");
        let mut bytes = vec![0; length];
        ensure!(length == 0 || self.fill(&mut bytes)?, "cut short");
        Ok(Some((head[0], bytes)))
    }

    /// Everything to the end.
    fn text(&mut self) -> Result<String> {
        let mut all = Vec::new();
        while let Some((_, bytes)) = self.next()? {
            all.extend(bytes);
        }
        Ok(String::from_utf8_lossy(&all).into_owned())
    }
}

/// Makes an exec and starts it, taken over; its id too.
fn exec(
    node: &Node,
    container: &str,
    body: &serde_json::Value,
    head: &str,
) -> Result<(String, Open)> {
    let path = format!("/containers/{container}/exec");
    let made = node.api("POST", &path, body.to_string().as_bytes())?;
    ensure!(made.status == 201, "{made:?}");
    let id = made.json()["Id"].as_str().context("no id")?.to_owned();
    let tty = body["Tty"].as_bool().unwrap_or(false);
    let start = format!(r#"{{"Detach":false,"Tty":{tty}}}"#);
    let path = format!("/exec/{id}/start");
    let socket = node.socket("docker");
    let open = http::open(&socket, "POST", &path, head, start.as_bytes())?;
    ensure!(
        open.status == if head.is_empty() { 200 } else { 101 },
        "{open:?}"
    );
    Ok((id, open))
}

fn attach(socket: &Path, container: &str, query: &str) -> Result<Open> {
    let path = format!("/containers/{container}/attach?stream=1&stdout=1&stderr=1{query}");
    let open = http::open(socket, "POST", &path, UPGRADE, b"")?;
    ensure!(open.status == 101, "{open:?}");
    Ok(open)
}

fn all_streams(command: &[&str]) -> serde_json::Value {
    serde_json::json!({
        "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Cmd": command,
    })
}

/// Sends the pattern through, half-closes, and gets it back whole.
fn there_and_back(what: &str, open: Open) -> Result<()> {
    let total = big();
    let begun = Instant::now();
    let writer = open.stream.try_clone()?;
    let sending = std::thread::spawn(move || {
        send_pattern(&writer, total)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut check = Check(0);
    let mut frames = Frames::new(open);
    while let Some((stream, bytes)) = frames.next()? {
        ensure!(stream == 1, "stream {stream}");
        check.take(&bytes)?;
    }
    sending.join().expect("sending does not panic")?;
    ensure!(check.0 == total, "{} of {total} bytes came back", check.0);
    eprintln!(
        "         {what}: {} MiB there and back, {:.0} MiB/s each way",
        total >> 20,
        (total >> 20) as f64 / begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn sleeper(node: &Node) -> Result<()> {
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["run", "-d", "--name", "cc", "busybox", "sleep", "100000"])?;
    Ok(())
}

fn an_exec_carries_everything_both_ways() -> Result<()> {
    let node = Node::start()?;
    sleeper(&node)?;
    for head in [UPGRADE, ""] {
        let (id, open) = exec(&node, "cc", &all_streams(&["cat"]), head)?;
        let what = if head.is_empty() {
            "exec without upgrade"
        } else {
            "exec"
        };
        there_and_back(what, open)?;
        let state = node.api("GET", &format!("/exec/{id}/json"), b"")?.json();
        ensure!(
            state["ExitCode"] == 0 && state["Running"] == false,
            "{state}"
        );
    }
    node.finish()
}

fn an_attachment_carries_everything_both_ways() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "create",
        "-i",
        "--log-driver",
        "none",
        "--name",
        "aa",
        "busybox",
        "cat",
    ])?;
    let open = attach(&node.socket("docker"), "aa", "&stdin=1")?;
    docker.ok(&["start", "aa"])?;
    there_and_back("attach", open)?;
    ensure!(docker.ok(&["wait", "aa"])? == "0");
    node.finish()
}

fn the_docker_command_carries_everything_both_ways() -> Result<()> {
    let node = Node::start()?;
    sleeper(&node)?;
    for args in [
        &["exec", "-i", "cc", "cat"][..],
        &[
            "run",
            "--rm",
            "-i",
            "--log-driver",
            "none",
            "busybox",
            "cat",
        ][..],
    ] {
        let mut command = node.docker().command(args);
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut child = command.spawn().context("start docker")?;
        let stdin = child.stdin.take().expect("piped");
        let total = big();
        let sending = std::thread::spawn(move || send_pattern(stdin, total));
        let mut out = child.stdout.take().expect("piped");
        let (mut check, mut piece) = (Check(0), vec![0; 64 << 10]);
        loop {
            match out.read(&mut piece)? {
                0 => break,
                n => check.take(&piece[..n])?,
            }
        }
        sending.join().expect("sending does not panic")?;
        ensure!(check.0 == total, "{args:?}: {} of {total}", check.0);
        ensure!(child.wait()?.success(), "{args:?}");
    }
    node.finish()
}

fn a_half_closed_side_is_no_end() -> Result<()> {
    let node = Node::start()?;
    sleeper(&node)?;
    // The client's side: input ends, output still comes.
    let command = ["sh", "-c", "cat; sleep 0.3; echo after"];
    let (_, mut open) = exec(&node, "cc", &all_streams(&command), UPGRADE)?;
    open.stream.write_all(b"before ")?;
    open.stream.shutdown(Shutdown::Write)?;
    ensure!(Frames::new(open).text()? == "before after\n");
    // The process's side: it does not want input any more, and goes on.
    let command = ["sh", "-c", "exec <&-; sleep 0.3; echo still here; exit 6"];
    let (id, open) = exec(&node, "cc", &all_streams(&command), UPGRADE)?;
    let writer = open.stream.try_clone()?;
    let sending = std::thread::spawn(move || send_pattern(writer, 8 << 20));
    ensure!(Frames::new(open).text()? == "still here\n");
    // What it could not send is its own affair, but it is not held up for ever.
    let _ = sending.join();
    let state = node.api("GET", &format!("/exec/{id}/json"), b"")?.json();
    ensure!(state["ExitCode"] == 6, "{state}");
    // A client that half-closes at once and has no input to give.
    let body =
        serde_json::json!({"AttachStdout": true, "Cmd": ["sh", "-c", "sleep 0.3; echo out"]});
    let (_, open) = exec(&node, "cc", &body, UPGRADE)?;
    open.stream.shutdown(Shutdown::Write)?;
    ensure!(Frames::new(open).text()? == "out\n");
    node.finish()
}

fn a_client_that_does_not_read_holds_up_nobody() -> Result<()> {
    const READERS: usize = 8;
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let script = "i=0; while [ $i -lt 300000 ]; do echo number $i; i=$((i+1)); done; echo end";
    docker.ok(&[
        "create",
        "--log-driver",
        "none",
        "--name",
        "aa",
        "busybox",
        "sh",
        "-c",
        script,
    ])?;
    let socket = node.socket("docker");
    let mut lazy = attach(&socket, "aa", "")?;
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let open = attach(&socket, "aa", "")?;
            Ok(std::thread::spawn(move || Frames::new(open).text()))
        })
        .collect::<Result<_>>()?;
    let begun = Instant::now();
    docker.ok(&["start", "aa"])?;
    for reader in readers {
        let text = reader.join().expect("reading does not panic")?;
        let mut lines = text.lines();
        for i in 0..300_000 {
            let line = lines.next();
            ensure!(line == Some(&format!("number {i}")), "{i}: {line:?}");
        }
        ensure!(lines.next() == Some("end") && lines.next().is_none());
    }
    let took = begun.elapsed();
    eprintln!("         {READERS} readers and one that does not: {took:.1?}");
    ensure!(took < Duration::from_secs(60), "held up: {took:?}");
    ensure!(docker.ok(&["wait", "aa"])? == "0");
    // What it was sent before it was let go of is cut, and its connection closed.
    let had = lazy.read(64 << 20).len();
    eprintln!("         the one that does not read was sent {had} bytes");
    node.finish()
}

fn an_execs_slow_client_gets_everything() -> Result<()> {
    const TOTAL: usize = 12 << 20;
    let node = Node::start()?;
    sleeper(&node)?;
    let command = ["dd", "if=/dev/zero", "bs=64k", "count=192"];
    let body = serde_json::json!({"AttachStdout": true, "Cmd": command});
    let (id, open) = exec(&node, "cc", &body, UPGRADE)?;
    // Longer than any patience with a container's client: nobody but its own command waits for this one.
    let until = Instant::now() + Duration::from_secs(4);
    wait::until("the client's pause", Duration::from_secs(8), || {
        Instant::now() > until
    })?;
    let mut frames = Frames::new(open);
    let mut got = 0;
    while let Some((_, bytes)) = frames.next()? {
        got += bytes.len();
    }
    ensure!(got == TOTAL, "{got} of {TOTAL} bytes");
    let state = node.api("GET", &format!("/exec/{id}/json"), b"")?.json();
    ensure!(state["ExitCode"] == 0, "{state}");
    node.finish()
}

fn keys_let_go_of_a_terminal() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["run", "-dit", "--name", "tt", "busybox", "cat"])?;
    let socket = node.socket("docker");
    for (query, keys) in [
        ("&stdin=1", &b"\x10\x11"[..]),
        ("&stdin=1&detachKeys=ctrl-a,b", &b"\x01b"[..]),
    ] {
        let mut open = attach(&socket, "tt", query)?;
        open.stream.write_all(b"typed\n")?;
        open.stream.write_all(keys)?;
        let said = String::from_utf8_lossy(&open.read(1 << 20)).into_owned();
        // The terminal's echo may be cut off by the end; that it ended is what the keys are for.
        ensure!(said.len() < 1 << 20, "{said}");
        ensure!(docker.ok(&["inspect", "-f", "{{.State.Running}}", "tt"])? == "true");
    }
    let path = "/containers/tt/attach?stream=1&stdin=1&detachKeys=nonsense";
    let refused = node.api("POST", path, b"")?;
    ensure!(
        refused.status == 400 && refused.body.contains("nonsense"),
        "{refused:?}"
    );
    // An exec's keys come with its creation. It goes on without its client.
    let mut body = all_streams(&["sh", "-c", "cat; sleep 1000"]);
    body["Tty"] = true.into();
    body["DetachKeys"] = "ctrl-x".into();
    let (id, mut open) = exec(&node, "tt", &body, UPGRADE)?;
    open.stream.write_all(b"abc\x18")?;
    let _ = open.read(1 << 20);
    let state = node.api("GET", &format!("/exec/{id}/json"), b"")?.json();
    ensure!(state["Running"] == true, "{state}");
    // Without a terminal they are bytes like others.
    let (_, mut open) = exec(&node, "tt", &all_streams(&["cat"]), UPGRADE)?;
    open.stream.write_all(b"a\x10\x11b")?;
    open.stream.shutdown(Shutdown::Write)?;
    ensure!(Frames::new(open).text()? == "a\x10\x11b");
    node.finish()
}

fn execs_as_docker_makes_them() -> Result<()> {
    let node = Node::start()?;
    sleeper(&node)?;
    let docker = node.docker();
    for (args, out) in [
        (&["-u", "1234:99", "cc", "id", "-u"][..], "1234"),
        (&["-u", "nobody", "cc", "id", "-un"], "nobody"),
        (&["-w", "/etc", "cc", "pwd"], "/etc"),
        (&["-e", "A=b c", "cc", "sh", "-c", "echo $A"], "b c"),
        (&["-t", "cc", "sh", "-c", "test -t 0 && echo tty"], "tty"),
    ] {
        let said = docker.ok(&[&["exec"], args].concat())?;
        ensure!(said == out, "{args:?}: {said:?}");
    }
    let capabilities = |args: &[&str]| -> Result<u64> {
        let command = ["cc", "sh", "-c", "grep CapEff /proc/self/status"];
        let line = docker.ok(&[&["exec"], args, &command].concat())?;
        let digits = line.split_whitespace().last().context("no digits")?;
        Ok(u64::from_str_radix(digits, 16)?)
    };
    let (plain, all) = (capabilities(&[])?, capabilities(&["--privileged"])?);
    ensure!(plain != all && plain & all == plain, "{plain:x} {all:x}");
    for (command, code) in [("exit 3", 3), ("kill -9 $$", 137), ("exit 255", 255)] {
        let ran = docker.run(&["exec", "cc", "sh", "-c", command])?;
        ensure!(ran.code == code, "{ran:?}");
    }
    ensure!(docker.run(&["exec", "cc", "no-such"])?.code == 127);
    ensure!(docker.run(&["exec", "cc", "/etc/passwd"])?.code == 126);
    // The terminal's size, and a change of it while it runs.
    let mut body = all_streams(&["sh", "-c", "stty size; read x; stty size"]);
    body["Tty"] = true.into();
    let (id, mut open) = exec(&node, "cc", &body, UPGRADE)?;
    let resized = node.api("POST", &format!("/exec/{id}/resize?h=33&w=101"), b"")?;
    ensure!(resized.status == 200, "{resized:?}");
    open.stream.write_all(b"\n")?;
    let said = String::from_utf8_lossy(&open.read(1 << 20)).into_owned();
    ensure!(said.contains("33 101"), "{said:?}");
    // Detached: it is answered at once, ends by itself, and its code can be asked for.
    let made = node.api(
        "POST",
        "/containers/cc/exec",
        br#"{"Cmd":["sh","-c","exit 5"]}"#,
    )?;
    let id = made.json()["Id"].as_str().context("no id")?.to_owned();
    let started = node.api("POST", &format!("/exec/{id}/start"), br#"{"Detach":true}"#)?;
    ensure!(started.status == 200, "{started:?}");
    let path = format!("/exec/{id}/json");
    wait::until("the detached exec to end", Duration::from_secs(10), || {
        node.api("GET", &path, b"")
            .is_ok_and(|state| state.json()["ExitCode"] == 5)
    })?;
    let again = node.api("POST", &format!("/exec/{id}/start"), b"{}")?;
    if again.status != 409 {
        bail!("started twice: {again:?}");
    }
    node.finish()
}
