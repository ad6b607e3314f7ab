//! Rounds: start the daemon with what is armed, look, work, end it; and now and then remove everything and look for
//! what is left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::clear::{self, Empty};
use super::client::{Client, World};
use super::door::Door;
use super::facts::{Fact, Step, Stop};
use super::objects::Shelf;
use super::plan::{Harm, Plan, Point};
use super::quarantine;
use super::random::Random;
use crate::{Node, leaks, wait};

mod lists;

/// How long a daemon may take until it serves.
const SERVES: Duration = Duration::from_secs(30);

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// How many rounds.
    pub rounds: usize,
    /// How many clients.
    pub clients: usize,
    /// Everything is removed and looked for after so many rounds.
    pub clear_every: usize,
    /// The points that are armed in turn.
    pub points: Vec<Point>,
    /// Every round is a point's.
    pub only_points: bool,
    /// Whether boot ids can be changed.
    pub reboots: bool,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Steps of all clients.
    pub steps: usize,
    /// Rounds in which gantryd ended at a point.
    pub died: usize,
    /// Longest time from exec to an answer.
    pub slowest_start: Duration,
    /// How often everything was removed and nothing found.
    pub clears: usize,
}

/// One run.
#[derive(Debug)]
pub struct Run {
    settings: Settings,
    node: Node,
    _plugins: TempDir,
    clients: Vec<Client>,
    shelf: Shelf,
    hits: PathBuf,
    empty: Empty,
    boots: usize,
    /// What came out so far.
    pub figures: Figures,
}

impl Run {
    /// Starts a daemon, loads the image and remembers what an empty daemon looks like.
    ///
    /// # Errors
    /// If that fails.
    pub fn new(settings: Settings) -> Result<Self> {
        let (mut options, plugins) = quarantine::options()?;
        options.config += "[handlers.runc]\npath = \"/usr/sbin/runc\"\n";
        let mut node = Node::prepare(options)?;
        let hits = node.dir().join("hits");
        std::fs::create_dir(&hits)?;
        let logs = node.dir().join("podlogs");
        std::fs::create_dir(&logs)?;
        let env = ("GANTRY_FAULT_HITS".to_owned(), hits.display().to_string());
        node.launch(&[env])?;
        let door = Door::new(&node.socket("docker"), false, false);
        wait::until("the first gantryd to serve", SERVES, || {
            door.get("/_ping").is_ok_and(|r| r.status == 200)
        })?;
        node.load_busybox()?;
        // A first container: what is made once and stays is there from now on.
        let docker = node.docker();
        docker.ok(&["run", "--rm", "busybox", "true"])?;
        for kind in ["volume", "network"] {
            docker.ok(&[kind, "create", "first"])?;
            docker.ok(&[kind, "rm", "first"])?;
        }
        let empty = Empty::of(&node);
        let clients = clients(settings.clients, &logs);
        node.stop()?;
        Ok(Self {
            node,
            _plugins: plugins,
            clients,
            shelf: Shelf::new(3)?,
            hits,
            empty,
            boots: 0,
            figures: Figures::default(),
            settings,
        })
    }

    /// All rounds.
    ///
    /// # Errors
    /// With the first contradiction.
    pub fn go(&mut self) -> Result<()> {
        for round in 0..self.settings.rounds {
            let plan = Plan::of(
                self.settings.seed,
                round,
                &self.settings.points,
                self.settings.only_points,
            );
            let begun = Instant::now();
            let steps = self.figures.steps;
            self.round(round, &plan)
                .with_context(|| format!("round {round}: {}", plan.said()))?;
            eprintln!(
                "round {round:4} {:5.1} s {:4} steps  {}",
                begun.elapsed().as_secs_f32(),
                self.figures.steps - steps,
                plan.said()
            );
            let last = round + 1 == self.settings.rounds;
            if last || (round + 1).is_multiple_of(self.settings.clear_every) {
                self.clear()
                    .with_context(|| format!("after round {round}"))?;
            }
        }
        Ok(())
    }

