//! What a network driver was told: networks and endpoints as the engine believes in them. A driver keeps its addresses
//! and ports in memory only, so a process that takes another one's place has to be told them before it is asked for
//! anything, and so has a driver whose first `reconcile` failed.
//!
//! ```text
//!   untold ──reconcile by the engine──► told ──done──► settled in process n
//!                                        ▲                    │
//!                                        └─ process n ended ──┘   (told again by the next call)
//! ```
//! *Untold* is a driver that the engine has not spoken to yet; one that was opened while the daemon ran refuses until it
//! has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_abi::schema::State as Kept;
use gantry_abi::schema::network::{
    CreateAnswer, CreateRequest, JoinAnswer, KnownEndpoint, KnownNetwork, ReconcileRequest,
};
use gantry_abi::{ErrorCode, Outcome};
use gantry_plugin_loader::Reply;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// What a driver was told.
#[derive(Default)]
pub(crate) struct Told {
    state: Mutex<State>,
    /// Calls that change something hold it together, from before they are sent until what they changed is noted here;
    /// `reconcile` holds it alone: what it says must be all there is.
    gate: Arc<RwLock<()>>,
}

#[derive(Default)]
struct State {
    /// None until the engine has said what it believes in.
    beliefs: Option<Beliefs>,
    /// The process that has been told.
    settled: Option<u64>,
    /// Nothing may be asked before it was told.
    required: bool,
}

#[derive(Default)]
struct Beliefs {
    networks: BTreeMap<String, KnownNetwork>,
    endpoints: BTreeMap<String, KnownEndpoint>,
}

/// What a call changes of it.
#[derive(Clone)]
pub(crate) enum Change {
    /// `reconcile` in the process of this number.
    Reconcile(u64),
    Create(Box<CreateRequest>),
    Delete(String),
    /// Without a state.
    Join(Box<KnownEndpoint>),
    Leave(String),
}

/// Held by a call until it has returned.
pub(crate) enum Pass {
    Shared(#[allow(dead_code)] OwnedRwLockReadGuard<()>),
    Alone(#[allow(dead_code)] OwnedRwLockWriteGuard<()>),
}

/// What has to be done before a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It knows; the call is for the process of that number, if any.
    Nothing(Option<u64>),
    /// The process of this number has to be told.
    Telling(u64),
    /// The engine has to speak first.
    Engine,
}

impl Change {
    /// Takes something away: no knowledge of others is needed for it.
    pub(crate) fn takes_away(&self) -> bool {
        matches!(self, Self::Delete(_) | Self::Leave(_))
    }
}

impl Told {
    /// Of a driver that is opened while the daemon runs: what is there already has to be told first.
    pub(crate) fn required() -> Self {
        let this = Self::default();
        this.lock().required = true;
        this
    }

    /// The engine says what it believes in.
    pub(crate) fn believe(&self, request: ReconcileRequest) {
        let networks = request.networks.into_iter();
        let endpoints = request.endpoints.into_iter();
        let mut state = self.lock();
        state.beliefs = Some(Beliefs {
            networks: networks.map(|one| (one.create.id.clone(), one)).collect(),
            endpoints: endpoints.map(|one| (one.endpoint.clone(), one)).collect(),
        });
        state.settled = None;
    }

    /// What has to be done before a call that goes to the process of that number.
    pub(crate) fn need(&self, generation: u64) -> Need {
        let state = self.lock();
        match (&state.beliefs, state.settled) {
            (None, _) if state.required => Need::Engine,
            (None, _) => Need::Nothing(None),
            (Some(_), Some(settled)) if settled == generation => Need::Nothing(Some(generation)),
            (Some(_), _) => Need::Telling(generation),
        }
    }

    /// Whether there is nothing to take away, as is known without asking the driver: what was never begun. Whoever
    /// takes back what was refused need not wait for a driver that does not serve.
    pub(crate) fn never_was(&self, change: &Change) -> bool {
        let state = self.lock();
        let Some(beliefs) = &state.beliefs else {
            return false;
        };
        match change {
            Change::Delete(id) => !beliefs.networks.contains_key(id),
            Change::Leave(id) => !beliefs.endpoints.contains_key(id),
            Change::Reconcile(_) | Change::Create(_) | Change::Join(_) => false,
        }
    }

    /// Everything there is.
    pub(crate) fn request(&self) -> ReconcileRequest {
        let state = self.lock();
        let Some(beliefs) = &state.beliefs else {
            return ReconcileRequest::default();
        };
        ReconcileRequest {
            networks: beliefs.networks.values().cloned().collect(),
            endpoints: beliefs.endpoints.values().cloned().collect(),
        }
    }

    /// Ids of everything there is.
    pub(crate) fn ids(&self) -> Vec<String> {
        let state = self.lock();
        let all = state.beliefs.iter();
        all.flat_map(|one| one.networks.keys().chain(one.endpoints.keys()))
            .cloned()
            .collect()
    }

    /// With other calls, but not with `reconcile`.
    pub(crate) async fn shared(&self) -> Pass {
        Pass::Shared(Arc::clone(&self.gate).read_owned().await)
    }

    /// With no other call.
    pub(crate) async fn alone(&self) -> Pass {
        Pass::Alone(Arc::clone(&self.gate).write_owned().await)
    }

    /// A call is about to be made: what it makes may be there from now on.
    pub(crate) fn begins(&self, change: &Change) {
        let mut state = self.lock();
        let Some(beliefs) = &mut state.beliefs else {
            return;
        };
        match change {
            Change::Create(request) => {
                let known = beliefs.networks.entry(request.id.clone());
                known.or_insert_with(|| KnownNetwork {
                    create: (**request).clone(),
                    state: None,
                });
            }
            Change::Join(endpoint) => {
                let known = beliefs.endpoints.entry(endpoint.endpoint.clone());
                known.or_insert_with(|| (**endpoint).clone());
            }
            Change::Reconcile(_) | Change::Delete(_) | Change::Leave(_) => {}
        }
    }

