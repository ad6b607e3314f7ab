//! `leave`: nothing passes any more when it returns; the link itself goes with its namespace.

use gantry_sdk::Result;
use gantry_sdk::network::LeaveRequest;
use gantry_sys::netlink::{Protocol, Socket, find_link};

use crate::book::Endpoint;
use crate::driver::{Bridge, open};
use crate::error::{injected, kernel};
use crate::record::{EndpointRecord, read};
use crate::{link, rules};

impl Bridge {
    /// Disconnects a sandbox; done when it is not connected.
    pub(crate) fn leave_endpoint(&self, r: &LeaveRequest) -> Result<()> {
        let known = match self.book().endpoints.get(&r.endpoint) {
            Some(Endpoint::Made(record)) => Some(record.clone()),
            _ => None,
        };
        let mut host = open(Protocol::Route)?;
        let mark = self.names.endpoint_mark(&r.endpoint);
        match &known {
            Some(record) => self.remove_rules(&r.endpoint, record)?,
            // Left before, or joined by a call whose answer nobody got: what carries its mark goes.
            None => {
                rules::remove_marked(&mut *self.firewall()?, self.names.table(), &mark)?;
                self.forget_stated(r);
            }
        }
        let name = known.as_ref().map(|record| record.link.clone());
        let name = name.unwrap_or_else(|| self.names.link(&r.endpoint));
        if link::own(&mut host, &name, &mark)?.is_some() {
            // Cheap, where deleting it is not: the kernel does that when the namespace is closed.
            gantry_fault::point("network-bridge.leave.before-link").map_err(injected)?;
            link::disconnect(&mut host, &name)?;
            gantry_fault::point("network-bridge.leave.after-link").map_err(injected)?;
        }
        let mut book = self.book();
        if let Some(record) = known {
            book.left(&r.endpoint, &record);
        } else {
            book.endpoints.remove(&r.endpoint);
            book.ports.release(&r.endpoint);
        }
        drop(book);
        self.forget_if_gone(&mut host, &name)
    }

    /// The namespace may have been closed before: then the address is free at once.
    fn forget_if_gone(&self, host: &mut Socket, name: &str) -> Result<()> {
        if find_link(host, name).map_err(kernel)?.is_none() {
            self.book().link_gone(name);
        }
        Ok(())
    }

    /// Forgets tracked flows of the UDP ports that the host's record names.
    fn forget_stated(&self, r: &LeaveRequest) {
        let state = r.state.as_ref().filter(|state| state.schema != 0);
        let what = format!("endpoint {}", r.endpoint);
        match state.map(|state| read::<EndpointRecord>(&what, state)) {
            Some(Ok(record)) => self.forget_flows(&record.ports),
            Some(Err(error)) => self.warn(&error.message),
            None => {}
        }
    }
}
