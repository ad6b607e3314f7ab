//! What a client does to a container, and what it knows after each answer.

use serde_json::json;

use super::super::door::{Door, Reply};
use super::super::facts::{Fact, Step, contradiction};
use super::super::programs::Kind;
use super::super::random::Random;
use super::super::streams;
use super::Owned;

/// Codes of a sleeper that was told to stop: by its own trap, or killed when it took too long.
fn stopped() -> Fact {
    Fact::Exited(vec![7, 137, 143])
}

impl Owned {
    /// Does something that makes sense in the state it is in.
    ///
    /// # Errors
    /// If the daemon goes away or answers what cannot be.
    pub fn act(&mut self, door: &Door, random: &mut Random, other_name: &str) -> Step {
        let step = self.act_now(door, random, other_name);
        self.trail.told(step)
    }

    fn act_now(&mut self, door: &Door, random: &mut Random, other_name: &str) -> Step {
        if self.eventual {
            self.settle(door)?;
        }
        match self.facts.as_slice() {
            [Fact::Running] => self.act_running(door, random, other_name),
            [Fact::Paused] => match random.below(3) {
                0 => self.remove(door, true),
                1 => self.refused_exec(door),
                _ => self.unpause(door),
            },
            [Fact::Created] => match random.below(7) {
                6 => self.update(door, random),
                0 => self.remove(door, random.chance(50)),
                1 => self.rename(door, other_name),
                _ => self.start(door),
            },
            [Fact::Exited(_)] => match random.below(5) {
                0 | 1 => self.remove(door, random.chance(50)),
                2 => self.rename(door, other_name),
                3 if self.kind.stays() => self.restart(door),
                _ => self.start(door),
            },
            _ => self.settle(door),
        }
    }

    fn act_running(&mut self, door: &Door, random: &mut Random, other_name: &str) -> Step {
        match random.below(13) {
            12 => self.update(door, random),
            0 => self.stop(door, 1),
            1 => self.stop(door, 0),
            2 => self.kill(door),
            3 => self.wait_for_kill(door),
            4 => self.restart(door),
            5 => self.pause_it(door),
            6 => self.rename(door, other_name),
            7 => self.remove(door, true),
            8 if self.kind == Kind::Cat => self.talk(door, random),
            9 => self.refused_remove(door),
            10 => self.detached_exec(door),
            _ => self.exec(door, random),
        }
    }

    fn ask(&mut self, door: &Door, method: &str, path: &str) -> Step<Reply> {
        let (_, what) = path.rsplit_once('/').unwrap_or_default();
        self.trail.note(format!("{method} {what}"));
        let reply = door.ask(method, path, b"");
        match &reply {
            Ok(reply) => self.trail.note(format!("{what}: {}", reply.status)),
            Err(_) => self.trail.note(format!("{what}: cut off")),
        }
        reply
    }

    /// Starts it, and sees its first line.
    pub(super) fn start(&mut self, door: &Door) -> Step {
        let before = self.facts.clone();
        let broken = self.kind == Kind::Broken;
        let up = match (self.kind.stays(), self.auto_remove) {
            (true, _) => Fact::Running,
            (false, true) => Fact::Absent,
            (false, false) => Fact::Exited(vec![self.kind.code()]),
        };
        // A start that was cut off is undone: the run is recorded with its reason.
        let undone = match self.auto_remove {
            true => Fact::Absent,
            false => Fact::Exited(vec![127, 128]),
        };
        self.run = None;
        self.fragile = door.fragile;
        if broken {
            self.facts = [before.clone(), vec![undone.clone()]].concat();
        } else {
            self.facts = [before.clone(), vec![up.clone(), undone.clone()]].concat();
            self.eventual = true;
            self.begins.maybe();
            self.starts.max += 1;
            self.unconfirmed = true;
        }
        let reply = self.ask(door, "POST", &format!("/containers/{}/start", self.key()))?;
        match reply.status {
            204 if !broken => {
                self.facts = vec![up];
                // It may be killed by another's point before it says anything.
                if !self.kind.stays() && !self.fragile {
                    self.begins.min += 1;
                    self.starts.min += 1;
                }
                self.settle(door)
            }
            400 | 404 if broken => {
                self.facts = [before, vec![undone]].concat();
                self.settle(door)
            }
            _ => {
                self.explained(door, "start", &reply)?;
                // Undone before it is answered: nothing runs.
                self.facts = [before, vec![undone]].concat();
                self.eventual = self.auto_remove;
                self.settle(door)
            }
        }
    }

    fn stop(&mut self, door: &Door, patience: u8) -> Step {
        self.end_by(door, "stop", &format!("stop?t={patience}"), false)
    }

    fn kill(&mut self, door: &Door) -> Step {
        self.end_by(door, "kill", "kill", true)
    }

