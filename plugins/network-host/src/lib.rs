//! The network `host`: a sandbox that uses the host's own network namespace.
//!
//! There is nothing to make, to bring up or to take away.

use gantry_sdk::network::{
    CreateAnswer, CreateRequest, DeleteRequest, InspectAnswer, InspectRequest, JoinAnswer,
    JoinRequest, LeaveRequest, ReconcileAnswer, ReconcileRequest,
};
use gantry_sdk::{
    Call, Driver, Empty, Error, ErrorCode, Host, InitRequest, Network, Result, State,
};

/// The driver.
struct HostNetwork;

fn state() -> State {
    State {
        schema: 1,
        ..State::default()
    }
}

impl Driver for HostNetwork {
    fn open(_: Host, _: InitRequest) -> Result<Self> {
        Ok(Self)
    }
}

impl Network for HostNetwork {
    fn create(&self, _: &Call<'_>, r: CreateRequest) -> Result<CreateAnswer> {
        if let Some(option) = r.options.keys().next() {
            let what = format!(
                "network {} is of driver host, which has no option {option}",
                r.name
            );
            return Err(Error::invalid(what));
        }
        if !r.ipam.pools.is_empty() {
            let what = format!(
                "network {} is of driver host, which has no addresses",
                r.name
            );
            return Err(Error::invalid(what));
        }
        Ok(CreateAnswer {
            state: state(),
            ..CreateAnswer::default()
        })
    }

    fn delete(&self, _: &Call<'_>, _: DeleteRequest) -> Result<Empty> {
        Ok(Empty {})
    }

    fn join(&self, _: &Call<'_>, r: JoinRequest) -> Result<JoinAnswer> {
        if r.address.is_some() || r.address6.is_some() || r.mac.is_some() {
            let what = "an endpoint of the network host has no address to ask for";
            return Err(Error::new(ErrorCode::InvalidArgument, what));
        }
        if r.netns.is_some() {
            let what = "the network host has no namespace of its own to join";
            return Err(Error::new(ErrorCode::FailedPrecondition, what));
        }
        // Ports published here are open anyway: ignored, as Docker's users expect.
        Ok(JoinAnswer {
            state: state(),
            ..JoinAnswer::default()
        })
    }

    fn leave(&self, _: &Call<'_>, _: LeaveRequest) -> Result<Empty> {
        Ok(Empty {})
    }

    fn inspect(&self, _: &Call<'_>, _: InspectRequest) -> Result<InspectAnswer> {
        Ok(InspectAnswer::default())
    }

    fn reconcile(&self, _: &Call<'_>, _: ReconcileRequest) -> Result<ReconcileAnswer> {
        Ok(ReconcileAnswer::default())
    }
}

gantry_sdk::export_plugin! {
    kind: network,
    name: "host",
    driver: HostNetwork,
}
