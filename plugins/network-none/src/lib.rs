//! The network `none`: a namespace with nothing but its loopback, which is brought up.
//!
//! It makes nothing on the host and keeps nothing.

use std::os::fd::BorrowedFd;

use gantry_sdk::network::{
    CreateAnswer, CreateRequest, DeleteRequest, InspectAnswer, InspectRequest, JoinAnswer,
    JoinRequest, LeaveRequest, ReconcileAnswer, ReconcileRequest,
};
use gantry_sdk::{
    Call, Driver, Empty, Error, ErrorCode, Host, InitRequest, Network, Result, State,
};
use gantry_sys::netlink::{Batch, Protocol, Socket, set_up};

/// The driver.
struct NoNetwork;

fn state() -> State {
    State {
        schema: 1,
        ..State::default()
    }
}

fn bring_loopback_up(call: &Call<'_>, netns: BorrowedFd<'_>) -> Result<()> {
    let (domain, kind) = (nix::libc::AF_NETLINK, nix::libc::SOCK_RAW);
    let fd = call
        .netns_socket(netns, domain, kind, Protocol::Route.number())
        .map_err(|e| Error::io("open a netlink socket in the sandbox", &e))?;
    let mut batch = Batch::new();
    set_up(&mut batch, "lo");
    Socket::from_fd(fd)
        .execute(batch)
        .map_err(|e| Error::internal(e.to_string()))
}

impl Driver for NoNetwork {
    fn open(_: Host, _: InitRequest) -> Result<Self> {
        Ok(Self)
    }
}

impl Network for NoNetwork {
    fn create(&self, _: &Call<'_>, r: CreateRequest) -> Result<CreateAnswer> {
        if let Some(option) = r.options.keys().next() {
            let what = format!(
                "network {} is of driver none, which has no option {option}",
                r.name
            );
            return Err(Error::invalid(what));
        }
        if !r.ipam.pools.is_empty() {
            let what = format!(
                "network {} is of driver none, which has no addresses",
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

    fn join(&self, call: &Call<'_>, r: JoinRequest) -> Result<JoinAnswer> {
        if r.address.is_some() || r.address6.is_some() || r.mac.is_some() {
            let what = "an endpoint of the network none has no address to ask for";
            return Err(Error::new(ErrorCode::InvalidArgument, what));
        }
        // Ports that somebody publishes on no network are ignored, as Docker's users expect.
        if let Some(netns) = r.netns {
            bring_loopback_up(call, call.fd(netns)?)?;
        }
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
    name: "none",
    driver: NoNetwork,
}
