//! Unpacking once, failing cleanly, collecting exactly what nothing needs.

use super::*;
use crate::testing::{Image, Service, body, call, tar};
use gantry_model::ErrorKind;
use gantry_model::driver::SnapshotKind;
use serde_json::json;

async fn load_image(service: &Service, image: &Image) -> Descriptor {
    let mut files = image.blobs();
    let index = json!({"schemaVersion": 2, "manifests": [image.entry(json!({}))]});
    files.push(("index.json".to_owned(), serde_json::to_vec(&index).unwrap()));
    let loaded = service
        .images
        .load(&call(), body(&tar(&files)), "memory", service.sink())
        .await
        .unwrap();
    loaded[0].target.clone()
}

fn roots(targets: &[&Descriptor]) -> Roots {
    Roots {
        targets: targets.iter().map(|t| t.digest.clone()).collect(),
        ..Roots::default()
    }
}

#[tokio::test]
async fn images_that_share_layers_share_snapshots_and_lose_only_their_own() {
    let service = Service::new();
    let a = load_image(&service, &Image::new(&["base", "a"])).await;
    let b = load_image(&service, &Image::new(&["base", "b"])).await;
    assert_eq!(service.snapshots.keys().len(), 3);
    assert!(
        service
            .images
            .collect(&call(), &roots(&[&a, &b]))
            .await
            .unwrap()
            .is_empty()
    );
    let gone = service
        .images
        .collect(&call(), &roots(&[&a]))
        .await
        .unwrap();
    // Manifest, configuration and the one layer of its own.
    assert_eq!(gone.len(), 3);
    assert!(gone.contains(&b.digest));
    assert_eq!(service.snapshots.keys().len(), 2);
    assert_eq!(
        service.images.details(&b).await.unwrap_err().kind,
        ErrorKind::NotFound,
        "the cache forgets too"
    );
    service.images.details(&a).await.unwrap();
    service
        .images
        .collect(&call(), &Roots::default())
        .await
        .unwrap();
    assert!(service.blobs().is_empty());
    assert!(service.snapshots.keys().is_empty());
    assert_eq!(
        std::fs::read_dir(service.dir.path().join("content/layers/sha256"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn snapshots_of_containers_keep_their_parents() {
    let service = Service::new();
    let target = load_image(&service, &Image::new(&["base", "top"])).await;
    let top = service
        .images
        .details(&target)
        .await
        .unwrap()
        .chain_id
        .clone();
    service
        .snapshots
        .put("container", SnapshotKind::Active, Some(&top));
    service.snapshots.put(
        &format!("extract-{}", "0".repeat(64)),
        SnapshotKind::Active,
        None,
    );
    service
        .images
        .collect(&call(), &Roots::default())
        .await
        .unwrap();
    assert!(service.blobs().is_empty(), "its content may go");
    assert_eq!(
        service.snapshots.keys().len(),
        3,
        "its layers may not; an unpack of a dead daemon goes"
    );
}

#[tokio::test]
async fn what_was_collected_is_unpacked_again() {
    let service = Service::new();
    let image = Image::new(&["base", "top"]);
    let target = load_image(&service, &image).await;
    service.snapshots.0.lock().unwrap().clear();
    let details = service
        .images
        .ensure_unpacked(&call(), &target, "memory")
        .await
        .unwrap();
    assert_eq!(service.snapshots.keys().len(), 2);
    assert!(service.snapshots.keys().contains(&details.chain_id));
    assert_eq!(details.target, target);
}

#[tokio::test]
async fn many_at_once_unpack_each_layer_once() {
    let service = Service::new();
    let target = load_image(&service, &Image::new(&["base", "top"])).await;
    service.snapshots.0.lock().unwrap().clear();
    let call = call();
    let all = (0..8).map(|_| service.images.ensure_unpacked(&call, &target, "memory"));
    for done in futures_util::future::join_all(all).await {
        done.unwrap();
    }
    assert_eq!(service.snapshots.keys().len(), 2);
    service.assert_no_leftovers();
}

#[tokio::test]
async fn a_failing_helper_leaves_no_snapshot() {
    let service = Service::new();
    let target = load_image(&service, &Image::new(&["base"])).await;
    service.snapshots.0.lock().unwrap().clear();
    for (helper, kind) in [
        ("/bin/false", ErrorKind::Internal),
        ("/nonexistent", ErrorKind::Internal),
    ] {
        let config = Config::new(service.dir.path().join("content"), helper.into());
        let drivers = crate::testing::OneDriver(Arc::clone(&service.snapshots));
        let images = Images::open(config, Arc::new(drivers)).unwrap();
        let err = images
            .ensure_unpacked(&call(), &target, "memory")
            .await
            .unwrap_err();
        assert_eq!(err.kind, kind, "{err}");
        assert!(service.snapshots.keys().is_empty());
    }
}

#[tokio::test]
async fn a_helper_is_killed_when_its_time_is_over() {
    let service = Service::new();
    let target = load_image(&service, &Image::new(&["base"])).await;
    service.snapshots.0.lock().unwrap().clear();
    // yes(1) writes its arguments for ever; none of it is an answer.
    let config = Config::new(service.dir.path().join("content"), "/usr/bin/yes".into());
    let drivers = crate::testing::OneDriver(Arc::clone(&service.snapshots));
    let images = Images::open(config, Arc::new(drivers)).unwrap();
    let late = Call {
        timeout: std::time::Duration::from_millis(200),
        ..call()
    };
    assert!(
        images
            .ensure_unpacked(&late, &target, "memory")
            .await
            .is_err()
    );
    assert!(service.snapshots.keys().is_empty());
}

#[tokio::test]
async fn copy_up_takes_absolute_paths_and_known_mounts() {
    let service = Service::new();
    let bind = MountDescription {
        kind: "bind".into(),
        source: "/".into(),
        ..MountDescription::default()
    };
    service
        .images
        .copy_up(&call(), std::slice::from_ref(&bind), "/data", "/tmp")
        .await
        .unwrap();
    let err = service
        .images
        .copy_up(&call(), std::slice::from_ref(&bind), "data", "/tmp")
        .await
        .unwrap_err();
    assert_eq!(err.kind, ErrorKind::InvalidArgument);
    let nfs = MountDescription {
        kind: "nfs".into(),
        ..bind
    };
    let err = service
        .images
        .copy_up(&call(), &[nfs], "/data", "/tmp")
        .await
        .unwrap_err();
    assert_eq!(err.kind, ErrorKind::Unimplemented);
}

#[test]
fn a_copy_never_mounts_an_upper_a_second_time() {
    use gantry_files::protocol::Tree;
    let (lower, upper, work) = (vec!["/l".into()], Some("/u".into()), Some("/w".into()));
    let Tree::Overlay { lower, upper, work } = read_only(Tree::Overlay { lower, upper, work })
    else {
        panic!("an overlay")
    };
    assert_eq!(
        (lower, upper, work),
        (vec!["/u".into(), "/l".into()], None, None)
    );
}
