//! Containers write numbered lines while the daemon is killed again and again and their logs rotate, are compressed and
//! are moved away by a kubelet: in the end no line is missing, torn or there twice.
//!
//! `GANTRY_LOG_CONTAINERS=100 GANTRY_LOG_BURSTS=200 GANTRY_LOG_EVERY=3` make a long run of it, with a kill every three
//! seconds. However many they are, all together write as much as four would, so that a daemon gets its turn.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_integration::cri::Cri;
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, wait};

cases![numbered_lines_survive_everything];

/// Lines of a burst.
const BURST: usize = 100;
/// Zeros in a long line: more than one piece of an entry.
const LONG: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);

fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("read {variable}")),
        Err(_) => Ok(default),
    }
}

/// Numbers on standard output, and after each burst a long numbered line on the other.
fn script(bursts: usize, containers: usize) -> String {
    let pause = 50 * containers.div_ceil(4);
    let (seconds, thousandths) = (pause / 1000, pause % 1000);
    format!(
        "b=0; while [ $b -lt {bursts} ]; do seq $((b*{BURST})) $((b*{BURST}+{BURST}-1)); \
         printf '%d:%0{LONG}d:%d\\n' $b 0 $b >&2; b=$((b+1)); \
         sleep {seconds}.{thousandths:03}; done"
    )
}

/// Lines numbered from 0 without a hole, each as it was written; answers how many. What follows the last newline is not
/// a line yet.
fn numbered(log: &str, long: bool) -> Result<usize> {
    let end = log.rfind('\n').map_or(0, |place| place + 1);
    let zeros = "0".repeat(LONG);
    for (at, line) in log[..end].lines().enumerate() {
        let expected = if long {
            format!("{at}:{zeros}:{at}")
        } else {
            at.to_string()
        };
        ensure!(
            line == expected,
            "line {at} is of {} bytes: {:.40} … {}",
            line.len(),
            line,
            &line[line.len().saturating_sub(10)..]
        );
    }
    Ok(log[..end].lines().count())
}

/// How a container's log is written.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Rotated,
    Compressed,
    Local,
    Cri,
}

const KINDS: [Kind; 4] = [Kind::Rotated, Kind::Compressed, Kind::Local, Kind::Cri];

impl Kind {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Rotated => &["--log-opt", "max-size=50k", "--log-opt", "max-file=10000"],
            Self::Compressed => &[
                "--log-opt",
                "max-size=50k",
                "--log-opt",
                "max-file=10000",
                "--log-opt",
                "compress=true",
            ],
            Self::Local => &[
                "--log-driver",
                "local",
                "--log-opt",
                "max-size=50k",
                "--log-opt",
                "max-file=10000",
            ],
            Self::Cri => &[],
        }
    }
}

struct Writer {
    kind: Kind,
    name: String,
    id: String,
    /// Of a pod's container: how often its log was moved away.
    moved: usize,
}

struct World {
    node: Node,
    logs: PathBuf,
    writers: Vec<Writer>,
}

impl World {
    fn new(count: usize, bursts: usize) -> Result<Self> {
        let node = Node::start()?;
        node.load_busybox()?;
        let logs = node.dir().join("logs");
        std::fs::create_dir_all(&logs)?;
        let mut world = Self {
            node,
            logs,
            writers: Vec::new(),
        };
        let api = world.node.cri()?;
        let pod = cri::pod("p", &world.logs.display().to_string());
        let pod_id = api.run_pod(pod.clone())?;
        let script = script(bursts, count);
        for (at, kind) in KINDS.iter().cycle().take(count).enumerate() {
            let name = format!("w{at}");
            let id = if let Kind::Cri = kind {
                let container = cri::container(&name, BUSYBOX, &["sh", "-c", &script]);
                let id = api.create(&pod_id, container, pod.clone())?;
                api.start(&id)?;
                id
            } else {
                let mut args = vec!["run", "-d", "--net", "none", "--name", &name];
                args.extend(kind.options());
                args.extend(["busybox", "sh", "-c", &script]);
                world.node.docker().ok(&args)?
            };
            world.writers.push(Writer {
                kind: *kind,
                name,
                id,
                moved: 0,
            });
        }
        Ok(world)
    }

    /// The file that is written to now.
    fn file(&self, writer: &Writer) -> PathBuf {
        let folder = self.node.root().join("containers").join(&writer.id);
        match writer.kind {
            Kind::Cri => self.logs.join(format!("{}.log", writer.name)),
            Kind::Local => folder.join("local-logs/container.log"),
            Kind::Rotated | Kind::Compressed => folder.join(format!("{}-json.log", writer.id)),
        }
    }

    /// What a kubelet does with a log that has grown.
    fn move_away(&mut self, api: &Cri, at: usize) -> Result<()> {
        let file = self.file(&self.writers[at]);
        let writer = &mut self.writers[at];
        std::fs::rename(&file, moved(&file, writer.moved))?;
        writer.moved += 1;
        let request = v1::ReopenContainerLogRequest {
            container_id: writer.id.clone(),
        };
        match api.wait(api.runtime().reopen_container_log(request)) {
            Ok(_) => ensure!(file.is_file(), "reopen makes the file before it answers"),
            // It has ended meanwhile.
            Err(_) => drop(
                std::fs::File::options()
                    .create(true)
                    .append(true)
                    .open(&file)?,
            ),
        }
        Ok(())
    }

