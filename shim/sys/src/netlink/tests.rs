//! Encodings against bytes worked out from the kernel's headers, and a talk with the real kernel
//! as far as an ordinary user may.

use super::message::{HEADER, attributes, messages};
use super::*;

#[test]
fn a_message_is_framed_and_padded() {
    let mut batch = Batch::new();
    set_alias(&mut batch, "gb0", "mark");
    set_up(&mut batch, "lo");
    let all: Vec<_> = messages(batch.bytes()).collect();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].kind, nix::libc::RTM_NEWLINK);
    assert_eq!(all[0].payload.len(), 16 + 8 + 8);
    let parts: Vec<_> = attributes(&all[0].payload[16..]).collect();
    assert_eq!(parts[0].text(), Some("gb0"));
    assert_eq!(parts[1].value, b"mark");
    // IFF_UP in flags and in the mask of what changes.
    assert_eq!(all[1].payload[8..16], [1, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn one_message_makes_a_veth() {
    use std::os::fd::{AsFd, AsRawFd};
    let file = std::fs::File::open("/dev/null").expect("open /dev/null");
    let mut batch = Batch::new();
    let veth = Veth {
        name: "gv1",
        master: 7,
        peer: "eth0",
        namespace: file.as_fd(),
        peer_address: [2, 0x42, 1, 2, 3, 4],
        mtu: 0,
    };
    add_veth(&mut batch, &veth);
    let all: Vec<_> = messages(batch.bytes()).collect();
    assert_eq!(all.len(), 1);
    let top = attributes(&all[0].payload[16..]);
    assert_eq!(
        top.get(nix::libc::IFLA_MASTER).and_then(|a| a.host_u32()),
        Some(7)
    );
    let info = top
        .get(nix::libc::IFLA_LINKINFO)
        .expect("link info")
        .nested();
    let data = info.get(nix::libc::IFLA_INFO_DATA).expect("data").nested();
    let peer = data.get(1).expect("peer");
    let peer = attributes(&peer.value[16..]);
    assert_eq!(
        peer.get(nix::libc::IFLA_IFNAME).and_then(|a| a.text()),
        Some("eth0")
    );
    let fd = peer
        .get(nix::libc::IFLA_NET_NS_FD)
        .and_then(|a| a.host_u32());
    assert_eq!(fd, u32::try_from(file.as_raw_fd()).ok());
}

#[test]
fn an_address_carries_its_broadcast() {
    let mut batch = Batch::new();
    let address = Address {
        link: 3,
        address: [172, 30, 0, 2].into(),
        prefix: 16,
    };
    add_address(&mut batch, address);
    let expected: &[u8] = &[
        2, 16, 0, 0, 3, 0, 0, 0, // ifaddrmsg
        8, 0, 2, 0, 172, 30, 0, 2, // IFA_LOCAL
        8, 0, 1, 0, 172, 30, 0, 2, // IFA_ADDRESS
        8, 0, 4, 0, 172, 30, 255, 255, // IFA_BROADCAST
    ];
    assert_eq!(&batch.bytes()[HEADER..], expected);
}

#[test]
fn truncated_answers_end_the_iteration() {
    let mut batch = Batch::new();
    set_up(&mut batch, "lo");
    let whole = batch.bytes();
    for end in 0..whole.len() {
        assert_eq!(messages(&whole[..end]).count(), 0);
    }
    assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
    assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
}

#[test]
fn the_kernel_answers_dumps_and_lookups() {
    let mut socket = Socket::open(Protocol::Route).expect("open rtnetlink");
    let lo = find_link(&mut socket, "lo")
        .expect("ask for lo")
        .expect("lo is everywhere");
    assert_eq!(lo.name, "lo");
    assert!(links(&mut socket).expect("list links").contains(&lo));
    assert_eq!(find_link(&mut socket, "gantry-none").expect("ask"), None);
    addresses(&mut socket).expect("list addresses");
    routes(&mut socket).expect("list routes");
}

#[test]
fn a_refusal_names_the_request_of_the_batch() {
    let mut socket = Socket::open(Protocol::Route).expect("open rtnetlink");
    let mut batch = Batch::new();
    set_up(&mut batch, "gantry-none1");
    set_up(&mut batch, "gantry-none2");
    let error = socket.execute(batch).expect_err("no such link");
    // ENODEV as root, EPERM as anybody else: both are refusals of the first request.
    assert!(
        error
            .to_string()
            .starts_with("bring link gantry-none1 up: "),
        "{error}"
    );
    // The second refusal must not be taken for the answer to what is asked next.
    assert!(find_link(&mut socket, "lo").expect("ask for lo").is_some());
}