    /// Names of points that some process has passed.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn passed(&self) -> Result<BTreeSet<String>> {
        let mut passed = BTreeSet::new();
        for entry in std::fs::read_dir(&self.hits)? {
            let text = std::fs::read_to_string(entry?.path())?;
            passed.extend(text.lines().map(str::to_owned));
        }
        Ok(passed)
    }

    /// Where the daemon's log lies; the folder is kept by the caller.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.node.dir().join("gantryd.log")
    }

    fn environment(&self, plan: Option<&Plan>) -> Vec<(String, String)> {
        let mut env = vec![(
            "GANTRY_FAULT_HITS".to_owned(),
            self.hits.display().to_string(),
        )];
        if let Some(faults) = plan.and_then(Plan::faults) {
            env.push(("GANTRY_FAULTS".to_owned(), faults));
        }
        if self.boots > 0 {
            let boot = format!("00000000-0000-4000-8000-{:012}", self.boots);
            env.push(("GANTRY_FAULT_BOOT_ID".to_owned(), boot));
        }
        env
    }

    /// Starts the daemon; whether it serves. One whose armed point lies on the way may not.
    fn start(&mut self, plan: Option<&Plan>) -> Result<bool> {
        let env = self.environment(plan);
        self.mark(&format!("start {:?}", plan.map(Plan::said)));
        let begun = Instant::now();
        self.node.launch(&env)?;
        let socket = self.node.socket("docker");
        let door = Door::new(&socket, false, false);
        let mut ended = None;
        let served = wait::until("gantryd to serve", SERVES, || {
            ended = self.node.ended();
            ended.is_some() || door.get("/_ping").is_ok_and(|r| r.status == 200)
        });
        if let Some(status) = ended {
            ensure!(
                plan.is_some_and(Plan::may_end),
                "gantryd ended with {status} before it served"
            );
            self.figures.died += 1;
            return Ok(false);
        }
        served?;
        self.figures.slowest_start = self.figures.slowest_start.max(begun.elapsed());
        Ok(true)
    }

    /// A line in the daemon's log, to find a round by.
    fn mark(&self, text: &str) {
        use std::io::Write;
        let log = std::fs::File::options().append(true).open(self.log());
        let _ = log.and_then(|mut log| writeln!(log, "##### {text}"));
    }

    fn round(&mut self, round: usize, plan: &Plan) -> Result<()> {
        self.mark(&format!("round {round}"));
        if !self.start(Some(plan))? {
            // It has died on its way: the next one has to know everything.
            self.start(None)?;
            self.look(None)?;
            return self.end();
        }
        if self.look(Some(plan))? {
            if matches!(plan.harm, Harm::Supervisors(true)) {
                self.kill_supervisors(round)?;
            }
            self.work(round, plan)?;
        }
        if matches!(plan.harm, Harm::Fail(..)) && self.node.runs() && self.look(Some(plan))? {
            self.nothing_too_much()?;
        }
        match &plan.harm {
            Harm::Term if self.node.runs() => self.node.stop()?,
            _ => self.end()?,
        }
        match plan.harm {
            Harm::Supervisors(false) => self.kill_supervisors(round),
            Harm::Reboot if self.settings.reboots => self.reboot(round),
            _ => Ok(()),
        }
    }

    /// Every client looks, then the lists are compared. Whether the daemon was there until the end.
    fn look(&mut self, plan: Option<&Plan>) -> Result<bool> {
        let world = world(&self.node, plan, &self.shelf);
        let whole = each(&mut self.clients, |_, client| client.settle(&world))?;
        let whole = whole && stopped(lists::compare(&self.node, &self.clients))?;
        if !whole {
            self.must_have_ended(plan)?;
        }
        Ok(whole)
    }

    fn must_have_ended(&mut self, plan: Option<&Plan>) -> Result<()> {
        let node = &mut self.node;
        wait::until("gantryd to have ended", Duration::from_secs(5), || {
            !node.runs() || node.ended().is_some()
        })
        .context("a connection was cut, and gantryd lives")?;
        ensure!(
            plan.is_some_and(Plan::may_end),
            "gantryd has ended without being told to"
        );
        self.figures.died += 1;
        Ok(())
    }

    fn work(&mut self, round: usize, plan: &Plan) -> Result<()> {
        let world = world(&self.node, Some(plan), &self.shelf);
        let stop = AtomicBool::new(false);
        let (seed, node) = (self.settings.seed, &mut self.node);
        let clients = &mut self.clients;
        let mut own = None;
        let outcomes: Vec<Step> = std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .enumerate()
                .map(|(number, client)| {
                    let (world, stop) = (&world, &stop);
                    scope.spawn(move || {
                        let mut random = Random::new(&[seed, round as u64, 100 + number as u64]);
                        client.work(world, &mut random, stop)
                    })
                })
                .collect();
            let end = Instant::now() + plan.work;
            quarantine::release(node);
            let _ = wait::until("the time to be over", plan.work, || {
                own = node.ended();
                own.is_some() || Instant::now() >= end
            });
            // In the middle of what they do, unless the end is to be a clean one.
            let calm = matches!(plan.harm, Harm::Fail(..) | Harm::Term);
            if own.is_none() && !calm {
                let _ = node.kill();
            }
            stop.store(true, Ordering::Relaxed);
            threads
                .into_iter()
                .map(|t| t.join().expect("a client does not panic"))
                .collect()
        });
        let mut cut = false;
        for outcome in outcomes {
            match outcome {
                Ok(()) => {}
                Err(Stop::Cut) => cut = true,
                Err(Stop::Contradiction(text)) => bail!(text),
            }
        }
        self.figures.steps += self
            .clients
            .iter_mut()
            .map(|c| std::mem::take(&mut c.steps))
            .sum::<usize>();
        own = own.or_else(|| self.node.ended());
        if let Some(status) = own {
            ensure!(plan.may_end(), "gantryd ended by itself with {status}");
            self.figures.died += 1;
        } else if cut && self.node.runs() {
            self.must_have_ended(Some(plan))?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.node.runs() && self.node.ended().is_none() {
            self.node.kill()?;
        }
        Ok(())
    }

    /// What a failed step has left is gone while the same gantryd lives, and not only after the next start: there are as
    /// many supervisors and links as sandboxes that run.
    fn nothing_too_much(&self) -> Result<()> {
        let boxes = || self.clients.iter().flat_map(|c| &c.boxes);
        let pods = || self.clients.iter().filter_map(|c| c.pod.as_ref());
        // What may die or go by itself cannot be counted.
        let sure = boxes().all(|b| b.facts.len() == 1 && !b.fragile)
            && pods().all(|p| !p.fragile && p.listed().1.is_empty());
        if !sure {
            return Ok(());
        }
        let live = boxes().filter(|b| b.is(&Fact::Running) || b.is(&Fact::Paused));
        let live = live.count() + pods().filter(|p| p.is_ready()).count();
        let mut seen = (0, 0);
        wait::until("what failed to be gone", Duration::from_secs(15), || {
            let shims = std::fs::read_dir(self.node.run().join("shims"));
            let links = self.node.net.ip(&["-o", "link", "show", "type", "veth"]);
            seen = (
                shims.map_or(0, Iterator::count),
                links.map_or(0, |links| links.lines().count()),
            );
            seen == (live, live)
        })
        .with_context(|| format!("{live} sandboxes run, with (supervisors, links) {seen:?}"))
    }

    /// Kills the supervisors of some containers that are known to run.
    fn kill_supervisors(&mut self, round: usize) -> Result<()> {
        let mut random = Random::new(&[self.settings.seed, round as u64, 3]);
        let boxes = self.clients.iter_mut().flat_map(|c| c.boxes.iter_mut());
        let mut live: Vec<_> = boxes.filter(|b| b.pid().is_some()).collect();
        for _ in 0..=random.below(3) {
            if live.is_empty() {
                break;
            }
            let at = random.below(live.len());
            let one = live.swap_remove(at);
            let pid = one.pid().unwrap_or(0);
            let Some(supervisor) = supervisor_of(pid, self.node.dir()) else {
                continue;
            };
            kill(Pid::from_raw(supervisor), Signal::SIGKILL).context("kill a supervisor")?;
            one.supervisor_died();
        }
        Ok(())
    }

    /// What a machine loses when it goes down: processes, mounts, cgroups, links, rules and, half of the time, `/run`.
    fn reboot(&mut self, round: usize) -> Result<()> {
        self.boots += 1;
        leaks::sweep(&self.node);
        let links = self.node.net.ip(&["-o", "link", "show"])?;
        for link in links.lines().filter_map(|l| l.split(": ").nth(1)) {
            let name = link.split('@').next().unwrap_or(link);
            if name != "lo" {
                let _ = self.node.net.ip(&["link", "del", name]);
            }
        }
        self.node.net.tool("nft", &["flush", "ruleset"])?;
        if Random::new(&[self.settings.seed, round as u64, 4]).chance(50) {
            std::fs::remove_dir_all(self.node.run()).context("empty the run folder")?;
        }
        self.clients.iter_mut().for_each(Client::machine_died);
        Ok(())
    }

    /// Removes everything and looks for what is left.
    fn clear(&mut self) -> Result<()> {
        self.mark("clear");
        ensure!(self.start(None)?, "gantryd does not serve");
        ensure!(self.look(None)?, "gantryd went away");
        clear::remove_all(&self.node).context("remove everything")?;
        clear::check(&self.node, &self.empty)?;
        self.node.stop()?;
        let logs = self.node.dir().join("podlogs");
        let serials: Vec<Client> = clients(self.clients.len(), &logs)
            .into_iter()
            .zip(&self.clients)
            .map(|(new, old)| new.after(old))
            .collect();
        self.clients = serials;
        self.figures.clears += 1;
        Ok(())
    }
}

