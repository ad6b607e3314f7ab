//! Asks small web servers in containers, from inside a namespace.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::netns::NetNs;
use crate::wait;

/// The whole answer to `GET /`, as it came.
///
/// # Errors
/// If nobody answers.
pub fn get(net: &NetNs, address: &str) -> Result<String> {
    let address: SocketAddr = address.parse().context("read the address")?;
    net.run(move || {
        let limit = Duration::from_secs(3);
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    })
    .with_context(|| format!("ask {address}"))
}

/// The same, but waits until the server is up.
///
/// # Errors
/// If it does not come up within 10 seconds.
pub fn get_when_up(net: &NetNs, address: &str) -> Result<String> {
    wait::some(
        &format!("a web server at {address}"),
        Duration::from_secs(10),
        || {
            get(net, address)
                .ok()
                .filter(|answer| answer.contains("200 OK"))
        },
    )
}
