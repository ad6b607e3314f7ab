//! Rules of networks that publish ports: who reaches them, who must not, and what a conflict is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gantry_abi::ErrorCode;
use gantry_abi::schema::network::*;
use gantry_plugin_loader::Descriptor;
use gantry_sys::namespace;

use super::{Lab, namespace as new_namespace, without_namespaces};
use crate::bench::kept;
use crate::{Bench, Case, Verdict, suite};

/// Where the servers of these cases listen inside.
const INSIDE: u16 = 8000;

pub(super) fn cases() -> Vec<Case> {
    suite! {
        "a published port leads inside" => reached,
        "a port that is taken is refused" => taken,
        "what nobody published is not reached, nor what left" => closed,
    }
}

/// A sandbox with a server inside.
struct Sandbox {
    netns: Arc<OwnedFd>,
    joined: JoinAnswer,
}

fn port(host_ip: &str, host_port: u16) -> Port {
    Port {
        proto: "tcp".into(),
        host_ip: host_ip.into(),
        host_port,
        container_port: INSIDE,
    }
}

fn join(lab: &Lab<'_>, endpoint: char, ports: Vec<Port>) -> Result<Sandbox> {
    let netns = new_namespace()?;
    let request = JoinRequest {
        ports,
        ..lab.request(endpoint, true)
    };
    let fds = vec![Descriptor::Lent(Arc::clone(&netns))];
    let joined = lab.bench.done_with(&request, fds)?;
    Ok(Sandbox { netns, joined })
}

impl Sandbox {
    fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| {
                namespace::enter(self.netns.as_fd(), namespace::NET)?;
                work()
            });
            let done = entered.join();
            done.map_err(|_| anyhow!("the thread inside panicked"))?
        })
    }

    /// A server that says `word` to everybody, as long as the process lives.
    fn serve(&self, word: &'static str) -> Result<()> {
        let listener = self.inside(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, INSIDE))?))?;
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.and_then(|mut stream| stream.write_all(word.as_bytes()));
            }
        });
        Ok(())
    }

    fn address(&self) -> Result<Ipv4Addr> {
        let first = self.joined.interfaces.first();
        let address = first.and_then(|i| i.addresses.first());
        let address = address.and_then(|a| a.split('/').next());
        Ok(address.context("an endpoint without an address")?.parse()?)
    }

    fn gateway(&self) -> Result<Ipv4Addr> {
        let first = self.joined.interfaces.first();
        let gateway = first.and_then(|i| i.gateways.first());
        Ok(gateway.context("an endpoint without a gateway")?.parse()?)
    }

    fn host_port(&self) -> Result<u16> {
        let port = self.joined.ports.first().context("no port is published")?;
        ensure!(port.host_port != 0, "host port 0 is answered");
        Ok(port.host_port)
    }
}

fn ask(address: Ipv4Addr, port: u16) -> Result<String> {
    let timeout = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, port)), timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let mut word = String::new();
    stream.read_to_string(&mut word)?;
    Ok(word)
}

/// Why these rules are not for this driver, if they are not.
fn not_for(lab: &Lab<'_>) -> Result<Option<Verdict>> {
    if let Some(verdict) = without_namespaces(lab)? {
        return Ok(Some(verdict));
    }
    let tried = join(lab, 'f', vec![port("127.0.0.1", 0)])?;
    lab.bench
        .done(&lab.leave_request('f', Some(&tried.joined)))?;
    if tried.joined.ports.is_empty() {
        return Ok(Some(Verdict::NotFor("it publishes no ports".into())));
    }
    Ok(None)
}

fn reached(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    if let Some(verdict) = not_for(&lab)? {
        return Ok(verdict);
    }
    let server = join(&lab, 'a', vec![port("", 0)])?;
    let neighbour = join(&lab, 'b', Vec::new())?;
    server.serve("hello")?;
    let (gateway, number) = (server.gateway()?, server.host_port()?);
    let ways: [(&str, Result<String>); 5] = [
        ("the host's 127.0.0.1", ask(Ipv4Addr::LOCALHOST, number)),
        ("the host's address", ask(gateway, number)),
        (
            "a neighbour, published",
            neighbour.inside(|| ask(gateway, number)),
        ),
        ("a neighbour, straight", {
            let address = server.address()?;
            neighbour.inside(|| ask(address, INSIDE))
        }),
        ("itself, published", server.inside(|| ask(gateway, number))),
    ];
    for (way, word) in ways {
        let word = word.with_context(|| format!("by {way}"))?;
        ensure!(word == "hello", "by {way}: {word:?}");
    }
    kept()
}

fn taken(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    if let Some(verdict) = not_for(&lab)? {
        return Ok(verdict);
    }
    let first = join(&lab, 'a', vec![port("", 0)])?;
    first.serve("first")?;
    let number = first.host_port()?;
    for host_ip in ["", "0.0.0.0", "127.0.0.1"] {
        let netns = new_namespace()?;
        let request = JoinRequest {
            ports: vec![port(host_ip, number)],
            ..lab.request('b', true)
        };
        let reply = bench.raw(
            "network",
            "join",
            &gantry_abi::schema::encode(&request)?,
            vec![Descriptor::Lent(netns)],
        )?;
        ensure!(
            reply.code == ErrorCode::AlreadyExists,
            "on {host_ip:?}: {:?}, {:?}: {}",
            reply.outcome,
            reply.code,
            reply.message
        );
        ensure!(
            reply.message.contains(&number.to_string()),
            "{:?} does not name the port",
            reply.message
        );
    }
    ensure!(ask(Ipv4Addr::LOCALHOST, number)? == "first");
    bench.done(&lab.leave_request('a', Some(&first.joined)))?;
    let second = join(&lab, 'b', vec![port("127.0.0.1", number)])?;
    second.serve("second")?;
    ensure!(ask(Ipv4Addr::LOCALHOST, number)? == "second");
    kept()
}

fn closed(bench: &Bench) -> Result<Verdict> {
    let lab = Lab::new(bench)?;
    if let Some(verdict) = not_for(&lab)? {
        return Ok(verdict);
    }
    let server = join(&lab, 'a', vec![port("127.0.0.1", 0)])?;
    let neighbour = join(&lab, 'b', Vec::new())?;
    server.serve("hello")?;
    let (gateway, number) = (server.gateway()?, server.host_port()?);
    ensure!(ask(Ipv4Addr::LOCALHOST, number)? == "hello");
    ensure!(
        ask(gateway, number).is_err(),
        "a port of 127.0.0.1 answers on {gateway}"
    );
    ensure!(
        neighbour.inside(|| ask(gateway, number)).is_err(),
        "a neighbour reaches a port of 127.0.0.1"
    );
    bench.done(&lab.leave_request('a', Some(&server.joined)))?;
    ensure!(
        ask(Ipv4Addr::LOCALHOST, number).is_err(),
        "a port that left answers"
    );
    let address = server.address()?;
    ensure!(
        neighbour.inside(|| ask(address, INSIDE)).is_err(),
        "an endpoint that left answers"
    );
    kept()
}
