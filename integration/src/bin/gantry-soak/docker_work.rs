//! A Docker client's random work: on containers of its own, on other clients' too, politely and not.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use gantry_integration::http::{self, Open};

use crate::clients::{Faults, Place, Work};
use crate::dice::Dice;

const HIJACK: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
const CLOSE: &str = "Connection: close\r\n";
/// Containers a client has at most.
const SLOTS: u64 = 2;
/// What is read of an answer.
const ENOUGH: usize = 4 << 20;
/// What a start is told that another client's forced removal has overtaken.
const OVERTAKEN: &str = "the operation was cancelled";
/// No whole answer takes longer, whatever else goes on.
const PATIENCE: Duration = Duration::from_secs(55);

/// One client.
pub(crate) struct DockerClient {
    number: usize,
    place: Place,
    dice: Dice,
    faults: Faults,
}

type Step = fn(&mut DockerClient);

/// How often each is chosen.
const STEPS: &[(u64, Step)] = &[
    (12, DockerClient::create),
    (14, DockerClient::start),
    (5, DockerClient::stop),
    (4, DockerClient::signal),
    (2, DockerClient::restart),
    (3, DockerClient::pause),
    (8, DockerClient::remove),
    (14, DockerClient::exec),
    (6, DockerClient::attach),
    (6, DockerClient::logs),
    (5, DockerClient::follow),
    (6, DockerClient::stats),
    (5, DockerClient::events),
    (20, DockerClient::look),
    (4, DockerClient::wait),
    (3, DockerClient::volume),
    (3, DockerClient::change),
    (7, DockerClient::nonsense),
    (6, DockerClient::vanish),
];

impl DockerClient {
    pub(crate) fn new(number: usize, place: Place, dice: Dice, faults: Faults) -> Self {
        Self {
            number,
            place,
            dice,
            faults,
        }
    }

    /// A container's name: mostly of this client, sometimes of another.
    fn target(&mut self) -> String {
        let owner = if self.dice.below(4) == 0 {
            self.dice.below(self.place.docker_clients as u64)
        } else {
            self.number as u64
        };
        format!("s{owner}-{}", self.dice.below(SLOTS))
    }

    fn own(&mut self) -> String {
        format!("s{}-{}", self.number, self.dice.below(SLOTS))
    }

    /// Sends a request and judges the status. `None` without an answer.
    fn open(&self, method: &str, path: &str, head: &str, body: &str) -> Option<Open> {
        self.faults
            .doing(self.number, &format!("{method} {path} {body}"));
        let open = http::open(&self.place.docker, method, path, head, body.as_bytes());
        // What follows may be a stream, read for as long as its reader likes.
        self.faults.done(self.number);
        match open {
            Ok(mut open) => {
                if open.status >= 500 && open.status != 501 {
                    let said = String::from_utf8_lossy(&open.read(ENOUGH)).into_owned();
                    if said.contains(OVERTAKEN) {
                        return Some(open);
                    }
                    self.faults.note(format!(
                        "{method} {path} {body}: {} {}",
                        open.status,
                        said.trim()
                    ));
                }
                Some(open)
            }
            Err(error) => {
                self.faults.note(format!("{method} {path}: {error:#}"));
                None
            }
        }
    }

