//! One container of the Docker door and what its client knows of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::door::{Door, Reply};
use super::facts::{Count, Fact, Seen, Step, contradiction};
use super::programs::{Kind, LINES};
use super::streams;
use super::trail::Trail;

mod actions;
mod making;

pub use making::Wanted;

/// How long what was promised may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One container.
#[derive(Clone, Debug)]
pub struct Owned {
    /// What it runs.
    pub kind: Kind,
    /// Value of its label.
    pub label: String,
    /// Its id, once an answer or a look has told.
    pub id: Option<String>,
    /// Its name, and the other one while a rename is not resolved.
    pub names: Vec<String>,
    /// How it may be.
    pub facts: Vec<Fact>,
    /// The volume it writes to.
    pub volume: Option<String>,
    /// It was made by a request that may go on after the look: what is not so yet may become so.
    eventual: bool,
    /// Runs that have said so in the log.
    begins: Count,
    /// A run has been begun that the log was not asked about.
    unconfirmed: bool,
    /// Start time and process of the run that was seen; it must stay the same until the client ends it.
    run: Option<(String, i64)>,
    /// The run before another one that may have begun.
    before: Option<(String, i64)>,
    /// Lines sent to it, and whether it must have written them.
    echoes: Vec<(String, bool)>,
    /// Its supervisor carries an armed point: it may die at any time.
    pub fragile: bool,
    /// Removed by the daemon at its end.
    auto_remove: bool,
    /// Started again by the daemon, unless a client has ended it.
    always: bool,
    /// Its limit of processes: what may be shown.
    limits: Vec<i64>,
    trail: Trail,
    /// Starts that were asked for, and those that were answered with success.
    pub starts: Count,
}

