//! Published ports: what was asked, what is free, what conflicts with what.
//!
//! Only this driver's own ports are known here; a port that belongs to another process of the host
//! is found by whoever holds the listening socket.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use gantry_sdk::network::Port;
use gantry_sdk::{Error, ErrorCode, Result};

use crate::record::{Published, Transport};

/// A port as asked for; host port 0 wants any.
pub(crate) fn read(port: &Port, default_ip: Option<Ipv4Addr>) -> Result<Published> {
    let transport = match port.proto.as_str() {
        "tcp" | "" => Transport::Tcp,
        "udp" => Transport::Udp,
        other => {
            let what = format!("publish port {}: {other} is not done", port.container_port);
            return Err(Error::unimplemented(what));
        }
    };
    if port.container_port == 0 {
        return Err(Error::invalid(
            "a published port needs a port inside from 1 to 65535",
        ));
    }
    let host_ip = match port.host_ip.as_str() {
        "" => default_ip,
        text => match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) if ip.is_unspecified() => None,
            Ok(IpAddr::V4(ip)) => Some(ip),
            Ok(IpAddr::V6(ip)) => {
                let what = format!("publish a port on {ip}: IPv6 is not done");
                return Err(Error::unimplemented(what));
            }
            Err(_) => {
                let what = format!("{text:?} is not an address to publish a port on");
                return Err(Error::invalid(what));
            }
        },
    };
    Ok(Published {
        transport,
        host_ip,
        host_port: port.host_port,
        container_port: port.container_port,
    })
}

/// All published ports of this driver.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports {
    taken: BTreeMap<(Transport, u16), Vec<Holder>>,
}

/// An endpoint that has a port, on one address or on all.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    ip: Option<Ipv4Addr>,
    endpoint: String,
}

impl Ports {
    /// Does another endpoint have this port? One on every address conflicts with all others of its
    /// number.
    fn conflicts(&self, port: &Published, endpoint: &str) -> bool {
        let meets =
            |ip: Option<Ipv4Addr>| ip == port.host_ip || ip.is_none() || port.host_ip.is_none();
        let all = self.taken.get(&(port.transport, port.host_port));
        all.is_some_and(|all| all.iter().any(|h| h.endpoint != endpoint && meets(h.ip)))
    }

    /// Takes all of an endpoint's ports or none, with host ports filled in.
    ///
    /// # Errors
    /// `AlreadyExists` in Docker's words; `ResourceExhausted` when no port is free.
    pub(crate) fn take(&mut self, endpoint: &str, wanted: &mut [Published]) -> Result<()> {
        for port in wanted {
            let filled = if port.host_port == 0 {
                self.choose(port)
            } else if self.conflicts(port, endpoint) {
                Err(allocated(port))
            } else {
                Ok(())
            };
            if let Err(error) = filled {
                self.release(endpoint);
                return Err(error);
            }
            self.put(endpoint, port);
        }
        Ok(())
    }

    fn put(&mut self, endpoint: &str, port: &Published) {
        let mine = Holder {
            ip: port.host_ip,
            endpoint: endpoint.to_owned(),
        };
        let all = self
            .taken
            .entry((port.transport, port.host_port))
            .or_default();
        if !all.contains(&mine) {
            all.push(mine);
        }
    }

    /// The kernel knows which port nobody listens on; ours have no listener of this process.
    fn choose(&self, port: &mut Published) -> Result<()> {
        let ip = port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        for _ in 0..64 {
            let free = match port.transport {
                Transport::Tcp => TcpListener::bind((ip, 0)).and_then(|s| s.local_addr()),
                Transport::Udp => UdpSocket::bind((ip, 0)).and_then(|s| s.local_addr()),
            };
            let free = free.map_err(|e| Error::io(format!("choose a free port on {ip}"), &e))?;
            port.host_port = free.port();
            if !self.taken.contains_key(&(port.transport, port.host_port)) {
                return Ok(());
            }
        }
        let what = format!("choose a free port on {ip}: none found in 64 tries");
        Err(Error::new(ErrorCode::ResourceExhausted, what))
    }

    /// Takes ports that are published already.
    pub(crate) fn restore(&mut self, endpoint: &str, ports: &[Published]) {
        for port in ports {
            self.put(endpoint, port);
        }
    }

    /// Gives back all of an endpoint's ports.
    pub(crate) fn release(&mut self, endpoint: &str) {
        self.taken.retain(|_, all| {
            all.retain(|h| h.endpoint != endpoint);
            !all.is_empty()
        });
    }
}

fn allocated(port: &Published) -> Error {
    let ip = port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let what = format!(
        "Bind for {ip}:{} failed: port is already allocated",
        port.host_port
    );
    Error::exists(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(proto: &str, host_ip: &str, host_port: u16) -> Published {
        let port = Port {
            proto: proto.into(),
            host_ip: host_ip.into(),
            host_port,
            container_port: 80,
        };
        read(&port, None).unwrap()
    }

    #[test]
    fn every_address_conflicts_with_each() {
        let mut ports = Ports::default();
        ports
            .take("a", &mut [port("tcp", "127.0.0.1", 8080)])
            .unwrap();
        ports
            .take(
                "b",
                &mut [port("udp", "", 8080), port("tcp", "127.0.0.2", 8080)],
            )
            .unwrap();
        let error = ports
            .take("c", &mut [port("tcp", "0.0.0.0", 8080)])
            .unwrap_err();
        assert_eq!(
            error.message,
            "Bind for 0.0.0.0:8080 failed: port is already allocated"
        );
        assert_eq!(error.code, ErrorCode::AlreadyExists);
        let error = ports
            .take("c", &mut [port("tcp", "127.0.0.1", 8080)])
            .unwrap_err();
        assert_eq!(
            error.message,
            "Bind for 127.0.0.1:8080 failed: port is already allocated"
        );
        ports
            .take("a", &mut [port("tcp", "127.0.0.1", 8080)])
            .unwrap();
        ports.release("a");
        ports
            .take("c", &mut [port("tcp", "127.0.0.1", 8080)])
            .unwrap();
    }

    #[test]
    fn a_refused_request_takes_nothing() {
        let mut ports = Ports::default();
        ports.take("a", &mut [port("tcp", "", 81)]).unwrap();
        ports
            .take("b", &mut [port("tcp", "", 80), port("tcp", "", 81)])
            .unwrap_err();
        ports.take("c", &mut [port("tcp", "", 80)]).unwrap();
    }

    #[test]
    fn any_port_is_filled_in() {
        let mut ports = Ports::default();
        let mut wanted = [port("tcp", "127.0.0.1", 0), port("udp", "127.0.0.1", 0)];
        ports.take("a", &mut wanted).unwrap();
        assert!(wanted.iter().all(|p| p.host_port != 0));
    }

    #[test]
    fn what_is_not_done_says_so() {
        let refused = |proto: &str, ip: &str, inside| {
            let port = Port {
                proto: proto.into(),
                host_ip: ip.into(),
                host_port: 1,
                container_port: inside,
            };
            read(&port, None).unwrap_err().code
        };
        assert_eq!(refused("sctp", "", 1), ErrorCode::Unimplemented);
        assert_eq!(refused("tcp", "::1", 1), ErrorCode::Unimplemented);
        assert_eq!(refused("tcp", "localhost", 1), ErrorCode::InvalidArgument);
        assert_eq!(refused("tcp", "", 0), ErrorCode::InvalidArgument);
    }
}
