//! Archives of every kind, and archives that lie.

use std::io::Write;

use super::*;
use crate::content::sha256;
use crate::testing::{Image, Service, blob_path, body, call, cut_body, tar};
use gantry_model::ErrorKind;
use gantry_model::image::{Descriptor, ImageService};
use serde_json::json;

type Files = Vec<(String, Vec<u8>)>;

fn json_file(name: &str, value: &serde_json::Value) -> (String, Vec<u8>) {
    (name.to_owned(), serde_json::to_vec(value).unwrap())
}

/// As docker wrote until 24: layers by id, configuration by digest, no OCI parts.
fn old_docker(image: &Image, tags: &[&str]) -> Files {
    let config = format!("{}.json", sha256(&image.config).hex());
    let layers: Vec<String> = (0..image.layers.len())
        .map(|i| format!("{i:064}/layer.tar"))
        .collect();
    let mut files: Files = layers
        .iter()
        .cloned()
        .zip(image.layers.iter().cloned())
        .collect();
    files.push((config.clone(), image.config.clone()));
    files.push(json_file(
        "manifest.json",
        &json!([{"Config": config, "RepoTags": tags, "Layers": layers}]),
    ));
    files
}

/// As docker writes since 25: a layout, and a manifest.json beside it.
fn new_docker(image: &Image, name: &str) -> Files {
    let mut files = image.blobs();
    let annotations = json!({"annotations": {"io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": "latest"}});
    files.push(json_file(
        "index.json",
        &json!({"schemaVersion": 2, "manifests": [image.entry(annotations)]}),
    ));
    let layers: Vec<String> = image.layers.iter().map(|l| blob_path(l)).collect();
    let saved =
        json!([{"Config": blob_path(&image.config), "RepoTags": ["other:1"], "Layers": layers}]);
    files.push(json_file("manifest.json", &saved));
    files
}

fn layout(images: &[&Image], entries: &[serde_json::Value]) -> Files {
    let mut files: Files = images.iter().flat_map(|i| i.blobs()).collect();
    files.push(json_file(
        "oci-layout",
        &json!({"imageLayoutVersion": "1.0.0"}),
    ));
    files.push(json_file(
        "index.json",
        &json!({"schemaVersion": 2, "manifests": entries}),
    ));
    files
}

async fn load_into(service: &Service, archive: &[u8]) -> Result<Vec<Loaded>> {
    service
        .images
        .load(&call(), body(archive), "memory", service.sink())
        .await
}

async fn fails(files: &Files, kind: ErrorKind) {
    let service = Service::new();
    let err = load_into(&service, &tar(files)).await.unwrap_err();
    assert_eq!(err.kind, kind, "{err}");
    service.assert_no_leftovers();
    assert!(service.snapshots.keys().is_empty());
}

#[tokio::test]
async fn every_kind_of_archive_gives_the_image() {
    let image = Image::new(&["one", "two"]);
    let annotated = json!({"annotations": {"org.opencontainers.image.ref.name": "busybox:latest"}});
    for (what, files) in [
        ("old docker", old_docker(&image, &["busybox:latest"])),
        (
            "new docker",
            new_docker(&image, "docker.io/library/busybox:latest"),
        ),
        ("oci layout", layout(&[&image], &[image.entry(annotated)])),
    ] {
        let service = Service::new();
        let loaded = load_into(&service, &tar(&files)).await.unwrap();
        assert_eq!(loaded.len(), 1, "{what}");
        assert_eq!(
            loaded[0].names[0], "docker.io/library/busybox:latest",
            "{what}"
        );
        let details = service.images.details(&loaded[0].target).await.unwrap();
        assert_eq!(details.target, loaded[0].target, "{what}");
        assert_eq!(
            details.config_digest,
            sha256(&image.config).to_string(),
            "{what}"
        );
        assert_eq!(
            details.config.cmd.as_deref(),
            Some(["/bin/true".to_owned()].as_slice())
        );
        assert_eq!(
            (details.diff_ids.len(), details.unpacked_size),
            (2, 84),
            "{what}"
        );
        assert_eq!(service.snapshots.keys().len(), 2, "{what}");
        assert!(
            service.snapshots.keys().contains(&details.chain_id),
            "{what}"
        );
        service.assert_no_leftovers();
    }
}

