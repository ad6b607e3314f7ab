//! `POST /networks/create`.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::ErrorKind;
use gantry_model::network::{NetworkSpec, Pool};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::convert::{body, network};
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, json};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    name: String,
    driver: String,
    scope: String,
    #[serde(rename = "EnableIPv4")]
    ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_only: bool,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipam {
    driver: String,
    options: BTreeMap<String, String>,
    config: Vec<IpamPool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IpamPool {
    #[serde(rename = "Subnet")]
    subnet: String,
    #[serde(rename = "IPRange")]
    range: String,
    #[serde(rename = "Gateway")]
    gateway: String,
    #[serde(rename = "AuxiliaryAddresses")]
    auxiliary: BTreeMap<String, Value>,
}

/// Makes a network.
pub(crate) async fn create(door: Arc<DockerDoor>, mut req: Req) -> Answer {
    let body: Body = body::read(req.json().await?)?;
    let name = body.name.clone();
    let spec = spec(body)?;
    let id = door
        .engine
        .create_network(spec)
        .await
        .map_err(|error| match error.kind {
            ErrorKind::Conflict | ErrorKind::AlreadyExists
                if door.engine.find_network(&name).is_ok() =>
            {
                Failure::new(
                    StatusCode::CONFLICT,
                    format!("network with name {name} already exists"),
                )
            }
            _ => error.into(),
        })?;
    Ok(json(
        StatusCode::CREATED,
        &json!({ "Id": id.as_str(), "Warning": "" }),
    ))
}

fn spec(body: Body) -> Result<NetworkSpec, Failure> {
    if body.name.trim().is_empty() {
        return Err(Failure::bad_request("network name cannot be empty"));
    }
    let ipam_driver = !matches!(body.ipam.driver.as_str(), "" | "default");
    let auxiliary = body
        .ipam
        .config
        .iter()
        .any(|pool| !pool.auxiliary.is_empty());
    let ipv6_pool = body
        .ipam
        .config
        .iter()
        .any(|pool| pool.subnet.contains(':'));
    let refused = [
        ("EnableIPv6", body.ipv6 || ipv6_pool),
        ("EnableIPv4: false", body.ipv4 == Some(false)),
        ("Scope", !matches!(body.scope.as_str(), "" | "local")),
        ("Attachable", body.attachable),
        ("Ingress", body.ingress),
        ("ConfigOnly", body.config_only),
        ("IPAM.Driver", ipam_driver),
        ("IPAM.Options", !body.ipam.options.is_empty()),
        ("IPAM.Config.AuxiliaryAddresses", auxiliary),
    ];
    if let Some((option, _)) = refused.iter().find(|(_, asked)| *asked) {
        let text = format!("{option} of a network is not served by gantry yet");
        return Err(Failure::not_served(text));
    }
    Ok(NetworkSpec {
        driver: network::driver_meant(&body.driver).to_owned(),
        name: body.name,
        options: body.options,
        pools: body
            .ipam
            .config
            .into_iter()
            .map(|pool| Pool {
                subnet: pool.subnet,
                range: pool.range,
                gateway: pool.gateway,
            })
            .collect(),
        internal: body.internal,
        labels: body.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: Value) -> Result<NetworkSpec, Failure> {
        spec(body::read(raw).unwrap())
    }

    #[test]
    fn what_the_cli_sends() {
        let made = read(json!({
            "Driver": "bridge", "Scope": "", "IPAM": {"Driver": "default", "Options": {}, "Config":
            [{"Subnet": "10.9.0.0/16"}]}, "Internal": false, "Attachable": false, "Ingress": false,
            "ConfigOnly": false, "ConfigFrom": null, "Options": {"a": "b"}, "Labels": {}, "Name": "nn",
        }))
        .unwrap();
        assert_eq!((made.name.as_str(), made.driver.as_str()), ("nn", "bridge"));
        assert_eq!(made.pools[0].subnet, "10.9.0.0/16");
        assert_eq!(made.options["a"], "b");
        for (raw, status) in [
            (json!({"Name": ""}), 400),
            (json!({"Name": "n", "EnableIPv6": true}), 501),
            (json!({"Name": "n", "Scope": "swarm"}), 501),
        ] {
            assert_eq!(read(raw).unwrap_err().status.as_u16(), status);
        }
    }
}
