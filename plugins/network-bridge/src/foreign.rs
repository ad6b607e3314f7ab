//! Other people's firewalls: where one drops what is forwarded, an accept rule for our bridge goes
//! into its chain, marked as ours, and leaves with the network.
//!
//! Accepting in our own table does not help there: every chain of a hook has its say. Known are the
//! chains of iptables-nft: Docker's own user chain if there, otherwise `FORWARD` with policy drop.
//! Our table goes on deciding what may pass.

use gantry_sdk::{Error, ErrorCode, Result};
use gantry_sys::netlink::Socket;
use gantry_sys::nft::{Expression as E, Family, Table, Transaction, Verdict, chain_policy, rules};

use crate::error::kernel;
use crate::names::{Names, Owner};

const TABLE: Table<'_> = Table {
    family: Family::Ipv4,
    name: "filter",
};
const USER: &str = "DOCKER-USER";
const FORWARD: &str = "FORWARD";

/// May other firewalls' chains be changed: the setting `firewall`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Firewall {
    /// One rule each way where it is needed.
    #[default]
    Auto,
    /// Never; a network that would not work is refused.
    OwnTable,
}

/// The chain that wants rules, if any.
fn chain(socket: &mut Socket) -> Result<Option<&'static str>> {
    if chain_policy(socket, TABLE, USER).map_err(kernel)?.is_some() {
        return Ok(Some(USER));
    }
    let drops = chain_policy(socket, TABLE, FORWARD).map_err(kernel)?;
    Ok((drops == Some(true)).then_some(FORWARD))
}

/// Sees to it that a network's packets are let through; answers whether something was added.
///
/// # Errors
/// `FailedPrecondition` when that is needed and forbidden.
pub(crate) fn admit(
    socket: &mut Socket,
    firewall: Firewall,
    bridge: &str,
    mark: &str,
) -> Result<bool> {
    let Some(chain) = chain(socket)? else {
        return Ok(false);
    };
    if firewall == Firewall::OwnTable {
        if chain_policy(socket, TABLE, FORWARD).map_err(kernel)? != Some(true) {
            return Ok(false);
        }
        let what = format!(
            "the firewall of this host drops what is forwarded (iptables chain {FORWARD}), and \
             firewall = \"own-table\" forbids a rule for bridge {bridge} in it"
        );
        return Err(Error::new(ErrorCode::FailedPrecondition, what));
    }
    let there = rules(socket, TABLE, chain).map_err(kernel)?;
    if there.iter().any(|rule| rule.mark == mark) {
        return Ok(false);
    }
    // With its NUL, as iptables writes a whole name, so that it can list the rule.
    let mut name = bridge.as_bytes().to_vec();
    name.push(0);
    let mut transaction = Transaction::new();
    for side in [E::OUT_NAME, E::IN_NAME] {
        let rule = [
            side,
            E::Equal(&name),
            E::Counter,
            E::Verdict(Verdict::Accept),
        ];
        transaction.insert_rule(TABLE, chain, &rule, mark);
    }
    transaction.commit(socket).map_err(kernel)?;
    Ok(true)
}

/// Removes our rules of networks that `gone` says are no more; answers how many.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn withdraw(
    socket: &mut Socket,
    names: &Names,
    gone: impl Fn(&str) -> bool,
) -> Result<usize> {
    let mut transaction = Transaction::new();
    let mut count = 0;
    for chain in [USER, FORWARD] {
        for rule in rules(socket, TABLE, chain).map_err(kernel)? {
            if matches!(names.read_mark(&rule.mark), Owner::Network(id) if gone(&id)) {
                transaction.delete_rule(TABLE, chain, rule.handle);
                count += 1;
            }
        }
    }
    transaction.commit(socket).map_err(kernel)?;
    Ok(count)
}
