//! Rules of networks. Needs root: every endpoint gets a network namespace of its own, and what the driver says it made
//! is looked for inside.

mod ports;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use gantry_abi::ErrorCode;
use gantry_abi::schema::Labels;
use gantry_abi::schema::network::*;
use gantry_plugin_loader::Descriptor;
use gantry_sys::namespace;

use crate::bench::kept;
use crate::{Bench, Case, Verdict, suite};

pub(crate) fn cases() -> Vec<Case> {
    let own: Vec<Case> = suite! {
        "create is idempotent" => create_twice,
        "an option it does not know is refused" => unknown_option,
        "join makes what it says, and is idempotent" => join_twice,
        "two endpoints have different addresses" => two_endpoints,
        "leave is idempotent, also without the namespace" => leave,
        "delete is idempotent" => delete,
        "reconcile keeps what is known and removes what is not" => reconcile,
    };
    own.into_iter().chain(ports::cases()).collect()
}

/// A network of the case's own; deleted, with everything on it, when the case ends.
struct Lab<'a> {
    bench: &'a Bench,
    create: CreateRequest,
    network: NetworkRef,
}

impl<'a> Lab<'a> {
    fn new(bench: &'a Bench) -> Result<Self> {
        let create = CreateRequest {
            id: "1".repeat(64),
            name: "conformance".into(),
            ..CreateRequest::default()
        };
        let state = bench.done(&create)?.state;
        let network = NetworkRef {
            id: create.id.clone(),
            name: create.name.clone(),
            state,
        };
        Ok(Self {
            bench,
            create,
            network,
        })
    }

    fn request(&self, endpoint: char, netns: bool) -> JoinRequest {
        JoinRequest {
            network: self.network.clone(),
            endpoint: endpoint.to_string().repeat(64),
            sandbox: endpoint.to_string().repeat(64),
            netns: netns.then_some(0),
            default_route: true,
            ..JoinRequest::default()
        }
    }

    fn join(&self, endpoint: char, netns: &Arc<OwnedFd>) -> Result<JoinAnswer> {
        let request = self.request(endpoint, true);
        self.bench
            .done_with(&request, vec![Descriptor::Lent(Arc::clone(netns))])
    }

    fn leave_request(&self, endpoint: char, joined: Option<&JoinAnswer>) -> LeaveRequest {
        LeaveRequest {
            network: self.network.clone(),
            endpoint: endpoint.to_string().repeat(64),
            sandbox: endpoint.to_string().repeat(64),
            state: joined.map(|joined| joined.state.clone()),
            netns: None,
        }
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        // A case that failed half-way leaves nothing on the machine: nobody knows these networks any more.
        let _ = self.bench.done(&ReconcileRequest::default());
        let _ = self.bench.done(&DeleteRequest {
            network: self.network.clone(),
        });
    }
}

/// A new network namespace, made by a thread that ends.
fn namespace() -> Result<Arc<OwnedFd>> {
    let made = std::thread::spawn(|| namespace::make(namespace::NET)).join();
    let made = made.map_err(|_| anyhow!("the thread that makes a namespace panicked"))?;
    made.map(Arc::new)
        .context("make a network namespace (this suite needs root)")
}

/// Names of the links inside, `lo` left out.
fn links(netns: &OwnedFd) -> Result<Vec<String>> {
    std::thread::scope(|scope| {
        let inside = || -> Result<Vec<String>> {
            namespace::enter(netns.as_fd(), namespace::NET)?;
            let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
            let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
            let mut names: Vec<String> = names.map(|(name, _)| name.trim().to_owned()).collect();
            names.retain(|name| name != "lo");
            names.sort();
            Ok(names)
        };
        scope
            .spawn(inside)
            .join()
            .map_err(|_| anyhow!("the thread that looks inside panicked"))?
    })
}

/// Whether this driver connects namespaces at all: one that uses the host's refuses to be given one.
fn without_namespaces(lab: &Lab<'_>) -> Result<Option<Verdict>> {
    let fds = vec![Descriptor::Lent(namespace()?)];
    let joined = lab.bench.done_with(&lab.request('f', true), fds);
    let Err(refused) = joined else {
        lab.bench.done(&lab.leave_request('f', None))?;
        return Ok(None);
    };
    lab.bench
        .done(&lab.request('f', false))
        .with_context(|| format!("neither with a namespace ({refused}) nor without"))?;
    lab.bench.done(&lab.leave_request('f', None))?;
    Ok(Some(Verdict::NotFor(
        "it joins the host's namespace only".into(),
    )))
}

fn create_twice(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    let (first, second) = (bench.done(&lab.create)?, bench.done(&lab.create)?);
    ensure!(
        first.state == second.state,
        "{:?}, then {:?}",
        first.state,
        second.state
    );
    ensure!(
        first.ipam == second.ipam,
        "{:?}, then {:?}",
        first.ipam,
        second.ipam
    );
    kept()
}