impl Owned {
    /// The name or id to ask by.
    #[must_use]
    pub fn key(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.names[0])
    }

    /// Whether exactly this is known.
    #[must_use]
    pub fn is(&self, fact: &Fact) -> bool {
        self.facts.len() == 1 && self.facts[0] == *fact
    }

    /// Whether it is known that it ran to an end.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        matches!(self.facts.as_slice(), [Fact::Exited(_)])
    }

    /// Process id of the run that was seen last.
    #[must_use]
    pub fn pid(&self) -> Option<i64> {
        self.run.as_ref().map(|(_, pid)| *pid)
    }

    /// Its supervisor has been killed.
    pub fn supervisor_died(&mut self) {
        self.trail.note("supervisor killed".to_owned());
        let died = Fact::Exited(vec![255]);
        if self.always {
            return self.begins_again();
        }
        match self.is(&Fact::Running) || self.is(&Fact::Paused) {
            true => self.facts = vec![if self.auto_remove { Fact::Absent } else { died }],
            false => self.facts.push(died),
        }
        self.eventual = true;
        self.starts.max += 1;
    }

    /// A run has ended that the daemon follows with another one.
    fn begins_again(&mut self) {
        // A start that was cut off or refused may count as none.
        let never = Fact::Exited(vec![128]);
        let sure = self.facts.len() == 1 && !self.is(&never);
        self.facts.retain(|_| !sure);
        self.facts.push(Fact::Running);
        self.eventual = true;
        self.another_run();
    }

    /// Another run may have begun that nobody was told of.
    fn another_run(&mut self) {
        self.before = self.run.take().or(self.before.take());
        self.unconfirmed = true;
        self.begins.maybe();
        self.starts.max += 1;
    }

    /// The machine went down with everything that ran.
    pub fn machine_died(&mut self) {
        self.trail.note("machine died".to_owned());
        let ran = |fact: &Fact| matches!(fact, Fact::Running | Fact::Paused);
        if self.always {
            // However its last run or start ended, it begins again: only one that was never started does not.
            self.facts
                .retain(|fact| matches!(fact, Fact::Absent | Fact::Created));
            self.facts.push(Fact::Running);
            self.eventual = true;
            return self.another_run();
        }
        if self.facts.iter().any(ran) || self.eventual {
            self.facts.retain(|fact| !ran(fact));
            // A run that had not said how it ends, whatever it would have said.
            self.facts.push(Fact::Exited(Vec::new()));
            if self.auto_remove {
                self.facts.push(Fact::Absent);
            }
            self.eventual = true;
            self.starts.max += 1;
        }
    }

    /// Looks until what is seen is what must be; everything is known exactly afterwards.
    ///
    /// # Errors
    /// If it is not so in time.
    pub fn settle(&mut self, door: &Door) -> Step {
        let before = format!("{:?}", self.facts);
        let step = self.settle_now(door);
        let (always, fragile) = (self.always, self.fragile);
        self.trail.note(format!(
            "settled {before} as {:?}, always {always}, fragile {fragile}",
            self.facts
        ));
        self.trail.told(step)
    }

    fn settle_now(&mut self, door: &Door) -> Step {
        let end = Instant::now() + PATIENCE;
        loop {
            let (seen, shown) = self.look(door)?;
            let between = matches!(seen, Seen::Between(_));
            let fits = self.facts.iter().any(|fact| fact.fits(&seen))
                || (self.fragile && matches!(seen, Seen::Exited(_) | Seen::Created))
                || (self.fragile && self.auto_remove && seen == Seen::Absent);
            if fits && !between {
                self.same_run(door, &seen, &shown)?;
                let may_go = (door.lenient || self.fragile || self.auto_remove)
                    && self.facts.contains(&Fact::Absent);
                self.facts = vec![seen.fact()];
                self.eventual = false;
                if may_go && seen != Seen::Absent {
                    // What was cut off may be taken up later still when steps are made to fail; `--rm` of a start that
                    // was cut off follows beside other work.
                    self.facts.push(Fact::Absent);
                }
                return self.settle_log(door, &seen);
            }
            if (!between && !self.eventual) || Instant::now() > end {
                return contradiction(format!(
                    "container {} ({:?}) is {seen:?}, and {:?} is what can be: {}",
                    self.key(),
                    self.kind,
                    self.facts,
                    shown["State"]
                ));
            }
            pause();
        }
    }

    fn look(&mut self, door: &Door) -> Step<(Seen, Value)> {
        let mut reply = door.get(&format!("/containers/{}/json", self.key()))?;
        if reply.status == 404 && self.id.is_none() && self.names.len() > 1 {
            reply = door.get(&format!("/containers/{}/json", self.names[1]))?;
        }
        if reply.status == 404 {
            return Ok((Seen::Absent, Value::Null));
        }
        if reply.status != 200 {
            return contradiction(format!("inspect {}: {}", self.key(), reply.text()));
        }
        let shown = reply.json();
        let id = shown["Id"].as_str().unwrap_or_default().to_owned();
        if self.id.as_ref().is_some_and(|known| *known != id) {
            return contradiction(format!("container {} has become {id}", self.key()));
        }
        self.id = Some(id);
        let name = shown["Name"].as_str().unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        if !self.names.contains(&name) {
            return contradiction(format!(
                "container {} is called {name}, not {:?}",
                self.key(),
                self.names
            ));
        }
        self.names = vec![name];
        if shown["Config"]["Labels"]["chaos"] != json!(self.label) {
            return contradiction(format!("the label of {} is another", self.key()));
        }
        let limit = shown["HostConfig"]["PidsLimit"].as_i64().unwrap_or(0);
        if !self.limits.contains(&limit) {
            return contradiction(format!(
                "container {} may have {limit} processes, not {:?}",
                self.key(),
                self.limits
            ));
        }
        self.limits = vec![limit];
        let state = &shown["State"];
        let seen = match state["Status"].as_str().unwrap_or_default() {
            "created" => Seen::Created,
            "running" => Seen::Running,
            "paused" => Seen::Paused,
            "exited" => Seen::Exited(state["ExitCode"].as_i64().unwrap_or(-1)),
            other => Seen::Between(other.to_owned()),
        };
        Ok((seen, shown))
    }

    /// A run nobody has ended goes on as the same process.
    fn same_run(&mut self, door: &Door, seen: &Seen, shown: &Value) -> Step {
        if !matches!(seen, Seen::Running | Seen::Paused) {
            self.run = None;
            return Ok(());
        }
        let state = &shown["State"];
        let run = (
            state["StartedAt"].as_str().unwrap_or_default().to_owned(),
            state["Pid"].as_i64().unwrap_or(0),
        );
        if run.1 <= 0 {
            return contradiction(format!("{} runs without a process: {state}", self.key()));
        }
        if !std::path::Path::new("/proc")
            .join(run.1.to_string())
            .is_dir()
        {
            return contradiction(format!("{} runs as no process: {state}", self.key()));
        }
        // The daemon's own start of another run arms its supervisor as a client's does.
        self.fragile |= self.always && door.fragile && self.run.as_ref() != Some(&run);
        if let Some(known) = &self.run
            && !(self.fragile && self.always)
            && *known != run
        {
            return contradiction(format!(
                "the run of {} was {known:?} and is {run:?}",
                self.key()
            ));
        }
        // The one that was there goes on: no other has begun.
        self.unconfirmed &= self.before.take().as_ref() != Some(&run);
        self.run = Some(run);
        Ok(())
    }

    /// The log says what must have been written, each line once.
    fn settle_log(&mut self, door: &Door, seen: &Seen) -> Step {
        // One whose start was cut off and undone may have written before.
        let sure = self.begins.min == self.begins.max;
        if *seen == Seen::Absent || (*seen == Seen::Created && sure) {
            return Ok(());
        }
        let end = Instant::now() + PATIENCE;
        let live = matches!(seen, Seen::Running | Seen::Paused);
        loop {
            let Some((out, err)) = self.log(door)? else {
                return Ok(());
            };
            let begun = match self.kind.first_word() {
                Some(word) => count(&out, word),
                None => return self.settle_lines(&out, live),
            };
            // A line of a run that goes on may be on its way, one of a run that ended may not.
            if live && self.unconfirmed && begun <= self.begins.min && Instant::now() < end {
                if *seen == Seen::Paused {
                    return Ok(());
                }
                pause();
                continue;
            }
            self.unconfirmed = false;
            if self.fragile {
                self.begins.min = self.begins.min.min(begun);
                self.begins.max = self.begins.max.max(if self.always { begun } else { 0 });
            }
            let what = format!("lines in the log of {} that a run began", self.key());
            self.begins.settle(&what, begun)?;
            if let Kind::Short(_) = self.kind
                && !self.fragile
                && count(&err, "err") != begun
            {
                return contradiction(format!("the log of {}: {out:?} {err:?}", self.key()));
            }
            let first_again = out.iter().position(|l| l == "begin again");
            if first_again.is_some_and(|at| out[at..].iter().any(|l| l == "begin first")) {
                return contradiction(format!("{} has lost its file system", self.key()));
            }
            return Ok(());
        }
    }

    fn settle_lines(&mut self, out: &[String], live: bool) -> Step {
        match self.kind {
            Kind::Chatty if !live && !self.fragile && !self.is(&Fact::Exited(vec![255])) => {
                // A run that was cut off may have ended anywhere.
                whole_tail(self.key(), out, self.starts.max > self.starts.min)
            }
            Kind::Cat => {
                let mut seen = out.iter();
                for (line, must) in &self.echoes {
                    let found = seen.as_slice().first() == Some(line);
                    if found {
                        seen.next();
                    } else if *must {
                        return contradiction(format!(
                            "the log of {} lacks {line:?}: {out:?}",
                            self.key()
                        ));
                    }
                }
                match seen.next() {
                    // What was sent and not answered may be written at any moment.
                    Some(line) => {
                        contradiction(format!("the log of {} has {line:?} too much", self.key()))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// None of one that may go by itself and has.
    fn log(&self, door: &Door) -> Step<Option<(Vec<String>, Vec<String>)>> {
        let path = format!("/containers/{}/logs?stdout=1&stderr=1", self.key());
        let reply = door.get(&path)?;
        if reply.status == 404 && self.facts.contains(&Fact::Absent) {
            return Ok(None);
        }
        if reply.status != 200 {
            return contradiction(format!("logs of {}: {}", self.key(), reply.text()));
        }
        let Some((out, err)) = streams::split(&reply.body) else {
            return contradiction(format!("the log of {} is torn", self.key()));
        };
        let lines = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        Ok(Some((lines(out), lines(err))))
    }

    /// A refusal that was injected, or a contradiction.
    fn explained(&self, door: &Door, what: &str, reply: &Reply) -> Step {
        if self.fragile || (door.lenient && reply.status >= 500) {
            return Ok(());
        }
        contradiction(format!(
            "{what} {} ({:?}, known to be {:?}): {} {}",
            self.key(),
            self.kind,
            self.facts,
            reply.status,
            reply.text()
        ))
    }
}

fn count(lines: &[String], word: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(word)).count()
}

/// The numbers go up by one to the last: rotation takes whole files from the front.
fn whole_tail(key: &str, lines: &[String], cut: bool) -> Step {
    let mut numbers = lines.iter().map(|l| {
        l.strip_prefix("number ")
            .and_then(|n| n.parse::<usize>().ok())
    });
    let torn = || contradiction(format!("a rotated log of {key} is not whole"));
    let mut last = match numbers.next() {
        Some(Some(first)) => first,
        None if cut => return Ok(()),
        _ => return torn(),
    };
    for number in numbers {
        // A second run begins at one, after the first's last.
        match number {
            Some(n) if n == last + 1 || (n == 1 && (cut || last == LINES)) => last = n,
            other => {
                return contradiction(format!("a rotated log of {key}: {other:?} after {last}"));
            }
        }
    }
    if last == LINES || cut { Ok(()) } else { torn() }
}

#[allow(
    clippy::disallowed_methods,
    reason = "between two looks at a condition another process makes true"
)]
pub(super) fn pause() {
    std::thread::sleep(Duration::from_millis(15));
}