    fn end_by(&mut self, door: &Door, what: &str, path: &str, later: bool) -> Step {
        let ended = if self.auto_remove {
            vec![Fact::Absent]
        } else if later {
            vec![Fact::Exited(vec![137])]
        } else {
            vec![stopped()]
        };
        self.facts = [vec![Fact::Running], ended.clone()].concat();
        if self.always {
            // Cut off in the middle, it may have ended and begun again.
            self.another_run();
        }
        // A signal that was sent before the cut arrives all the same.
        let reply = self.ask(door, "POST", &format!("/containers/{}/{path}", self.key()))?;
        if reply.status == 204 {
            self.facts = ended;
            self.eventual = later || self.auto_remove;
            return self.settle(door);
        }
        self.explained(door, what, &reply)?;
        self.settle(door)
    }

    fn wait_for_kill(&mut self, door: &Door) -> Step {
        let path = format!("/containers/{}/wait?condition=next-exit", self.key());
        let waiting = door.send("POST", &path, b"")?;
        self.kill(door)?;
        if self.is(&Fact::Running) {
            return Ok(());
        }
        let told = waiting.rest()?;
        let fits = matches!(told.json()["StatusCode"].as_i64(), Some(137 | 255));
        if told.status == 200 && fits {
            return Ok(());
        }
        contradiction(format!(
            "wait for {} was told {} {}",
            self.key(),
            told.status,
            told.text()
        ))
    }

    fn restart(&mut self, door: &Door) -> Step {
        let before = self.facts.clone();
        self.facts = [
            before,
            vec![Fact::Running, stopped(), Fact::Exited(vec![127, 128])],
        ]
        .concat();
        self.eventual = true;
        self.run = None;
        self.fragile |= door.fragile;
        self.begins.maybe();
        let path = format!("/containers/{}/restart?t=1", self.key());
        let reply = self.ask(door, "POST", &path)?;
        if reply.status == 204 {
            self.facts = vec![Fact::Running];
            self.unconfirmed = true;
            return self.settle(door);
        }
        self.explained(door, "restart", &reply)?;
        self.settle(door)
    }

    fn pause_it(&mut self, door: &Door) -> Step {
        self.facts = vec![Fact::Running, Fact::Paused];
        let reply = self.ask(door, "POST", &format!("/containers/{}/pause", self.key()))?;
        if reply.status == 204 {
            self.facts = vec![Fact::Paused];
            return Ok(());
        }
        self.explained(door, "pause", &reply)?;
        self.settle(door)
    }

    fn unpause(&mut self, door: &Door) -> Step {
        self.facts = vec![Fact::Running, Fact::Paused];
        let path = format!("/containers/{}/unpause", self.key());
        let reply = self.ask(door, "POST", &path)?;
        if reply.status == 204 {
            self.facts = vec![Fact::Running];
            return Ok(());
        }
        self.explained(door, "unpause", &reply)?;
        self.settle(door)
    }

    fn update(&mut self, door: &Door, random: &mut Random) -> Step {
        let limit = 60 + i64::try_from(random.below(100)).unwrap_or(0);
        let before = self.limits.clone();
        self.limits.push(limit);
        let path = format!("/containers/{}/update", self.key());
        let reply = door.post(&path, &json!({ "PidsLimit": limit }))?;
        if reply.status == 200 {
            self.limits = vec![limit];
        } else {
            self.explained(door, "update", &reply)?;
            self.limits = before;
        }
        self.settle(door)
    }

    fn rename(&mut self, door: &Door, name: &str) -> Step {
        let old = self.names[0].clone();
        self.names = vec![old.clone(), name.to_owned()];
        let path = format!("/containers/{}/rename?name={name}", self.key());
        let reply = self.ask(door, "POST", &path)?;
        if reply.status == 204 {
            self.names = vec![name.to_owned()];
            return self.settle(door);
        }
        self.explained(door, "rename", &reply)?;
        self.names = vec![old];
        self.settle(door)
    }

    /// Removes it; with force from any state.
    pub(super) fn remove(&mut self, door: &Door, force: bool) -> Step {
        let before = self.facts.clone();
        self.facts = [before.clone(), vec![Fact::Absent]].concat();
        if before == [Fact::Running] || before == [Fact::Paused] {
            self.facts.push(Fact::Exited(vec![137]));
        }
        let path = format!("/containers/{}?force={force}&v=true", self.key());
        let reply = self.ask(door, "DELETE", &path)?;
        if reply.status == 204 {
            self.facts = vec![Fact::Absent];
            return self.settle(door);
        }
        if self.auto_remove && reply.status == 404 {
            self.facts = vec![Fact::Absent];
            return self.settle(door);
        }
        self.explained(door, "remove", &reply)?;
        // What is half gone is said to be `removing`; asking again goes on with it.
        let again = self.ask(door, "DELETE", &path)?;
        if !matches!(again.status, 204 | 404) {
            return contradiction(format!("remove again: {} {}", again.status, again.text()));
        }
        self.facts = vec![Fact::Absent];
        self.settle(door)
    }

