//! The driver: what is open, and the calls of the host, each in a file of its own.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_sdk::network::{
    CreateAnswer, CreateRequest, DeleteRequest, InspectAnswer, InspectRequest, JoinAnswer,
    JoinRequest, LeaveRequest, NetworkRef, ReconcileAnswer, ReconcileRequest,
};
use gantry_sdk::{Call, Driver, Empty, Error, Host, InitRequest, Labels, Level, Network, Result};
use gantry_sys::netlink::{Protocol, Socket, find_link, forget_udp, links};

use crate::book::{Book, Endpoint};
use crate::error::kernel;
use crate::foreign::Firewall;
use crate::link;
use crate::names::{Names, Owner};
use crate::record::{NetworkRecord, Published, Transport, read};

/// How long a link may outlive its endpoint before it is deleted: another process may still be in
/// the namespace that holds its other end.
const GRACE: Duration = Duration::from_secs(10);

/// The driver.
pub(crate) struct Bridge {
    pub(crate) names: Names,
    pub(crate) policy: Firewall,
    host: Host,
    book: Mutex<Book>,
    /// Kept open: closing a netfilter socket waits until the kernel has freed what was deleted
    /// before, 6 to 12 ms for one element.
    firewall_socket: Kept,
    flows_socket: Kept,
    /// Held while networks are made, deleted and put right: the table and other firewalls are
    /// shared by all of them.
    setup: Mutex<()>,
}

/// A netfilter socket opened at its first use and kept.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<Socket>>);

/// The socket, for one user at a time.
pub(crate) struct Held<'a>(MutexGuard<'a, Option<Socket>>);

impl Kept {
    fn hold(&self) -> Result<Held<'_>> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if socket.is_none() {
            *socket = Some(open(Protocol::Netfilter)?);
        }
        Ok(Held(socket))
    }
}

impl Deref for Held<'_> {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        self.0.as_ref().expect("hold() opened it")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Socket {
        self.0.as_mut().expect("hold() opened it")
    }
}

impl Bridge {
    /// The socket for nf_tables.
    pub(crate) fn firewall(&self) -> Result<Held<'_>> {
        self.firewall_socket.hold()
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        // Changes are small and each leaves the book whole; a panic refuses the plugin anyway.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn setup(&self) -> MutexGuard<'_, ()> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn warn(&self, message: &str) {
        self.host.log(Level::Warn, message);
    }

    /// A network as the book or the host's record has it; none when its making was never finished.
    pub(crate) fn network(&self, network: &NetworkRef) -> Result<Option<NetworkRecord>> {
        if let Some(known) = self.book().networks.get(&network.id) {
            return Ok(Some(known.record.clone()));
        }
        if network.state.schema == 0 {
            return Ok(None);
        }
        let what = format!("network {}", network.id);
        read::<NetworkRecord>(&what, &network.state).map(Some)
    }

    /// Looks which links that were left are gone, and deletes those that should be; with `now`
    /// those of a network at once, which takes 20 ms each.
    pub(crate) fn sweep(&self, host: &mut Socket, now: Option<&str>) -> Result<()> {
        let leaving = self.book().leaving_of(now);
        for name in leaving {
            match find_link(host, &name).map_err(kernel)? {
                None => self.book().link_gone(&name),
                Some(there) => {
                    let since = self.book().leaving.get(&name).map(|l| l.since.elapsed());
                    let due = now.is_some() || since.is_some_and(|since| since > GRACE);
                    let mark = there.alias.unwrap_or_default();
                    let ours = matches!(self.names.read_mark(&mark), Owner::Endpoint(_));
                    if due && ours {
                        link::remove(host, &name)?;
                        self.book().link_gone(&name);
                    }
                }
            }
        }
        Ok(())
    }

    /// Forgets tracked flows to published UDP ports. Failing is told, not answered: the ports are
    /// as they were asked for.
    pub(crate) fn forget_flows(&self, ports: &[Published]) {
        let udp = |p: &&Published| p.transport == Transport::Udp;
        let udp: Vec<u16> = ports.iter().filter(udp).map(|p| p.host_port).collect();
        if udp.is_empty() {
            return;
        }
        let flows = self.flows_socket.hold();
        if let Err(error) = flows.and_then(|mut s| forget_udp(&mut s, &udp).map_err(kernel)) {
            self.warn(&format!(
                "forget tracked flows of UDP ports {udp:?}: {error}"
            ));
        }
    }
}

