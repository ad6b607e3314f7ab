//! Many short requests, and many clients that leave in the middle of an exec or an attachment.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use gantry_cri_api::v1;
use gantry_integration::Node;
use gantry_integration::cri::Cri;
use gantry_integration::http;

use crate::clients::Faults;
use crate::dice::Dice;

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

fn ask(socket: &std::path::Path, path: &str) -> Option<String> {
    match http::request(socket, "GET", path, "application/json", b"") {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => Some(format!("GET {path}: {} {}", answer.status, answer.body)),
        Err(error) => Some(format!("GET {path}: {error:#}")),
    }
}

const HIJACK: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// Execs and attachments in the long-lived containers; each client leaves without a word.
pub(crate) fn vanishing(node: &Node, count: usize, seed: u64) -> Result<Vec<String>> {
    let faults = Faults::default();
    let next = AtomicUsize::new(0);
    let docker = node.socket("docker");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut dice = Dice::new(seed, 1000 + thread);
            let (faults, docker, next) = (&faults, &docker, &next);
            scope.spawn(move || {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    if let Err(error) = vanish(docker, &mut dice) {
                        faults.note(format!("{error:#}"));
                    }
                }
            });
        }
    });
    Ok(faults.take())
}

fn vanish(docker: &std::path::Path, dice: &mut Dice) -> Result<()> {
    let name = format!("anchor{}", dice.below(3));
    let moment = Duration::from_millis(1 + dice.below(20));
    let mut open = if dice.below(2) == 0 {
        let path = format!("/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1");
        http::open(docker, "POST", &path, HIJACK, b"")?
    } else {
        let command = dice.of(&[
            r#"["true"]"#,
            r#"["cat"]"#,
            r#"["sh","-c","echo a; sleep 0.1; echo b"]"#,
            r#"["head","-c","1000000","/dev/zero"]"#,
        ]);
        let body = format!(
            r#"{{"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"Cmd":{command}}}"#
        );
        let kind = "application/json";
        let path = format!("/containers/{name}/exec");
        let made = http::request(docker, "POST", &path, kind, body.as_bytes())?;
        anyhow::ensure!(made.status == 201, "{path}: {} {}", made.status, made.body);
        let made = made.json();
        let id = made["Id"].as_str().unwrap_or_default();
        let path = format!("/exec/{id}/start");
        http::open(docker, "POST", &path, HIJACK, br#"{"Detach":false}"#)?
    };
    if !matches!(open.status, 101 | 200) {
        let said = open.read(4096);
        let said = String::from_utf8_lossy(&said);
        anyhow::bail!("{name}: {} {said}", open.status);
    }
    if dice.below(2) == 0 {
        let _ = open.stream.write_all(b"hello\n");
        let _ = open.stream.set_read_timeout(Some(moment));
        open.read(4096);
    }
    Ok(())
}