    /// Both streams of a pod's container, from all its files.
    fn read_cri(&self, writer: &Writer) -> Result<[String; 2]> {
        let file = self.file(writer);
        let mut text = String::new();
        for number in 0..writer.moved {
            text += &std::fs::read_to_string(moved(&file, number))?;
        }
        text += &std::fs::read_to_string(&file)?;
        let mut streams = [String::new(), String::new()];
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let [time, stream, tag, text] = words[..] else {
                anyhow::bail!("a torn line: {line:.80}");
            };
            ensure!(time.len() == 30 && time.ends_with('Z'), "{line:.80}");
            let stream = &mut streams[usize::from(stream == "stderr")];
            stream.push_str(text);
            if tag == "F" {
                stream.push('\n');
            }
        }
        Ok(streams)
    }

    fn read(&self, writer: &Writer) -> Result<[String; 2]> {
        if let Kind::Cri = writer.kind {
            return self.read_cri(writer);
        }
        let ran = self.node.docker().run(&["logs", &writer.name])?;
        ensure!(ran.code == 0, "{:.300}", ran.err);
        Ok([ran.out, ran.err])
    }

    fn check(&self, at: usize) -> Result<[usize; 2]> {
        let writer = &self.writers[at];
        let [out, err] = self.read(writer)?;
        let count = |log: &str, long| {
            numbered(log, long)
                .with_context(|| format!("{} {:?} long {long}", writer.name, writer.kind))
        };
        Ok([count(&out, false)?, count(&err, true)?])
    }

    /// One life of the daemon, until the next kill is due: it is killed, comes back, kubelets move logs away, and
    /// logs are read as long as there is time, from `at` on.
    fn round(&mut self, mut at: usize, every: Duration) -> Result<()> {
        let began = Instant::now();
        let count = self.writers.len();
        let file = self.file(&self.writers[at % count]);
        self.node.kill()?;
        let before = len(&file);
        // It may have ended; otherwise its log goes on (and may be begun anew) without a daemon.
        let _ = wait::until("the log to go on", Duration::from_millis(700), || {
            len(&file) != before
        });
        self.node.restart()?;
        self.check(at % count)?;
        let api = self.node.cri()?;
        for next in at..at + count {
            if let Kind::Cri = self.writers[next % count].kind {
                self.move_away(&api, next % count)?;
                if began.elapsed() > every && !every.is_zero() {
                    break;
                }
            }
        }
        while began.elapsed() < every {
            at += 1;
            self.check(at % count)?;
        }
        Ok(())
    }

    fn all_ended(&self, api: &Cri) -> Result<bool> {
        if !self.node.docker().ok(&["ps", "-q"])?.is_empty() {
            return Ok(false);
        }
        for writer in self.writers.iter().filter(|w| matches!(w.kind, Kind::Cri)) {
            if api.status(&writer.id)?.state() != v1::ContainerState::ContainerExited {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn moved(file: &Path, number: usize) -> PathBuf {
    file.with_extension(format!("moved-{number}"))
}

fn len(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |m| m.len())
}

fn numbered_lines_survive_everything() -> Result<()> {
    let count = number("GANTRY_LOG_CONTAINERS", 4)?;
    let bursts = number("GANTRY_LOG_BURSTS", 60)?;
    let every = Duration::from_secs(number("GANTRY_LOG_EVERY", 0)? as u64);
    let began = Instant::now();
    let mut w = World::new(count, bursts)?;
    let mut kills = 0;
    let mut slowest = Duration::ZERO;
    let first = Instant::now();
    loop {
        let round = Instant::now();
        // Not the same kind each time.
        w.round(kills * 5, every)?;
        kills += 1;
        slowest = slowest.max(round.elapsed());
        let api = w.node.cri()?;
        if w.all_ended(&api)? {
            break;
        }
    }
    let killing = first.elapsed();
    for at in 0..count {
        let lines = wait::some("all lines", PATIENCE, || {
            let lines = w.check(at);
            match &lines {
                Ok([out, err]) if (*out, *err) != (bursts * BURST, bursts) => None,
                _ => Some(lines),
            }
        });
        lines.with_context(|| format!("{} of {}", w.writers[at].name, bursts * BURST))??;
    }
    let rotations = rotations(&w)?;
    eprintln!(
        "logs_whole: {count} containers, {} lines and {bursts} long ones each, {kills} kills in {killing:?} \
         with {slowest:?} at most between two, {} files put aside, {} of \
         them compressed, {} moved away, {:?}",
        bursts * BURST,
        rotations[0],
        rotations[1],
        w.writers.iter().map(|w| w.moved).sum::<usize>(),
        began.elapsed()
    );
    ensure!(
        rotations[0] > count / 4 * 10 && rotations[1] > 0,
        "{rotations:?}"
    );
    w.node.finish()
}

/// Files put aside, and how many of them are compressed.
fn rotations(w: &World) -> Result<[usize; 2]> {
    let mut found = [0, 0];
    for writer in w.writers.iter().filter(|w| !matches!(w.kind, Kind::Cri)) {
        let file = w.file(writer);
        for entry in std::fs::read_dir(file.parent().context("a folder")?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            found[0] += usize::from(name.contains(".log."));
            found[1] += usize::from(name.ends_with(".gz"));
        }
    }
    Ok(found)
}