/// A netlink socket in the host's namespace.
pub(crate) fn open(protocol: Protocol) -> Result<Socket> {
    Socket::open(protocol).map_err(kernel)
}

impl Driver for Bridge {
    fn open(host: Host, init: InitRequest) -> Result<Self> {
        let mut policy = Firewall::default();
        for (key, value) in &init.config {
            policy = match (key.as_str(), value.as_str()) {
                ("firewall", Some("auto")) => Firewall::Auto,
                ("firewall", Some("own-table")) => Firewall::OwnTable,
                _ => {
                    let what = format!("bridge has no setting {key} = {value}");
                    return Err(Error::invalid(what));
                }
            };
        }
        Ok(Self {
            names: Names::new(&init.instance),
            policy,
            host,
            book: Mutex::default(),
            firewall_socket: Kept::default(),
            flows_socket: Kept::default(),
            setup: Mutex::default(),
        })
    }
}

impl Network for Bridge {
    fn create(&self, _: &Call<'_>, r: CreateRequest) -> Result<CreateAnswer> {
        self.make_network(&r)
    }

    fn delete(&self, _: &Call<'_>, r: DeleteRequest) -> Result<Empty> {
        self.delete_network(&r.network)?;
        Ok(Empty {})
    }

    fn join(&self, call: &Call<'_>, r: JoinRequest) -> Result<JoinAnswer> {
        self.join_endpoint(call, &r)
    }

    fn leave(&self, _: &Call<'_>, r: LeaveRequest) -> Result<Empty> {
        self.leave_endpoint(&r)?;
        Ok(Empty {})
    }

    fn inspect(&self, _: &Call<'_>, r: InspectRequest) -> Result<InspectAnswer> {
        let id = &r.network.id;
        let record = self.network(&r.network)?;
        let record =
            record.ok_or_else(|| Error::not_found(format!("network {id} does not exist")))?;
        let there = links(&mut open(Protocol::Route)?).map_err(kernel)?;
        let bridge = there.iter().find(|l| l.name == record.bridge);
        let bridge = bridge.ok_or_else(|| {
            Error::not_found(format!(
                "bridge {} of network {id} is missing",
                record.bridge
            ))
        })?;
        let ports = there.iter().filter(|l| l.master == Some(bridge.index));
        let book = self.book();
        let endpoints = ports.filter_map(|l| match self.names.read_mark(l.alias.as_deref()?) {
            // One that left may have its link for a moment longer.
            Owner::Endpoint(id) if book.endpoints.contains_key(&id) => Some(id),
            _ => None,
        });
        Ok(InspectAnswer {
            endpoints: endpoints.collect(),
            info: info(&record),
        })
    }

    fn reconcile(&self, _: &Call<'_>, r: ReconcileRequest) -> Result<ReconcileAnswer> {
        self.put_right(&r)
    }
}

/// What people may want to see of a network.
pub(crate) fn info(record: &NetworkRecord) -> Labels {
    Labels::from([("bridge".to_owned(), record.bridge.clone())])
}

/// An endpoint that is made, from the book.
pub(crate) fn made<'a>(book: &'a Book, id: &str) -> Option<&'a crate::record::EndpointRecord> {
    match book.endpoints.get(id) {
        Some(Endpoint::Made(record)) => Some(record),
        _ => None,
    }
}
