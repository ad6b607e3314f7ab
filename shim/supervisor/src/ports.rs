//! Published ports held by a socket of ours, so that a conflict is seen at start and stays impossible. Packets never
//! reach these sockets: the kernel turns them away to the container before.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use gantry_supervisor_proto::types::Port;
use gantry_supervisor_proto::{ErrorKind, WireError};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket,
    sockopt,
};

/// Holds all of them or none.
///
/// # Errors
/// `Conflict` naming the address and port that is taken.
pub(crate) fn hold(ports: &[Port]) -> Result<Vec<OwnedFd>, WireError> {
    ports.iter().map(hold_one).collect()
}

fn hold_one(port: &Port) -> Result<OwnedFd, WireError> {
    let address = if port.address.is_empty() {
        "0.0.0.0"
    } else {
        &port.address
    };
    let name = format!("{address}:{}/{}", port.port, port.protocol);
    let ip: Ipv4Addr = address.parse().map_err(|_| {
        WireError::new(
            ErrorKind::Unimplemented,
            format!("hold port {name}: not an IPv4 address"),
        )
    })?;
    let kind = match port.protocol.as_str() {
        "tcp" => SockType::Stream,
        "udp" => SockType::Datagram,
        other => {
            return Err(WireError::new(
                ErrorKind::Unimplemented,
                format!("hold port {name}: protocol {other} is not supported"),
            ));
        }
    };
    if port.port == 0 {
        return Err(WireError::invalid(format!(
            "hold port {name}: the number must be known"
        )));
    }
    take(kind, ip, port.port).map_err(|e| match e {
        Errno::EADDRINUSE => WireError::conflict(format!(
            "failed to bind host port {name}: address already in use"
        )),
        Errno::EADDRNOTAVAIL => WireError::new(
            ErrorKind::FailedPrecondition,
            format!("hold port {name}: no such address on this host"),
        ),
        e => WireError::internal(format!("hold port {name}: {}", e.desc())),
    })
}

fn take(kind: SockType, ip: Ipv4Addr, port: u16) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, kind, flags, None)?;
    if kind == SockType::Stream {
        // Without it a port cannot be taken again while old connections are in TIME_WAIT. A listening socket of
        // somebody else's is a conflict all the same.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    let [a, b, c, d] = ip.octets();
    bind(fd.as_raw_fd(), &SockaddrIn::new(a, b, c, d, port))?;
    if kind == SockType::Stream {
        // Not listening would let another server with SO_REUSEADDR take the port.
        listen(&fd, Backlog::new(16).expect("16 is a backlog"))?;
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests fork: for a moment their children have what was open here, too.
    fn in_time<T, E: std::fmt::Debug>(mut what: impl FnMut() -> Result<T, E>) -> T {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            match what() {
                Ok(done) => return done,
                Err(error) => assert!(std::time::Instant::now() < end, "{error:?}"),
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_port_held_is_held_and_all_or_none() {
        // A loopback address of this process's own: nobody else's port is in the way.
        let own = std::process::id().to_le_bytes();
        let address = format!("127.{}.{}.{}", own[2] | 128, own[1], own[0].max(1));
        let number = 20_999;
        let taken = std::net::TcpListener::bind((address.as_str(), number)).unwrap();
        let port = |protocol: &str, port| Port {
            protocol: protocol.into(),
            address: address.clone(),
            port,
        };
        let error = hold(&[port("udp", number), port("tcp", number)]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(
            error.message.contains(&format!("{address}:{number}/tcp")),
            "{error}"
        );
        drop(taken);
        let held = in_time(|| hold(&[port("udp", number), port("tcp", number)]));
        assert!(std::net::TcpListener::bind((address.as_str(), number)).is_err());
        assert!(std::net::UdpSocket::bind((address.as_str(), number)).is_err());
        drop(held);
        in_time(|| std::net::UdpSocket::bind((address.as_str(), number)));
        assert_eq!(
            hold(&[port("tcp", 0)]).unwrap_err().kind,
            ErrorKind::InvalidArgument
        );
        assert_eq!(
            hold(&[port("sctp", 1)]).unwrap_err().kind,
            ErrorKind::Unimplemented
        );
    }
}