#[tokio::test]
async fn a_made_manifest_gives_the_same_target_twice() {
    let image = Image::new(&["one"]);
    let archive = tar(&old_docker(&image, &["a:1", "b:2"]));
    let [first, second] = [Service::new(), Service::new()];
    let a = load_into(&first, &archive).await.unwrap();
    let b = load_into(&second, &archive).await.unwrap();
    assert_eq!(a, b);
    assert_eq!(
        a[0].names,
        ["docker.io/library/a:1", "docker.io/library/b:2"]
    );
    // Again into the same store: nothing new.
    let blobs = first.blobs();
    assert_eq!(load_into(&first, &archive).await.unwrap(), a);
    assert_eq!(first.blobs(), blobs);
}

#[tokio::test]
async fn names_of_both_parts_are_taken() {
    let image = Image::new(&["one"]);
    let service = Service::new();
    let loaded = load_into(
        &service,
        &tar(&new_docker(&image, "docker.io/library/busybox:latest")),
    )
    .await
    .unwrap();
    assert_eq!(
        loaded[0].names,
        [
            "docker.io/library/busybox:latest",
            "docker.io/library/other:1"
        ]
    );
    assert_eq!(
        loaded[0].target.digest,
        image.target().to_string(),
        "the manifest that came, not one made here"
    );
}

