//! Payloads as they travel.

use super::*;

#[test]
fn what_must_be_understood_is_named_only_when_it_is_asked_for() {
    let plain = network::CreateRequest {
        id: "1".into(),
        name: "n".into(),
        ..Default::default()
    };
    let text = String::from_utf8(encode(&plain).unwrap()).unwrap();
    assert!(!text.contains("must_understand"), "{text}");
    let internal = network::CreateRequest {
        internal: true,
        ..plain
    };
    let value: serde_json::Value = serde_json::from_slice(&encode(&internal).unwrap()).unwrap();
    assert_eq!(value["must_understand"], serde_json::json!(["internal"]));
    assert_eq!(value["internal"], true);
}

#[test]
fn an_old_struct_refuses_a_field_it_does_not_know() {
    #[derive(Deserialize)]
    #[allow(dead_code)] // only its fields' names count
    struct Old {
        id: String,
    }
    let request = network::CreateRequest {
        internal: true,
        ..Default::default()
    };
    let json = encode(&request).unwrap();
    assert_eq!(
        missing_from::<Old>(&json).unwrap().as_deref(),
        Some("internal")
    );
    assert_eq!(missing_from::<network::CreateRequest>(&json).unwrap(), None);
    assert_eq!(field_names::<Old>(), ["id"]);
}

/// Every name a request may put into the list is a field of it: otherwise every plugin would refuse it.
#[test]
fn every_name_in_the_list_is_a_field() {
    let create = network::CreateRequest {
        options: Labels::from([("a".into(), "b".into())]),
        ipam: network::Ipam {
            pools: vec![Default::default()],
        },
        internal: true,
        ipv6: true,
        ..Default::default()
    };
    assert_eq!(create.must_understand().len(), 4);
    known(&create);
    let join = network::JoinRequest {
        address: Some(String::new()),
        address6: Some(String::new()),
        mac: Some(String::new()),
        ports: vec![Default::default()],
        options: Labels::from([("a".into(), "b".into())]),
        default_route: false,
        ..Default::default()
    };
    assert_eq!(join.must_understand().len(), 6);
    known(&join);
    known(&volume::CreateRequest {
        options: Labels::from([("a".into(), "b".into())]),
        ..Default::default()
    });
    known(&volume::MountRequest {
        read_only: true,
        ..Default::default()
    });
}

fn known<R: Request>(request: &R) {
    assert!(!request.must_understand().is_empty());
    for name in request.must_understand() {
        assert!(
            field_names::<R>().contains(&name),
            "{name} of {}.{}",
            R::TABLE,
            R::FUNCTION
        );
    }
}
