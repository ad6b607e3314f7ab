//! `leave`: nothing passes any more when it returns; the link itself goes with its namespace.

use gantry_sdk::Result;
use gantry_sdk::network::LeaveRequest;
use gantry_sys::netlink::{Protocol, Socket, find_link};
use gantry_sys::nft::elements;

use crate::book::Endpoint;
use crate::driver::{Bridge, open};
use crate::error::kernel;
use crate::record::{EndpointRecord, read};
use crate::{link, rules};

impl Bridge {
    /// Disconnects a sandbox; done when it is not connected.
    pub(crate) fn leave_endpoint(&self, r: &LeaveRequest) -> Result<()> {
        let known = match self.book().endpoints.get(&r.endpoint) {
            Some(Endpoint::Made(record)) => Some(record.clone()),
            _ => None,
        };
        let stated = match &r.state {
            Some(state) if known.is_none() && state.schema != 0 => Some(read::<EndpointRecord>(
                &format!("endpoint {}", r.endpoint),
                state,
            )?),
            _ => None,
        };
        let mut host = open(Protocol::Route)?;
        match known.as_ref().or(stated.as_ref()) {
            Some(record) => self.remove_rules(&r.endpoint, record)?,
            None => self.remove_rules_by_mark(&r.endpoint)?,
        }
        let name = self.names.link(&r.endpoint);
        let mark = self.names.endpoint_mark(&r.endpoint);
        if link::own(&mut host, &name, &mark)?.is_some() {
            // Cheap, where deleting it is not: the kernel does that when the namespace is closed.
            link::disconnect(&mut host, &name)?;
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

    /// Takes out what a join whose answer nobody got has published.
    fn remove_rules_by_mark(&self, endpoint: &str) -> Result<()> {
        let mark = self.names.endpoint_mark(endpoint);
        let table = self.names.table();
        let mut firewall = self.firewall()?;
        for set in rules::OF_ENDPOINTS {
            let there = match elements(&mut firewall, &table, set) {
                Err(error) if error.is_missing() => continue,
                other => other.map_err(kernel)?,
            };
            for element in there.iter().filter(|e| e.mark == mark) {
                rules::remove_key(&mut firewall, &table, set, &element.key)?;
            }
        }
        Ok(())
    }
}