    /// A call has returned.
    pub(crate) fn ends(&self, change: &Change, reply: &Reply) {
        let mut state = self.lock();
        let done = reply.outcome == Outcome::Done;
        if let Change::Reconcile(generation) = change {
            if done {
                state.settled = Some(*generation);
            }
            return;
        }
        let Some(beliefs) = &mut state.beliefs else {
            return;
        };
        match (change, reply.outcome) {
            (Change::Create(request), Outcome::Done) => {
                let answer = serde_json::from_slice::<CreateAnswer>(&reply.json);
                if let Some(known) = beliefs.networks.get_mut(&request.id) {
                    known.state = answer
                        .ok()
                        .map(|answer| answer.state)
                        .or(known.state.take());
                }
            }
            (Change::Join(endpoint), Outcome::Done) => {
                let answer = serde_json::from_slice::<JoinAnswer>(&reply.json);
                if let Some(known) = beliefs.endpoints.get_mut(&endpoint.endpoint) {
                    known.state = answer
                        .ok()
                        .map(|answer| answer.state)
                        .or(known.state.take());
                }
            }
            (Change::Create(request), Outcome::NotDone) => {
                beliefs
                    .networks
                    .retain(|id, known| *id != request.id || made(known.state.as_ref()));
            }
            (Change::Join(endpoint), Outcome::NotDone) => {
                let id = &endpoint.endpoint;
                beliefs
                    .endpoints
                    .retain(|known, one| known != id || made(one.state.as_ref()));
            }
            (Change::Delete(id), _) if gone(reply) => drop(beliefs.networks.remove(id)),
            (Change::Leave(id), _) if gone(reply) => drop(beliefs.endpoints.remove(id)),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Taken away, or was not there.
fn gone(reply: &Reply) -> bool {
    match reply.outcome {
        Outcome::Done => true,
        Outcome::NotDone => reply.code == ErrorCode::NotFound,
        Outcome::Unknown => false,
    }
}

/// Whether an earlier call was done: what this one could not do again is there all the same.
fn made(state: Option<&Kept>) -> bool {
    state.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(outcome: Outcome, json: &str) -> Reply {
        let mut reply = Reply::refused(outcome, ErrorCode::Internal, "");
        reply.json = json.into();
        reply
    }

    fn endpoint(id: &str) -> Change {
        Change::Join(Box::new(KnownEndpoint {
            network: "n".into(),
            endpoint: id.into(),
            ..KnownEndpoint::default()
        }))
    }

    fn states(told: &Told) -> Vec<(String, bool)> {
        let all = told.request().endpoints.into_iter();
        all.map(|one| (one.endpoint, one.state.is_some())).collect()
    }

    #[test]
    fn another_process_has_to_be_told_what_was_done_since() {
        let told = Told::default();
        assert_eq!(told.need(0), Need::Nothing(None));
        told.believe(ReconcileRequest::default());
        assert_eq!(told.need(0), Need::Telling(0));
        let leave = Change::Leave("x".into());
        assert!(told.never_was(&leave), "its join was refused");
        told.ends(&Change::Reconcile(0), &reply(Outcome::NotDone, ""));
        assert_eq!(told.need(0), Need::Telling(0), "it failed");
        told.ends(&Change::Reconcile(0), &reply(Outcome::Done, "{}"));
        assert_eq!(told.need(0), Need::Nothing(Some(0)));
        let state = r#"{"state":{"schema":1,"data":"x"}}"#;
        for (id, outcome) in [
            ("done", Outcome::Done),
            ("not", Outcome::NotDone),
            ("perhaps", Outcome::Unknown),
        ] {
            told.begins(&endpoint(id));
            told.ends(&endpoint(id), &reply(outcome, state));
        }
        let known = [("done".to_owned(), true), ("perhaps".to_owned(), false)];
        assert_eq!(states(&told), known);
        // Joined before and asked for again: it stays, whatever the answer.
        told.begins(&endpoint("done"));
        told.ends(&endpoint("done"), &reply(Outcome::NotDone, ""));
        assert_eq!(states(&told), known);
        let leave = Change::Leave("done".into());
        told.ends(&leave, &reply(Outcome::Unknown, ""));
        assert_eq!(states(&told).len(), 2);
        told.ends(&leave, &reply(Outcome::Done, "{}"));
        assert_eq!(states(&told).len(), 1);
        assert!(told.never_was(&leave));
        assert!(!told.never_was(&Change::Leave("perhaps".into())));
        assert_eq!(told.need(1), Need::Telling(1));
    }

    #[test]
    fn networks_are_kept_as_endpoints_are() {
        let told = Told::default();
        told.believe(ReconcileRequest::default());
        let create = Change::Create(Box::new(CreateRequest {
            id: "n".into(),
            ..CreateRequest::default()
        }));
        told.begins(&create);
        assert!(told.request().networks[0].state.is_none());
        told.ends(
            &create,
            &reply(Outcome::Done, r#"{"state":{"schema":2,"data":null}}"#),
        );
        assert_eq!(told.request().networks[0].state.as_ref().unwrap().schema, 2);
        assert_eq!(told.ids(), ["n"]);
        told.ends(&Change::Delete("n".into()), &reply(Outcome::Done, "{}"));
        assert!(told.ids().is_empty());
    }

    #[test]
    fn one_that_was_opened_late_waits_for_the_engine() {
        let told = Told::required();
        assert_eq!(told.need(0), Need::Engine);
        told.believe(ReconcileRequest::default());
        assert_eq!(told.need(0), Need::Telling(0));
    }
}