    fn refused_remove(&mut self, door: &Door) -> Step {
        let path = format!("/containers/{}", self.key());
        let reply = self.ask(door, "DELETE", &path)?;
        match reply.status {
            409 => Ok(()),
            _ if self.fragile => {
                self.facts.push(Fact::Absent);
                self.settle(door)
            }
            _ => contradiction(format!(
                "remove without force of {}, which runs: {} {}",
                self.key(),
                reply.status,
                reply.text()
            )),
        }
    }

    fn refused_exec(&mut self, door: &Door) -> Step {
        let path = format!("/containers/{}/exec", self.key());
        let reply = door.post(&path, &json!({ "Cmd": ["true"] }))?;
        if reply.status == 409 || self.fragile {
            return Ok(());
        }
        self.explained(door, "exec in a paused container", &reply)
    }

    /// Runs something inside and compares output and code.
    fn exec(&mut self, door: &Door, random: &mut Random) -> Step {
        let token = format!("t{}", random.below(1_000_000));
        let script = format!("echo {token}; echo no >&2; exit 5");
        let body = json!({
            "Cmd": ["sh", "-c", script], "AttachStdout": true, "AttachStderr": true,
        });
        let Some(exec) = self.make_exec(door, &body)? else {
            return Ok(());
        };
        let open = door.hijack(&format!("/exec/{exec}/start"), b"{\"Detach\":false}")?;
        let status = open.status();
        let bytes = open.stream()?;
        let shown = door.get(&format!("/exec/{exec}/json"))?;
        let code = shown.json()["ExitCode"].as_i64();
        let said = streams::split(&bytes);
        let expected = (format!("{token}\n").into_bytes(), b"no\n".to_vec());
        if matches!(status, 101 | 200) && code == Some(5) && said == Some(expected) {
            return Ok(());
        }
        if door.lenient || self.fragile {
            return self.settle(door);
        }
        contradiction(format!(
            "exec in {}: {status}, code {code:?}, {:?}",
            self.key(),
            String::from_utf8_lossy(&bytes)
        ))
    }

    fn detached_exec(&mut self, door: &Door) -> Step {
        let body = json!({ "Cmd": ["sh", "-c", "exit 3"] });
        let Some(exec) = self.make_exec(door, &body)? else {
            return Ok(());
        };
        let reply = door.post(&format!("/exec/{exec}/start"), &json!({ "Detach": true }))?;
        if reply.status != 200 {
            return self.explained(door, "start an exec in", &reply);
        }
        let end = std::time::Instant::now() + super::PATIENCE;
        loop {
            let shown = door.get(&format!("/exec/{exec}/json"))?.json();
            if shown["Running"] == json!(false) {
                return match shown["ExitCode"].as_i64() {
                    Some(3) => Ok(()),
                    _ if door.lenient || self.fragile => Ok(()),
                    other => contradiction(format!("exec in {} ended with {other:?}", self.key())),
                };
            }
            if std::time::Instant::now() > end {
                return contradiction(format!("exec in {} does not end", self.key()));
            }
            super::pause();
        }
    }

    fn make_exec(&self, door: &Door, body: &serde_json::Value) -> Step<Option<String>> {
        let reply = door.post(&format!("/containers/{}/exec", self.key()), body)?;
        if reply.status == 201 {
            return Ok(reply.json()["Id"].as_str().map(str::to_owned));
        }
        if !(self.fragile && reply.status == 409) {
            self.explained(door, "make an exec in", &reply)?;
        }
        Ok(None)
    }

    /// Attaches to a container that writes back what it reads.
    fn talk(&mut self, door: &Door, random: &mut Random) -> Step {
        let path = format!(
            "/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1",
            self.key()
        );
        let mut open = door.hijack(&path, b"")?;
        if !matches!(open.status(), 101 | 200) {
            let reply = open.rest()?;
            return self.explained(door, "attach to", &reply);
        }
        for _ in 0..=random.below(3) {
            let line = format!("line {}", random.below(1_000_000));
            self.echoes.push((line.clone(), false));
            if open.write(format!("{line}\n").as_bytes()).is_err() && door.lenient {
                return Ok(());
            }
            match open.until(format!("{line}\n").as_bytes()) {
                Ok(()) => {}
                Err(_) if door.lenient || self.fragile => return Ok(()),
                Err(stop) => return Err(stop),
            }
            if let Some(last) = self.echoes.last_mut() {
                // The supervisor writes the log and its clients in one go.
                last.1 = !self.fragile;
            }
        }
        Ok(())
    }
}
