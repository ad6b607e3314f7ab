//! A pod and its containers through CRI, as a kubelet would drive them: after a cut it asks again, and joins.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gantry_cri_api::v1;
use tonic::{Code, Status};

use super::facts::{Fact, Seen, Step, Stop, contradiction};
use super::random::Random;
use crate::cri::{self, Cri};

mod actions;
mod look;

/// What an injected failure says of itself.
const INJECTED: &str = "a fault was injected at";

/// How long what was promised may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The CRI door for one round.
#[derive(Debug)]
pub struct Kubelet {
    api: Cri,
    socket: PathBuf,
    lenient: bool,
    fragile: bool,
}

impl Kubelet {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(socket: &Path, lenient: bool, fragile: bool) -> Step<Self> {
        Ok(Self {
            api: Cri::connect(socket).map_err(|_| Stop::Cut)?,
            socket: socket.to_path_buf(),
            lenient,
            fragile,
        })
    }

    /// A status of the server, or the end of the connection.
    fn status<T>(&self, answer: Result<T, Status>) -> Step<Result<T, Status>> {
        let Err(status) = answer else {
            return Ok(answer);
        };
        let vague = matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
        );
        let gone = || {
            let again = Cri::connect(&self.socket);
            let version = v1::VersionRequest::default;
            again
                .and_then(|api| Ok(api.wait(api.runtime().version(version()))?))
                .is_err()
        };
        if vague && gone() {
            return Err(Stop::Cut);
        }
        Ok(Err(status))
    }

    /// A refusal that was injected, or a contradiction.
    fn explained(&self, what: &str, status: &Status) -> Step {
        let injected = !matches!(
            status.code(),
            Code::NotFound | Code::InvalidArgument | Code::AlreadyExists
        );
        // A supervisor of an earlier round may still carry its point.
        if (self.lenient && injected) || status.message().contains(INJECTED) {
            return Ok(());
        }
        contradiction(format!("{what}: {:?} {}", status.code(), status.message()))
    }
}

/// One container of the pod.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    id: Option<String>,
    facts: Vec<Fact>,
    eventual: bool,
    /// A removal was asked for and cut off: while it is completed, CRI shows it as exited.
    leaving: bool,
    stays: bool,
    started: Option<i64>,
}

/// One pod, made anew under the next name when it is gone.
#[derive(Clone, Debug)]
pub struct Pod {
    client: String,
    logs: PathBuf,
    image: String,
    /// Number of the pod, part of its name.
    pub serial: usize,
    id: Option<String>,
    facts: Vec<Fact>,
    leaving: bool,
    members: Vec<Member>,
    /// Its supervisor carries an armed point.
    pub fragile: bool,
}

impl Pod {
    /// None yet.
    #[must_use]
    pub fn new(client: &str, logs: &Path, image: &str) -> Self {
        Self {
            client: client.to_owned(),
            logs: logs.join(client),
            image: image.to_owned(),
            serial: 0,
            id: None,
            facts: vec![Fact::Absent],
            leaving: false,
            members: Vec::new(),
            fragile: false,
        }
    }

    /// Whether there is one for sure, and it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.facts == [Fact::Running]
    }

    /// Ids of the pod and of its containers that must be listed, and of those that may go meanwhile.
    #[must_use]
    pub fn listed(&self) -> (Vec<&str>, Vec<&str>) {
        let pod = (self.id.as_deref(), &self.facts, self.leaving);
        let members = self
            .members
            .iter()
            .map(|m| (m.id.as_deref(), &m.facts, m.leaving || self.leaving));
        let (mut must, mut may) = (Vec::new(), Vec::new());
        for (id, facts, leaving) in std::iter::once(pod).chain(members) {
            match id {
                Some(id) if leaving => may.push(id),
                Some(id) if *facts != [Fact::Absent] => must.push(id),
                _ => {}
            }
        }
        (must, may)
    }

    /// The machine went down with everything that ran.
    pub fn machine_died(&mut self) {
        let ran = |fact: &Fact| matches!(fact, Fact::Running);
        if self.facts.iter().any(ran) {
            self.facts.retain(|f| !ran(f));
            self.facts.push(Fact::Exited(Vec::new()));
        }
        for member in &mut self.members {
            if member.facts.iter().any(ran) || member.eventual {
                member.facts.retain(|f| !ran(f));
                member.facts.push(Fact::Exited(Vec::new()));
                member.eventual = true;
            }
        }
    }

    fn config(&self) -> v1::PodSandboxConfig {
        let name = format!("{}-{}", self.client, self.serial);
        cri::pod(&name, &self.logs.display().to_string())
    }
}
