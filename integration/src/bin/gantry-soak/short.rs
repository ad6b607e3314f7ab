//! Many short requests, and many clients that leave in the middle of an exec or an attachment.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use gantry_cri_api::v1;
use gantry_integration::Node;
use gantry_integration::cri::Cri;
use gantry_integration::http::{self, Open};

use crate::clients::Faults;
use crate::dice::Dice;
use crate::sample::Anchors;

/// How many ask at once.
const THREADS: usize = 8;

/// Asks what is cheap to answer.
pub(crate) fn requests(node: &Node, count: usize) -> Result<Vec<String>> {
    let faults = Faults::default();
    let next = AtomicUsize::new(0);
    let (docker, cri) = (node.socket("docker"), node.socket("cri"));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let Ok(api) = Cri::connect(&cri) else {
                    return faults.note("connect to CRI".to_owned());
                };
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let failed = match number % 8 {
                        0 => ask(&docker, "/containers/json?all=1"),
                        1 => ask(&docker, "/containers/anchor0/json"),
                        2 => ask(&docker, "/images/json"),
                        3 => ask(&docker, "/info"),
                        4 => ask(&docker, "/events?since=1&until=2"),
                        5 => ask(&docker, "/containers/anchor1/stats?stream=0&one-shot=1"),
                        6 => api
                            .wait(
                                api.runtime()
                                    .list_containers(v1::ListContainersRequest::default()),
                            )
                            .err()
                            .map(|e| e.to_string()),
                        _ => api
                            .wait(api.runtime().status(v1::StatusRequest { verbose: false }))
                            .err()
                            .map(|e| e.to_string()),
                    };
                    if let Some(failed) = failed {
                        faults.note(failed);
                    }
                }
            });
        }
    });
    Ok(faults.take())
}

fn ask(socket: &Path, path: &str) -> Option<String> {
    match http::request(socket, "GET", path, "application/json", b"") {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => Some(format!("GET {path}: {} {}", answer.status, answer.body)),
        Err(error) => Some(format!("GET {path}: {error:#}")),
    }
}

/// Whether the daemon has dropped events already: it keeps as many as it ever will.
pub(crate) fn is_log_full(node: &Node) -> Result<bool> {
    let socket = node.socket("gantry");
    let mut open = http::open(&socket, "GET", "/v1/events?follow=false", "", b"")?;
    let begin = String::from_utf8_lossy(&open.read(1 << 10)).into_owned();
    // The first kept event's number, or the news that some are missing; a chunk's length is in front.
    Ok(!begin.contains("\"sequence\":1,"))
}

const HIJACK: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// Execs and attachments in the long-lived containers; each client leaves without a word.
pub(crate) fn vanishing(
    node: &Node,
    anchors: &Anchors,
    count: usize,
    seed: u64,
) -> Result<Vec<String>> {
    let faults = Faults::default();
    let next = AtomicUsize::new(0);
    let (docker, cri) = (node.socket("docker"), node.socket("cri"));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut dice = Dice::new(seed, 1000 + thread);
            let (faults, docker, cri, next) = (&faults, &docker, &cri, &next);
            scope.spawn(move || {
                let api = match Cri::connect(cri) {
                    Ok(api) => api,
                    Err(error) => return faults.note(format!("connect to CRI: {error:#}")),
                };
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let gone = match dice.below(8) {
                        0..=2 => leave_attachment(docker, &mut dice),
                        3..=5 => leave_exec(docker, &mut dice),
                        6 => detach(docker, &mut dice),
                        _ => {
                            give_up(&api, anchors.pod(), &mut dice);
                            Ok(())
                        }
                    };
                    if let Err(error) = gone {
                        faults.note(format!("{error:#}"));
                    }
                }
            });
        }
    });
    Ok(faults.take())
}

fn leave_attachment(docker: &Path, dice: &mut Dice) -> Result<()> {
    let name = Anchors::name(dice.below(3));
    let path = format!("/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1");
    leave(&name, http::open(docker, "POST", &path, HIJACK, b"")?, dice)
}

fn leave_exec(docker: &Path, dice: &mut Dice) -> Result<()> {
    let name = Anchors::name(dice.below(3));
    let command = dice.of(&[
        r#"["true"]"#,
        r#"["cat"]"#,
        r#"["sh","-c","echo a; sleep 0.1; echo b"]"#,
        r#"["head","-c","1000000","/dev/zero"]"#,
    ]);
    let id = exec(docker, &name, command, dice.below(4) == 0)?;
    let path = format!("/exec/{id}/start");
    let open = http::open(docker, "POST", &path, HIJACK, br#"{"Detach":false}"#)?;
    leave(&name, open, dice)
}

/// An exec that has no client from the beginning.
fn detach(docker: &Path, dice: &mut Dice) -> Result<()> {
    let name = Anchors::name(dice.below(3));
    let id = exec(docker, &name, r#"["echo","hello"]"#, dice.below(2) == 0)?;
    let path = format!("/exec/{id}/start");
    let kind = "application/json";
    let begun = http::request(docker, "POST", &path, kind, br#"{"Detach":true}"#)?;
    anyhow::ensure!(begun.status == 200, "{path}: {begun:?}");
    Ok(())
}

fn exec(docker: &Path, name: &str, command: &str, tty: bool) -> Result<String> {
    let body = format!(
        r#"{{"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"Tty":{tty},"Cmd":{command}}}"#
    );
    let kind = "application/json";
    let path = format!("/containers/{name}/exec");
    let made = http::request(docker, "POST", &path, kind, body.as_bytes())?;
    anyhow::ensure!(made.status == 201, "{path}: {} {}", made.status, made.body);
    Ok(made.json()["Id"].as_str().unwrap_or_default().to_owned())
}

/// Says something and reads a little, or not, and is gone.
fn leave(name: &str, mut open: Open, dice: &mut Dice) -> Result<()> {
    if !matches!(open.status, 101 | 200) {
        let said = open.read(4096);
        let said = String::from_utf8_lossy(&said);
        anyhow::bail!("{name}: {} {said}", open.status);
    }
    let moment = Duration::from_millis(1 + dice.below(20));
    if dice.below(2) == 0 {
        let _ = open.stream.write_all(b"hello\n");
        let _ = open.stream.set_read_timeout(Some(moment));
        open.read(4096);
    }
    Ok(())
}

/// kubelet's exec, whose caller does not wait for its end.
fn give_up(api: &Cri, container: &str, dice: &mut Dice) {
    let command = dice.of(&["true", "sleep 0.1; echo b", "head -c 100000 /dev/zero"]);
    let request = v1::ExecSyncRequest {
        container_id: container.to_owned(),
        cmd: ["sh", "-c", command].map(str::to_owned).to_vec(),
        timeout: 5,
    };
    let mut runtime = api.runtime();
    let patience = Duration::from_millis(dice.below(40));
    // Answered or not: what it leaves is what counts.
    let _ = api.wait(async move {
        let answer = tokio::time::timeout(patience, runtime.exec_sync(request)).await;
        answer.unwrap_or_else(|_| Err(tonic::Status::cancelled("the client has left")))
    });
}
