//! `reconcile`: the kernel and the book agree with what the host believes in.

use std::collections::{BTreeMap, BTreeSet};

use gantry_sdk::Result;
use gantry_sdk::network::{KnownEndpoint, ReconcileAnswer, ReconcileRequest};
use gantry_sys::netlink::{Link, Protocol, Socket, find_link, links};

use crate::book::{Book, Endpoint};
use crate::driver::{Bridge, open};
use crate::error::{injected, kernel};
use crate::names::Owner;
use crate::record::{EndpointRecord, NetworkRecord, read};
use crate::{foreign, link, rules};

impl Bridge {
    /// Repairs what is missing, removes what nobody claims.
    pub(crate) fn put_right(&self, r: &ReconcileRequest) -> Result<ReconcileAnswer> {
        let _held = self.setup();
        let mut answer = ReconcileAnswer::default();
        let mut host = open(Protocol::Route)?;
        let mut fresh = Book::default();
        let networks = self.read_networks(r, &mut answer);
        for (id, record) in &networks {
            fresh.add_network(id, record);
            match self.ensure(&mut host, id, record) {
                Ok(repaired) => answer.repaired.extend(repaired),
                Err(error) => self.warn(&format!("put network {id} right: {error}")),
            }
        }
        let marked = self.marked_links(&mut host)?;
        for known in &r.endpoints {
            if !self.take_over(&mut host, known, &marked, &mut fresh, &mut answer) {
                answer.lost.push(known.endpoint.clone());
            }
        }
        gantry_fault::point("network-bridge.reconcile.before-strays").map_err(injected)?;
        self.remove_strays(&mut host, r, &marked, &fresh, &mut answer);
        gantry_fault::point("network-bridge.reconcile.before-rules").map_err(injected)?;
        self.agree_rules(r, &networks, &fresh, &mut answer)?;
        gantry_fault::point("network-bridge.reconcile.after-rules").map_err(injected)?;
        *self.book() = fresh;
        Ok(answer)
    }

    fn read_networks(
        &self,
        r: &ReconcileRequest,
        answer: &mut ReconcileAnswer,
    ) -> BTreeMap<String, NetworkRecord> {
        let mut networks = BTreeMap::new();
        for known in &r.networks {
            let id = &known.create.id;
            // Without a state its making was never finished: the host asks for it again.
            let Some(state) = known.state.as_ref().filter(|s| s.schema != 0) else {
                continue;
            };
            match read::<NetworkRecord>(&format!("network {id}"), state) {
                Ok(record) => {
                    networks.insert(id.clone(), record);
                }
                Err(error) => answer.repaired.push(format!("not repaired: {error}")),
            }
        }
        networks
    }

    /// Links of the host that carry our mark.
    fn marked_links(&self, host: &mut Socket) -> Result<Vec<(Owner, Link)>> {
        let all = links(host).map_err(kernel)?;
        let marked =
            all.into_iter()
                .filter_map(|link| match self.names.read_mark(link.alias.as_deref()?) {
                    Owner::Stranger => None,
                    owner => Some((owner, link)),
                });
        Ok(marked.collect())
    }

    /// Takes an endpoint into the book if its link is still there; false when it is lost.
    fn take_over(
        &self,
        host: &mut Socket,
        known: &KnownEndpoint,
        marked: &[(Owner, Link)],
        fresh: &mut Book,
        answer: &mut ReconcileAnswer,
    ) -> bool {
        let id = &known.endpoint;
        let state = known.state.as_ref().filter(|s| s.schema != 0);
        let record = state.map(|s| read::<EndpointRecord>(&format!("endpoint {id}"), s));
        let record = match record {
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                self.warn(&error.message);
                return false;
            }
            None => return false,
        };
        let owner = Owner::Endpoint(id.clone());
        let link = marked
            .iter()
            .find(|(o, l)| *o == owner && l.name == record.link);
        let Some(network) = fresh.networks.get_mut(&record.network) else {
            return false;
        };
        let Some((_, link)) = link else {
            return false;
        };
        let bridge = find_link(host, &network.record.bridge).ok().flatten();
        let Some(bridge) = bridge else {
            return false;
        };
        if link.master != Some(bridge.index) || !link.up {
            match link::reconnect(host, bridge.index, &record.link) {
                Ok(()) => answer
                    .repaired
                    .push(format!("link {} is on its bridge again", link.name)),
                Err(error) => self.warn(&format!("put link {} right: {error}", link.name)),
            }
        }
        if network.leases.one(record.address, id).is_err() {
            self.warn(&format!(
                "address {} of endpoint {id} is another's",
                record.address
            ));
            return false;
        }
        fresh.ports.restore(id, &record.ports);
        fresh.endpoints.insert(id.clone(), Endpoint::Made(record));
        true
    }

    /// Deletes marked links that nobody claims.
    fn remove_strays(
        &self,
        host: &mut Socket,
        r: &ReconcileRequest,
        marked: &[(Owner, Link)],
        fresh: &Book,
        answer: &mut ReconcileAnswer,
    ) {
        let claimed: BTreeSet<&str> = r.networks.iter().map(|n| n.create.id.as_str()).collect();
        for (owner, link) in marked {
            let keep = match owner {
                Owner::Network(id) => claimed.contains(id.as_str()),
                Owner::Endpoint(id) => fresh.endpoints.contains_key(id),
                Owner::Stranger => true,
            };
            if keep {
                continue;
            }
            match link::remove(host, &link.name) {
                Ok(()) => answer.removed.push(format!("link {}", link.name)),
                Err(error) => self.warn(&format!("remove link {}: {error}", link.name)),
            }
        }
    }

    fn agree_rules(
        &self,
        r: &ReconcileRequest,
        networks: &BTreeMap<String, NetworkRecord>,
        fresh: &Book,
        answer: &mut ReconcileAnswer,
    ) -> Result<()> {
        let mut firewall = self.firewall()?;
        let claimed: BTreeSet<&str> = r.networks.iter().map(|n| n.create.id.as_str()).collect();
        let gone = foreign::withdraw(&mut firewall, &self.names, |id| !claimed.contains(id))?;
        if gone > 0 {
            answer
                .removed
                .push(format!("{gone} rules of other firewalls"));
        }
        if networks.is_empty() {
            return self.drop_tables(&mut firewall);
        }
        rules::ensure(&mut firewall, &self.names)?;
        let mut wanted = Vec::new();
        for (id, record) in networks {
            wanted.extend(rules::of_network(record, &self.names.network_mark(id)));
        }
        for (id, endpoint) in &fresh.endpoints {
            if let Endpoint::Made(record) = endpoint {
                let mark = self.names.endpoint_mark(id);
                wanted.extend(rules::of_ports(record.address, &record.ports, &mark));
            }
        }
        let (added, removed) = rules::agree(&mut firewall, self.names.table(), &wanted)?;
        answer
            .repaired
            .extend(added.iter().map(|mark| format!("rule of {mark}")));
        answer
            .removed
            .extend(removed.iter().map(|mark| format!("rule of {mark}")));
        Ok(())
    }
}