    /// The whole answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let begun = Instant::now();
        let Some(mut open) = self.open(method, path, CLOSE, body) else {
            return (0, String::new());
        };
        self.faults
            .doing(self.number, &format!("{method} {path} {body}, its end"));
        let answer = String::from_utf8_lossy(&open.read(ENOUGH)).into_owned();
        self.faults.done(self.number);
        if begun.elapsed() > PATIENCE {
            self.faults.note(format!(
                "{method} {path} {body}: {} after {:?}",
                open.status,
                begun.elapsed()
            ));
        }
        (open.status, answer)
    }

    fn post(&self, path: &str) {
        self.ask("POST", path, "");
    }

    fn create(&mut self) {
        let name = self.own();
        let command = self.dice.of(&[
            r#"["sh","-c","while :; do echo tick; sleep 0.2; done"]"#,
            r#"["sh","-c","trap 'exit 7' TERM; while :; do sleep 0.1; done"]"#,
            r#"["sh","-c","echo out; echo err >&2; exit 3"]"#,
            r#"["true"]"#,
            r#"["cat"]"#,
            r#"["/not/there"]"#,
        ]);
        let (tty, rm) = (self.dice.below(4) == 0, self.dice.below(5) == 0);
        let network = self.dice.of(&["none", "none", "host", "bridge"]);
        let body = format!(
            r#"{{"Image":"busybox","Cmd":{command},"Tty":{tty},"OpenStdin":true,"Labels":{{"soak":"{}"}},"HostConfig":{{"NetworkMode":"{network}","AutoRemove":{rm},"Memory":33554432}}}}"#,
            self.number
        );
        self.ask("POST", &format!("/containers/create?name={name}"), &body);
    }

    fn start(&mut self) {
        let name = self.target();
        self.post(&format!("/containers/{name}/start"));
    }

    fn stop(&mut self) {
        let (name, time) = (self.target(), self.dice.below(2));
        self.post(&format!("/containers/{name}/stop?t={time}"));
    }

    fn signal(&mut self) {
        let name = self.target();
        let signal = self.dice.of(&["TERM", "KILL", "HUP", "0"]);
        self.post(&format!("/containers/{name}/kill?signal={signal}"));
    }

    fn restart(&mut self) {
        let name = self.target();
        self.post(&format!("/containers/{name}/restart?t=0"));
    }

    fn pause(&mut self) {
        let name = self.own();
        self.post(&format!("/containers/{name}/pause"));
        self.ask("GET", &format!("/containers/{name}/json"), "");
        self.post(&format!("/containers/{name}/unpause"));
    }

    fn remove(&mut self) {
        let (name, force) = (self.target(), self.dice.below(3) > 0);
        self.ask(
            "DELETE",
            &format!("/containers/{name}?v=1&force={force}"),
            "",
        );
    }

    fn exec(&mut self) {
        let name = self.target();
        let command = self.dice.of(&[
            r#"["true"]"#,
            r#"["echo","hello"]"#,
            r#"["sh","-c","echo a; sleep 0.05; echo b >&2; exit 5"]"#,
            r#"["head","-c","200000","/dev/zero"]"#,
            r#"["cat"]"#,
            r#"["/not/there"]"#,
        ]);
        let tty = self.dice.below(4) == 0;
        let body = format!(
            r#"{{"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"Tty":{tty},"Cmd":{command}}}"#
        );
        let (status, answer) = self.ask("POST", &format!("/containers/{name}/exec"), &body);
        if status != 201 {
            return;
        }
        let id = answer.split('"').nth(3).unwrap_or_default().to_owned();
        let detach = self.dice.below(5) == 0 && command != r#"["cat"]"#;
        let start = format!(r#"{{"Detach":{detach},"Tty":{tty}}}"#);
        let head = if detach { CLOSE } else { HIJACK };
        let path = format!("/exec/{id}/start");
        if let Some(mut open) = self.open("POST", &path, head, &start) {
            if detach {
                open.read(ENOUGH);
            } else if self.dice.below(3) > 0 {
                self.talk(&mut open);
            }
        }
        self.ask("GET", &format!("/exec/{id}/json"), "");
    }

    /// Says something, closes its side, reads for a while.
    fn talk(&mut self, open: &mut Open) {
        let _ = open.stream.write_all(b"hello\n");
        let _ = open.stream.shutdown(std::net::Shutdown::Write);
        let time = Duration::from_millis(50 + self.dice.below(1000));
        let _ = open.stream.set_read_timeout(Some(time));
        open.read(ENOUGH);
    }

    fn attach(&mut self) {
        let name = self.target();
        let path = format!("/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1&logs=1");
        if let Some(mut open) = self.open("POST", &path, HIJACK, "") {
            let time = Duration::from_millis(1 + self.dice.below(300));
            let _ = open.stream.set_read_timeout(Some(time));
            let _ = open.stream.write_all(b"hello\n");
            open.read(1 << 16);
        }
    }

    fn logs(&mut self) {
        let name = self.target();
        let more = self
            .dice
            .of(&["", "&tail=5", "&timestamps=1", "&since=1&until=9999999999"]);
        self.ask(
            "GET",
            &format!("/containers/{name}/logs?stdout=1&stderr=1{more}"),
            "",
        );
    }

    fn follow(&mut self) {
        let name = self.target();
        let path = format!("/containers/{name}/logs?stdout=1&stderr=1&follow=1&tail=10");
        self.briefly(&path);
    }

    /// Reads a stream for a moment and leaves.
    fn briefly(&mut self, path: &str) {
        if let Some(mut open) = self.open("GET", path, CLOSE, "") {
            let time = Duration::from_millis(1 + self.dice.below(500));
            let _ = open.stream.set_read_timeout(Some(time));
            open.read(2000);
        }
    }

    fn stats(&mut self) {
        let name = self.target();
        if self.dice.below(2) == 0 {
            self.briefly(&format!("/containers/{name}/stats?stream=1"));
        } else {
            self.ask(
                "GET",
                &format!("/containers/{name}/stats?stream=0&one-shot=1"),
                "",
            );
        }
    }

    fn events(&mut self) {
        let more = self.dice.of(&[
            "",
            "?since=1",
            "?since=1&until=2",
            "?filters=%7B%22event%22%3A%5B%22die%22%5D%7D",
        ]);
        self.briefly(&format!("/events{more}"));
    }

    fn look(&mut self) {
        let name = self.target();
        let path = match self.dice.below(11) {
            0 => "/containers/json".to_owned(),
            1 => "/containers/json?all=1".to_owned(),
            2 => {
                "/containers/json?all=1&filters=%7B%22status%22%3A%5B%22exited%22%5D%7D".to_owned()
            }
            3 => "/images/json".to_owned(),
            4 => "/images/busybox/json".to_owned(),
            5 => "/info".to_owned(),
            6 => "/version".to_owned(),
            7 => "/networks".to_owned(),
            8 => "/volumes".to_owned(),
            9 => format!("/containers/{name}/top"),
            _ => format!("/containers/{name}/json"),
        };
        self.ask("GET", &path, "");
    }

    fn wait(&mut self) {
        let name = self.target();
        let condition = self.dice.of(&["not-running", "next-exit", "removed"]);
        let path = format!("/containers/{name}/wait?condition={condition}");
        if let Some(mut open) = self.open("POST", &path, CLOSE, "") {
            let _ = open
                .stream
                .set_read_timeout(Some(Duration::from_millis(1 + self.dice.below(400))));
            open.read(1000);
        }
    }

    fn volume(&mut self) {
        let name = format!("v{}", self.number);
        self.ask(
            "POST",
            "/volumes/create",
            &format!(r#"{{"Name":"{name}"}}"#),
        );
        self.ask("GET", &format!("/volumes/{name}"), "");
        self.ask("DELETE", &format!("/volumes/{name}"), "");
    }

    fn change(&mut self) {
        let name = self.own();
        if self.dice.below(2) == 0 {
            self.ask(
                "POST",
                &format!("/containers/{name}/update"),
                r#"{"Memory":50331648,"MemorySwap":-1}"#,
            );
        } else {
            self.post(&format!("/containers/{name}/rename?name={name}r"));
            self.post(&format!("/containers/{name}r/rename?name={name}"));
        }
    }

    /// What no good client sends.
    fn nonsense(&mut self) {
        let name = self.target();
        match self.dice.below(9) {
            0 => self.ask("POST", "/containers/create", "{\"Image\":"),
            1 => self.ask(
                "POST",
                "/containers/create",
                r#"{"Image":"not-there","Cmd":["x"]}"#,
            ),
            2 => self.ask("GET", "/containers/%2e%2e%2f/json", ""),
            3 => self.ask("GET", "/not/a/path", ""),
            4 => self.ask(
                "POST",
                &format!("/containers/{name}/kill?signal=NONSENSE"),
                "",
            ),
            5 => self.ask("POST", &format!("/containers/{name}/exec"), r#"{"Cmd":[]}"#),
            6 => self.ask("POST", "/exec/0000/start", "{}"),
            7 => self.ask("GET", "/events?filters=nonsense", ""),
            _ => self.ask("DELETE", "/containers/create/json/etc", ""),
        };
    }

    /// Leaves in the middle of something.
    fn vanish(&mut self) {
        let name = self.target();
        let Ok(mut stream) = UnixStream::connect(&self.place.docker) else {
            return;
        };
        let request = match self.dice.below(6) {
            0 => "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 5000\r\n\r\n{".to_owned(),
            1 => format!("POST /containers/{name}/start HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"),
            2 => format!("POST /containers/{name}/stop?t=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"),
            3 => format!("GET /containers/{name}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n"),
            4 => format!(
                "POST /containers/{name}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n{HIJACK}Content-Length: 0\r\n\r\n"
            ),
            _ => "POST /images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n".to_owned(),
        };
        let _ = stream.write_all(request.as_bytes());
    }
}

impl Work for DockerClient {
    fn step(&mut self) {
        let all = STEPS.iter().map(|(weight, _)| weight).sum();
        let mut chosen = self.dice.below(all);
        for (weight, step) in STEPS {
            if chosen < *weight {
                return step(self);
            }
            chosen -= weight;
        }
    }

    fn clear(&mut self) {
        for slot in 0..SLOTS {
            for name in [
                format!("s{}-{slot}", self.number),
                format!("s{}-{slot}r", self.number),
            ] {
                let (status, said) =
                    self.ask("DELETE", &format!("/containers/{name}?v=1&force=1"), "");
                if !matches!(status, 204 | 404) {
                    self.faults.note(format!("remove {name}: {status} {said}"));
                }
            }
        }
    }
}
