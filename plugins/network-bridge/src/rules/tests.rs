//! Which entries networks and ports have. That the kernel takes them is proved as root.

use super::*;

#[test]
fn an_internal_network_is_closed_and_not_masqueraded() {
    let mut network = NetworkRecord::plain("gbr", "10.0.0.0/24".parse().unwrap());
    let sets = |network: &NetworkRecord| {
        of_network(network, "m")
            .into_iter()
            .map(|e| e.set)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        sets(&network),
        ["bridges", "same", "open_bridges", "nat_bridges"]
    );
    network.masquerade = false;
    assert_eq!(sets(&network), ["bridges", "same", "open_bridges"]);
    network.internal = true;
    network.masquerade = true;
    assert_eq!(sets(&network), ["bridges", "same"]);
}

#[test]
fn a_port_is_an_element_by_its_address() {
    use crate::record::Transport;
    let port = |host_ip| Published {
        transport: Transport::Udp,
        host_ip,
        host_port: 5300,
        container_port: 53,
    };
    let ports = [port(None), port(Some([127, 0, 0, 1].into()))];
    let entries = of_ports([10, 0, 0, 2].into(), &ports, "m");
    assert_eq!(entries[0].set, "ports_any");
    assert_eq!(entries[0].key, [Value::Protocol(17), Value::Port(5300)]);
    assert_eq!(entries[1].set, "ports_ip");
    assert_eq!(entries[1].key.len(), 3);
    assert_eq!(
        entries[1].data,
        [Value::Ipv4([10, 0, 0, 2].into()), Value::Port(53)]
    );
}

#[test]
fn every_entry_has_a_set_of_its_shape() {
    use crate::record::Transport;
    let network = NetworkRecord::plain("gbr", "10.0.0.0/24".parse().unwrap());
    let port = |host_ip| Published {
        transport: Transport::Tcp,
        host_ip,
        host_port: 1,
        container_port: 1,
    };
    let ports = [port(None), port(Some([127, 0, 0, 1].into()))];
    let mut entries = of_network(&network, "m");
    entries.extend(of_ports([10, 0, 0, 2].into(), &ports, "m"));
    for entry in &entries {
        let (_, key, data) = SETS
            .iter()
            .find(|s| s.0 == entry.set)
            .expect("the set is made");
        assert_eq!((key.len(), data.len()), (entry.key.len(), entry.data.len()));
    }
    for (name, ..) in SETS {
        assert!(
            entries.iter().any(|e| e.set == name),
            "nothing is in {name}"
        );
    }
}
