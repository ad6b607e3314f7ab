//! One engine behind two doors: images are shared, containers belong to the door that made them.

use anyhow::{Result, ensure};
use gantry_cri_api::v1;
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri};

cases![
    one_image_for_both,
    each_door_lists_its_own,
    claims_are_a_doors_own
];

fn one_image_for_both() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let api = node.cri()?;
    let blobs =
        || std::fs::read_dir(node.root().join("content/blobs/sha256")).map_or(0, Iterator::count);
    let before = blobs();
    ensure!(before >= 3, "manifest, config and layer");
    let config = cri::pod("p", &node.dir().display().to_string());
    let pod = api.run_pod(config.clone())?;
    let id = api.create(
        &pod,
        cri::container("c", BUSYBOX, &["sleep", "1000"]),
        config,
    )?;
    api.start(&id)?;
    ensure!(
        node.docker()
            .ok(&["run", "--rm", "busybox", "echo", "hi"])?
            == "hi"
    );
    ensure!(blobs() == before, "nothing was fetched or unpacked twice");
    drop(api);
    node.finish()
}

fn each_door_lists_its_own() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let (api, docker) = (node.cri()?, node.docker());
    let config = cri::pod("p", &node.dir().display().to_string());
    let pod = api.run_pod(config.clone())?;
    let id = api.create(
        &pod,
        cri::container("c", BUSYBOX, &["sleep", "1000"]),
        config,
    )?;
    api.start(&id)?;
    let own = docker.ok(&["run", "-d", "--name", "dd", "busybox", "sleep", "1000"])?;
    ensure!(
        docker.ok(&["ps", "-aq", "--no-trunc"])? == own,
        "kubelet's containers are not Docker's"
    );
    let list = api
        .wait(
            api.runtime()
                .list_containers(v1::ListContainersRequest::default()),
        )?
        .containers;
    ensure!(list.len() == 1 && list[0].id == id, "{list:?}");
    let pods = api
        .wait(
            api.runtime()
                .list_pod_sandbox(v1::ListPodSandboxRequest::default()),
        )?
        .items;
    ensure!(pods.len() == 1 && pods[0].id == pod, "{pods:?}");
    // What one door made, the other does not touch: kubelet kills what it does not know.
    ensure!(api.status(&own).is_err());
    // `rm -f` of what is not there is a success for the client: the pod's container must not notice.
    docker.run(&["rm", "-f", &id])?;
    ensure!(api.status(&id)?.state() == v1::ContainerState::ContainerRunning);
    // The operator sees both.
    let all = node.gantry(&["ps", "--json"])?.ok()?;
    ensure!(all.contains(&own) && all.contains(&id), "{all}");
    drop(api);
    node.finish()
}

fn claims_are_a_doors_own() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let api = node.cri()?;
    let image = Some(v1::ImageSpec {
        image: BUSYBOX.into(),
        ..Default::default()
    });
    // kubelet's clean-up drops CRI's claims; Docker's name keeps the image.
    api.wait(api.images().remove_image(v1::RemoveImageRequest { image }))?;
    ensure!(node.docker().ok(&["images", "-q"])?.lines().count() == 1);
    ensure!(
        node.docker()
            .ok(&["run", "--rm", "busybox", "echo", "hi"])?
            == "hi"
    );
    drop(api);
    node.finish()
}