fn clients(count: usize, logs: &Path) -> Vec<Client> {
    // Every fourth is a kubelet.
    (0..count)
        .map(|number| Client::new(number, number % 4 == 3, logs))
        .collect()
}

fn world<'a>(node: &Node, plan: Option<&Plan>, shelf: &'a Shelf) -> World<'a> {
    let lenient = plan.is_some_and(Plan::is_lenient);
    let fragile = plan.is_some_and(Plan::is_fragile);
    World {
        door: Door::new(&node.socket("docker"), lenient, fragile),
        cri: node.socket("cri"),
        root: node.root(),
        shelf,
    }
}

/// All clients at once. Whether none was cut off.
fn each(clients: &mut [Client], job: impl Fn(usize, &mut Client) -> Step + Sync) -> Result<bool> {
    let outcomes: Vec<Step> = std::thread::scope(|scope| {
        let job = &job;
        let threads: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(number, client)| scope.spawn(move || job(number, client)))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("a client does not panic"))
            .collect()
    });
    let mut whole = true;
    for outcome in outcomes {
        whole &= stopped(outcome)?;
    }
    Ok(whole)
}

fn stopped(step: Step) -> Result<bool> {
    match step {
        Ok(()) => Ok(true),
        Err(Stop::Cut) => Ok(false),
        Err(Stop::Contradiction(text)) => bail!(text),
    }
}

/// The supervisor above a container's process: the nearest ancestor that names the node's folder.
fn supervisor_of(pid: i64, folder: &Path) -> Option<i32> {
    let mut pid = i32::try_from(pid).ok()?;
    for _ in 0..4 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        pid = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        if line.contains("gantry-shim") && line.contains(&folder.display().to_string()) {
            return Some(pid);
        }
    }
    None
}

/// Ids a client must find in the lists.
fn known(clients: &[Client]) -> impl Iterator<Item = &str> {
    let boxes = clients.iter().flat_map(|c| &c.boxes);
    boxes
        .filter(|b| !b.is(&Fact::Absent))
        .filter_map(|b| b.id.as_deref())
}