#[tokio::test]
async fn an_archive_may_be_compressed() {
    let tar = tar(&old_docker(&Image::new(&["one"]), &["a:1"]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let service = Service::new();
    assert_eq!(
        load_into(&service, &gzip.finish().unwrap())
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn an_index_of_platforms_is_the_target_and_the_hosts_part_is_used() {
    let (here, there) = (
        Image::new(&["here"]),
        Image::for_platform(&["there"], "vax"),
    );
    let platform = |arch: &str| json!({"platform": {"os": "linux", "architecture": arch}});
    let inner = json!({"schemaVersion": 2, "mediaType": crate::document::INDEX_OCI,
        "manifests": [there.entry(platform("vax")), here.entry(platform(crate::document::architecture()))]});
    let inner = serde_json::to_vec(&inner).unwrap();
    let entry = json!({"mediaType": crate::document::INDEX_OCI, "digest": sha256(&inner).to_string(),
        "size": inner.len(), "annotations": {"io.containerd.image.name": "multi:1"}});
    // The other platform's layers did not come along.
    let mut files = layout(&[&here], &[entry]);
    files.push((blob_path(&inner), inner.clone()));
    let service = Service::new();
    let loaded = load_into(&service, &tar(&files)).await.unwrap();
    assert_eq!(loaded[0].target.digest, sha256(&inner).to_string());
    let details = service.images.details(&loaded[0].target).await.unwrap();
    assert_eq!(details.manifest.digest, here.target().to_string());
    assert_eq!(details.config_digest, sha256(&here.config).to_string());
}

#[tokio::test]
async fn two_names_of_one_image_are_one_image() {
    let image = Image::new(&["one"]);
    let named = |n: &str| image.entry(json!({"annotations": {"io.containerd.image.name": n}}));
    let service = Service::new();
    let loaded = load_into(
        &service,
        &tar(&layout(&[&image], &[named("a:1"), named("b:1")])),
    )
    .await
    .unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(
        loaded[0].names,
        ["docker.io/library/a:1", "docker.io/library/b:1"]
    );
}

#[tokio::test]
async fn links_between_layers_of_old_archives_are_followed() {
    let image = Image::new(&["same", "same"]);
    let mut files = old_docker(&image, &["a:1"]);
    files.retain(|(name, _)| *name != format!("{:064}/layer.tar", 1));
    let mut builder = tar::Builder::new(tar(&files));
    // Behind the last file, before the end: rebuild by hand.
    let mut archive = builder.get_mut().clone();
    archive.truncate(archive.len() - 1024);
    let mut link = tar::Builder::new(archive);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(
        &mut header,
        format!("{:064}/layer.tar", 1),
        format!("../{:064}/layer.tar", 0),
    )
    .unwrap();
    let service = Service::new();
    assert_eq!(
        load_into(&service, &link.into_inner().unwrap())
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn lies_are_refused_and_leave_nothing() {
    let image = Image::new(&["one", "two"]);
    let without = |mut files: Files, name: &str| {
        files.retain(|(n, _)| n != name);
        files
    };
    let with = |mut files: Files, name: &str, data: &[u8]| {
        files.iter_mut().find(|(n, _)| n == name).unwrap().1 = data.to_vec();
        files
    };
    let old = || old_docker(&image, &["a:1"]);
    let oci = || layout(&[&image], &[image.entry(json!({}))]);
    use ErrorKind::{DataLoss, InvalidArgument};
    fails(&without(old(), "manifest.json"), InvalidArgument).await;
    fails(
        &without(old(), &format!("{:064}/layer.tar", 1)),
        InvalidArgument,
    )
    .await;
    fails(&with(old(), "manifest.json", b"[{]"), InvalidArgument).await;
    fails(
        &with(
            old(),
            &format!("{}.json", sha256(&image.config).hex()),
            b"{}",
        ),
        DataLoss,
    )
    .await;
    fails(
        &without(oci(), &blob_path(&image.layers[1])),
        InvalidArgument,
    )
    .await;
    fails(
        &with(oci(), &blob_path(&image.layers[1]), b"another layer"),
        DataLoss,
    )
    .await;
    fails(
        &with(
            oci(),
            &blob_path(&image.manifest),
            &vec![b' '; image.manifest.len()],
        ),
        DataLoss,
    )
    .await;
    fails(&old_docker(&image, &["Bad Name"]), InvalidArgument).await;
    fails(
        &vec![("manifest.json".to_owned(), vec![b'['; 5 << 20])],
        InvalidArgument,
    )
    .await;
    fails(&Vec::new(), InvalidArgument).await;
    let wrong = json!([{"Config": "../../etc/passwd", "RepoTags": null, "Layers": []}]);
    fails(&vec![json_file("manifest.json", &wrong)], InvalidArgument).await;
}

#[tokio::test]
async fn what_is_no_archive_or_is_cut_off_leaves_nothing() {
    let archive = tar(&old_docker(&Image::new(&["one"]), &["a:1"]));
    let service = Service::new();
    assert_eq!(
        load_into(&service, b"hello, this is no tar")
            .await
            .unwrap_err()
            .kind,
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        load_into(&service, &archive[..1300])
            .await
            .unwrap_err()
            .kind,
        ErrorKind::InvalidArgument
    );
    let cut = service
        .images
        .load(
            &call(),
            cut_body(&archive[..1536]),
            "memory",
            service.sink(),
        )
        .await;
    let cut = cut.unwrap_err();
    assert!(cut.message.contains("connection reset"), "{cut}");
    assert!(service.blobs().is_empty());
    service.assert_no_leftovers();
}

#[tokio::test]
async fn an_unknown_snapshotter_and_a_cancel_stop_a_load() {
    let archive = tar(&old_docker(&Image::new(&["one"]), &["a:1"]));
    let service = Service::new();
    let err = service
        .images
        .load(&call(), body(&archive), "none", service.sink())
        .await
        .unwrap_err();
    assert_eq!(err.kind, ErrorKind::NotFound);
    let cancelled = call();
    cancelled.cancel.cancel();
    let err = service
        .images
        .load(&cancelled, body(&archive), "memory", service.sink())
        .await
        .unwrap_err();
    assert_eq!(err.kind, ErrorKind::Cancelled);
    service.assert_no_leftovers();
}

#[tokio::test]
async fn a_missing_image_is_not_found() {
    let service = Service::new();
    let target = Descriptor {
        digest: sha256(b"none").to_string(),
        ..Descriptor::default()
    };
    assert_eq!(
        service.images.details(&target).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    let bad = Descriptor {
        digest: "sha256:../../x".into(),
        ..Descriptor::default()
    };
    assert_eq!(
        service.images.details(&bad).await.unwrap_err().kind,
        ErrorKind::InvalidArgument
    );
}