fn unknown_option(bench: &Bench) -> Result<Verdict> {
    let request = CreateRequest {
        id: "2".repeat(64),
        name: "options".into(),
        options: Labels::from([("made-up-by-the-suite".into(), "1".into())]),
        ..CreateRequest::default()
    };
    bench.refused(&request, &[ErrorCode::InvalidArgument])?;
    kept()
}

fn join_twice(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    if let Some(verdict) = without_namespaces(&lab)? {
        return Ok(verdict);
    }
    let netns = namespace()?;
    let first = lab.join('a', &netns)?;
    let mut said: Vec<String> = first
        .interfaces
        .iter()
        .map(|interface| interface.name.clone())
        .collect();
    said.retain(|name| name != "lo");
    said.sort();
    ensure!(
        said == links(&netns)?,
        "it says {said:?}, inside are {:?}",
        links(&netns)?
    );
    let second = lab.join('a', &netns)?;
    ensure!(
        first.interfaces == second.interfaces,
        "{:?}, then {:?}",
        first.interfaces,
        second.interfaces
    );
    bench.done(&lab.leave_request('a', Some(&first)))?;
    kept()
}

fn two_endpoints(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    if let Some(verdict) = without_namespaces(&lab)? {
        return Ok(verdict);
    }
    let (one, two) = (namespace()?, namespace()?);
    let (a, b) = (lab.join('a', &one)?, lab.join('b', &two)?);
    if a.interfaces
        .iter()
        .all(|interface| interface.addresses.is_empty())
    {
        return Ok(Verdict::NotFor("it gives no addresses".into()));
    }
    for interface in &a.interfaces {
        let shared = b.interfaces.iter().any(|other| {
            other.mac == interface.mac
                || other
                    .addresses
                    .iter()
                    .any(|address| interface.addresses.contains(address))
        });
        ensure!(!shared, "{:?} and {:?}", a.interfaces, b.interfaces);
    }
    bench.done(&lab.leave_request('a', Some(&a)))?;
    bench.done(&lab.leave_request('b', Some(&b)))?;
    kept()
}

fn leave(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    if let Some(verdict) = without_namespaces(&lab)? {
        return Ok(verdict);
    }
    let netns = namespace()?;
    let joined = lab.join('a', &netns)?;
    // Nobody holds it from here on: the kernel takes it apart at its own pace.
    drop(netns);
    bench.done(&lab.leave_request('a', Some(&joined)))?;
    bench
        .done(&lab.leave_request('a', Some(&joined)))
        .context("left again")?;
    bench
        .done(&lab.leave_request('b', None))
        .context("an endpoint that never joined")?;
    kept()
}

fn delete(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    let request = DeleteRequest {
        network: lab.network.clone(),
    };
    bench.done(&request)?;
    bench.done(&request).context("deleted again")?;
    kept()
}

fn reconcile(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    if let Some(verdict) = without_namespaces(&lab)? {
        return Ok(verdict);
    }
    let before = host_links()?;
    let netns = namespace()?;
    let joined = lab.join('a', &netns)?;
    bench.reopen()?;
    let known = ReconcileRequest {
        networks: vec![KnownNetwork {
            create: lab.create.clone(),
            state: Some(lab.network.state.clone()),
        }],
        endpoints: vec![KnownEndpoint {
            network: lab.network.id.clone(),
            endpoint: "a".repeat(64),
            sandbox: "a".repeat(64),
            state: Some(joined.state.clone()),
        }],
    };
    let inside = links(&netns)?;
    let answer = bench.done(&known)?;
    ensure!(
        answer.lost.is_empty(),
        "{:?} are lost, and live",
        answer.lost
    );
    ensure!(
        links(&netns)? == inside,
        "before {inside:?}, after {:?}",
        links(&netns)?
    );
    // The host forgot the endpoint: what is left of it goes.
    let forgotten = ReconcileRequest {
        endpoints: Vec::new(),
        ..known
    };
    bench.done(&forgotten)?;
    ensure!(
        links(&netns)?.is_empty(),
        "{:?} are left of an endpoint nobody knows",
        links(&netns)?
    );
    // A link may lag behind its address, but not for long.
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let mut new = host_links()?;
        new.retain(|link| !before.contains(link));
        if new.is_empty() {
            return kept();
        }
        ensure!(Instant::now() < until, "{new:?} are left on the host");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Links of this machine that begin like ours; others may come and go.
fn host_links() -> Result<Vec<String>> {
    let text = std::fs::read_to_string("/proc/self/net/dev")?;
    let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    let mut names: Vec<String> = names.map(|(name, _)| name.trim().to_owned()).collect();
    names.retain(|name| name.starts_with("conf"));
    Ok(names)
}
