//! What both doors list is what the clients know, no more and no less.

use std::collections::BTreeSet;

use gantry_cri_api::v1;

use super::known;
use crate::Node;
use crate::chaos::client::Client;
use crate::chaos::door::Door;
use crate::chaos::facts::{Step, Stop, contradiction};
use crate::cri::Cri;

/// Compares; nobody works meanwhile.
pub(super) fn compare(node: &Node, clients: &[Client]) -> Step {
    let door = Door::new(&node.socket("docker"), false, false);
    let list = |path: &str, key: &str, field: &str| -> Step<BTreeSet<String>> {
        let reply = door.get(path)?;
        if reply.status != 200 {
            return contradiction(format!("{path}: {} {}", reply.status, reply.text()));
        }
        let all = reply.json();
        let all = if key.is_empty() { &all } else { &all[key] };
        let values = all.as_array().into_iter().flatten();
        Ok(values
            .filter_map(|one| one[field].as_str())
            .map(str::to_owned)
            .collect())
    };
    let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
    let containers = list("/containers/json?all=1", "", "Id")?;
    // What was cut off and could not be taken up in a round that makes steps fail may go later.
    let boxes = clients.iter().flat_map(|c| &c.boxes);
    let going = boxes
        .filter(|b| b.facts.len() > 1)
        .filter_map(|b| b.id.as_deref());
    let going: BTreeSet<&str> = going.collect();
    let sure = |ids: BTreeSet<String>| -> BTreeSet<String> {
        ids.into_iter()
            .filter(|id| !going.contains(id.as_str()))
            .collect()
    };
    let mine = sure(owned(known(clients).collect()));
    same("containers", &sure(containers), &mine).map_err(|stop| {
        let shown = door.get("/containers/json?all=1").map(|reply| reply.json());
        match stop {
            Stop::Contradiction(text) => Stop::Contradiction(format!("{text}: {shown:?}")),
            cut => cut,
        }
    })?;
    let volumes = clients.iter().flat_map(|c| &c.volumes);
    let unsure = |name: &String, all: Vec<(&str, Option<bool>)>| {
        let found = all.into_iter().find(|(n, _)| n == name);
        found.is_some_and(|(_, there)| there.is_none())
    };
    let all: Vec<_> = volumes.map(|v| (v.name.as_str(), v.there)).collect();
    let mut listed = list("/volumes", "Volumes", "Name")?;
    // Anonymous ones go with their containers.
    listed.retain(|name| name.len() < 64 && !unsure(name, all.clone()));
    let there = all.iter().filter(|(_, there)| *there == Some(true));
    same(
        "volumes",
        &listed,
        &owned(there.map(|(name, _)| *name).collect()),
    )?;
    let networks = clients.iter().flat_map(|c| &c.networks);
    let all: Vec<_> = networks.map(|n| (n.name.as_str(), n.there)).collect();
    let mut listed = list("/networks", "", "Name")?;
    listed.retain(|name| !unsure(name, all.clone()));
    let there = all.iter().filter(|(_, there)| *there == Some(true));
    let predefined = ["bridge", "host", "none"].into_iter();
    same(
        "networks",
        &listed,
        &owned(there.map(|(name, _)| *name).chain(predefined).collect()),
    )?;
    let images = door.get("/images/json")?.json();
    let listed: BTreeSet<String> = images
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| one["RepoTags"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let tags = clients.iter().flat_map(|c| &c.tags);
    let tags = tags.filter(|t| t.names().is_some());
    let busybox = [crate::node::BUSYBOX].into_iter();
    same(
        "image names",
        &listed,
        &owned(tags.map(|t| t.name.as_str()).chain(busybox).collect()),
    )?;
    pods(node, clients)
}

fn pods(node: &Node, clients: &[Client]) -> Step {
    let api = Cri::connect(&node.socket("cri")).map_err(|_| Stop::Cut)?;
    let pods = api
        .runtime()
        .list_pod_sandbox(v1::ListPodSandboxRequest::default())
        .await_on(&api)?;
    let containers = api
        .runtime()
        .list_containers(v1::ListContainersRequest::default())
        .await_on(&api)?;
    let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
    for pod in clients.iter().filter_map(|c| c.pod.as_ref()) {
        let (listed, going) = pod.listed();
        must.extend(listed.into_iter().map(str::to_owned));
        may.extend(going.into_iter().map(str::to_owned));
    }
    let pods = pods.items.into_iter().map(|p| p.id);
    let listed = pods.chain(containers.containers.into_iter().map(|c| c.id));
    let listed = listed.filter(|id| !may.contains(id)).collect();
    same("pods and their containers", &listed, &must).map_err(|stop| match stop {
        Stop::Contradiction(text) => {
            let pods: Vec<_> = clients.iter().filter_map(|c| c.pod.as_ref()).collect();
            Stop::Contradiction(format!("{text}: {pods:?}"))
        }
        cut => cut,
    })
}

/// A call's answer, or the daemon's end.
trait AwaitOn<T> {
    fn await_on(self, api: &Cri) -> Step<T>;
}

impl<T, F> AwaitOn<T> for F
where
    F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    fn await_on(self, api: &Cri) -> Step<T> {
        api.wait(self).map_err(|_| Stop::Cut)
    }
}

fn same(what: &str, listed: &BTreeSet<String>, known: &BTreeSet<String>) -> Step {
    if listed == known {
        return Ok(());
    }
    let more: Vec<_> = listed.difference(known).collect();
    let less: Vec<_> = known.difference(listed).collect();
    contradiction(format!(
        "the list of {what} has {more:?} too much and lacks {less:?}"
    ))
}
