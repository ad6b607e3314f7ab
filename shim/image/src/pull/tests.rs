//! Pulls from a small registry in this process that can be told to misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::testing::{Image, Service, call};
use gantry_model::image::{Descriptor, ImageService};
use serde_json::json;

/// Answer to a path: status, headers, body.
type Answer = (u16, Vec<(String, String)>, Vec<u8>);

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    /// Answers given once before the lasting one.
    once: HashMap<String, Answer>,
    seen: Vec<(String, Option<String>)>,
}

struct Registry {
    state: Arc<Mutex<State>>,
    host: String,
}

impl Registry {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let serving = Arc::clone(&state);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&serving);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { state, host }
    }

    fn put(&self, path: &str, media_type: &str, data: &[u8]) {
        let headers = vec![("Content-Type".to_owned(), media_type.to_owned())];
        self.state
            .lock()
            .unwrap()
            .answers
            .insert(path.to_owned(), (200, headers, data.to_vec()));
    }

    fn put_image(&self, tag: &str, image: &Image) {
        for (name, data) in image.blobs() {
            let hex = name.rsplit('/').next().unwrap();
            self.put(
                &format!("/v2/app/blobs/sha256:{hex}"),
                "application/octet-stream",
                &data,
            );
        }
        self.put(
            &format!("/v2/app/manifests/{tag}"),
            MANIFEST_OCI,
            &image.manifest,
        );
        self.put(
            &format!("/v2/app/manifests/{}", image.target()),
            MANIFEST_OCI,
            &image.manifest,
        );
    }

    fn seen(&self, part: &str) -> usize {
        self.state
            .lock()
            .unwrap()
            .seen
            .iter()
            .filter(|(path, _)| path.contains(part))
            .count()
    }

    fn layer_path(image: &Image, layer: usize) -> String {
        format!("/v2/app/blobs/{}", sha256(&image.layers[layer]))
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    let mut auth = None;
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        if request.is_empty() {
            request = line.split(' ').nth(1).unwrap_or("").to_owned();
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("authorization: ") {
            auth = Some(value.trim().to_owned());
        }
        line.clear();
    }
    let (status, headers, body) = {
        let mut state = state.lock().unwrap();
        state.seen.push((request.clone(), auth.clone()));
        let once = state.once.remove(&request);
        let missing = (404, Vec::new(), b"{}".to_vec());
        once.or_else(|| state.answers.get(&request).cloned())
            .unwrap_or(missing)
    };
    if headers.iter().any(|(k, _)| k == "WWW-Authenticate") && auth.is_some() {
        return answer(stream, 200, &[], &body);
    }
    answer(stream, status, &headers, &body);
}

fn answer(mut stream: TcpStream, status: u16, headers: &[(String, String)], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    if !headers.iter().any(|(k, _)| k == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for (key, value) in headers {
        head += &format!("{key}: {value}\r\n");
    }
    // The client may have gone: what it saw is asserted elsewhere.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(b"\r\n"))
        .and_then(|()| stream.write_all(body));
}

async fn pull_tag(service: &Service, registry: &Registry, rest: &str) -> Result<Descriptor> {
    let name = format!("{}/app{rest}", registry.host);
    service
        .images
        .pull(&call(), &name, None, "memory", service.sink())
        .await
}

#[tokio::test]
async fn an_image_arrives_and_a_second_pull_asks_for_no_blob() {
    let (registry, service) = (Registry::new(), Service::new());
    let image = Image::new(&["one", "two", "two"]);
    registry.put_image("latest", &image);
    let target = pull_tag(&service, &registry, "").await.unwrap();
    assert_eq!(target.digest, image.target().to_string());
    assert_eq!(target.media_type, MANIFEST_OCI);
    let details = service.images.details(&target).await.unwrap();
    assert!(service.snapshots.keys().contains(&details.chain_id));
    let told = service.told.lock().unwrap().clone();
    let layer = sha256(&image.layers[0]).to_string();
    for step in [
        Progress::Waiting(layer.clone()),
        Progress::Downloaded(layer.clone()),
        Progress::Complete(layer),
    ] {
        assert!(told.contains(&step), "{step:?} in {told:?}");
    }
    let blobs = registry.seen("/blobs/");
    assert_eq!(blobs, 3, "configuration and two distinct layers");
    assert_eq!(
        pull_tag(&service, &registry, &format!("@{}", image.target()))
            .await
            .unwrap()
            .digest,
        target.digest
    );
    assert_eq!(registry.seen("/blobs/"), blobs);
    let again = service.told.lock().unwrap().split_off(told.len());
    assert!(
        again.iter().all(|step| matches!(step, Progress::Exists(_))),
        "{again:?}"
    );
}

#[tokio::test]
async fn an_index_leads_to_the_hosts_manifest() {
    let (registry, service) = (Registry::new(), Service::new());
    let (here, there) = (
        Image::new(&["here"]),
        Image::for_platform(&["there"], "vax"),
    );
    registry.put_image("here", &here);
    let platform = |arch: &str| json!({"platform": {"os": "linux", "architecture": arch}});
    let index = json!({"schemaVersion": 2, "manifests": [there.entry(platform("vax")),
        here.entry(platform(crate::document::architecture()))]});
    let index = serde_json::to_vec(&index).unwrap();
    registry.put("/v2/app/manifests/multi", INDEX_OCI, &index);
    let target = pull_tag(&service, &registry, ":multi").await.unwrap();
    assert_eq!(
        (target.digest, target.media_type),
        (sha256(&index).to_string(), INDEX_OCI.to_owned())
    );
    let only = json!({"schemaVersion": 2, "manifests": [there.entry(platform("vax"))]});
    registry.put(
        "/v2/app/manifests/vax",
        INDEX_OCI,
        &serde_json::to_vec(&only).unwrap(),
    );
    let err = pull_tag(&service, &registry, ":vax").await.unwrap_err();
    assert_eq!(err.kind, ErrorKind::NotFound);
    assert!(err.message.contains("no matching manifest"), "{err}");
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_leave_nothing() {
    let image = Image::new(&["one"]);
    let layer = Registry::layer_path(&image, 0);
    for wrong in [
        b"short".to_vec(),
        vec![0; image.layers[0].len()],
        vec![0; image.layers[0].len() + 1],
    ] {
        let (registry, service) = (Registry::new(), Service::new());
        registry.put_image("latest", &image);
        registry.put(&layer, "application/octet-stream", &wrong);
        let err = pull_tag(&service, &registry, "").await.unwrap_err();
        assert!(
            matches!(err.kind, ErrorKind::DataLoss | ErrorKind::Unavailable),
            "{err}"
        );
        assert!(!service.blobs().contains(&sha256(&wrong).to_string()));
        assert!(service.snapshots.keys().is_empty());
        service.assert_no_leftovers();
    }
    // A manifest that is not the one asked for by digest.
    let (registry, service) = (Registry::new(), Service::new());
    let digest = sha256(b"other");
    registry.put(
        &format!("/v2/app/manifests/{digest}"),
        MANIFEST_OCI,
        &image.manifest,
    );
    let err = pull_tag(&service, &registry, &format!("@{digest}"))
        .await
        .unwrap_err();
    assert_eq!(err.kind, ErrorKind::DataLoss);
}

#[tokio::test]
async fn a_registry_that_breaks_off_is_asked_again() {
    let (registry, service) = (Registry::new(), Service::new());
    let image = Image::new(&["one"]);
    registry.put_image("latest", &image);
    let layer = Registry::layer_path(&image, 0);
    let length = vec![(
        "Content-Length".to_owned(),
        image.layers[0].len().to_string(),
    )];
    let cut = (200, length, image.layers[0][..100].to_vec());
    registry
        .state
        .lock()
        .unwrap()
        .once
        .insert(layer.clone(), cut);
    pull_tag(&service, &registry, "").await.unwrap();
    assert_eq!(registry.seen(&layer), 2);
    service.assert_no_leftovers();
}

#[tokio::test]
async fn what_is_not_there_or_not_plain_is_said_in_dockers_words() {
    let (registry, service) = (Registry::new(), Service::new());
    let err = pull_tag(&service, &registry, ":none").await.unwrap_err();
    let host = &registry.host;
    assert_eq!(err.kind, ErrorKind::NotFound);
    assert_eq!(
        err.message,
        format!("manifest for {host}/app:none not found: manifest unknown")
    );
    let pull = |name: &'static str| {
        service
            .images
            .pull(call_now(), name, None, "memory", service.sink())
    };
    assert_eq!(
        pull("BAD").await.unwrap_err().kind,
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        pull("docker.io/library/busybox").await.unwrap_err().kind,
        ErrorKind::Unimplemented
    );
    let err = pull("127.0.0.1:1/x").await.unwrap_err();
    assert_eq!(err.kind, ErrorKind::Unavailable);
    assert!(err.message.contains("127.0.0.1:1"), "{err}");
    assert!(service.blobs().is_empty());
}

fn call_now() -> &'static Call {
    Box::leak(Box::new(call()))
}

#[tokio::test]
async fn documents_that_say_two_things_are_refused() {
    let (registry, service) = (Registry::new(), Service::new());
    let image = Image::new(&["one"]);
    registry.put("/v2/app/manifests/a", INDEX_OCI, &image.manifest);
    assert_eq!(
        pull_tag(&service, &registry, ":a").await.unwrap_err().kind,
        ErrorKind::InvalidArgument
    );
    registry.put("/v2/app/manifests/b", "text/html", b"<html>");
    assert_eq!(
        pull_tag(&service, &registry, ":b").await.unwrap_err().kind,
        ErrorKind::InvalidArgument
    );
    registry.put("/v2/app/manifests/c", MANIFEST_OCI, &vec![b' '; 5 << 20]);
    assert_eq!(
        pull_tag(&service, &registry, ":c").await.unwrap_err().kind,
        ErrorKind::InvalidArgument
    );
    assert!(service.blobs().is_empty());
}

#[tokio::test]
async fn credentials_answer_a_challenge_and_stay_at_their_origin() {
    let (registry, elsewhere, service) = (Registry::new(), Registry::new(), Service::new());
    let image = Image::new(&["one"]);
    registry.put_image("latest", &image);
    let challenge = vec![("WWW-Authenticate".to_owned(), "Basic realm=x".to_owned())];
    let manifest = (401, challenge, image.manifest.clone());
    registry
        .state
        .lock()
        .unwrap()
        .answers
        .insert("/v2/app/manifests/latest".into(), manifest);
    // The layer lies on another server.
    let layer = Registry::layer_path(&image, 0);
    let to = vec![(
        "Location".to_owned(),
        format!("http://{}/elsewhere", elsewhere.host),
    )];
    registry
        .state
        .lock()
        .unwrap()
        .answers
        .insert(layer, (307, to, Vec::new()));
    elsewhere.put("/elsewhere", "application/octet-stream", &image.layers[0]);

    let name = format!("{}/app", registry.host);
    let err = service
        .images
        .pull(&call(), &name, None, "memory", service.sink())
        .await
        .unwrap_err();
    assert_eq!(err.kind, ErrorKind::Unauthenticated);
    let auth = RegistryAuth {
        username: "u".into(),
        password: "p".into(),
        ..RegistryAuth::default()
    };
    service
        .images
        .pull(&call(), &name, Some(&auth), "memory", service.sink())
        .await
        .unwrap();
    assert_eq!(
        elsewhere.state.lock().unwrap().seen,
        [("/elsewhere".to_owned(), None)]
    );
}

#[tokio::test]
async fn two_pulls_at_once_download_each_blob_once() {
    let (registry, service) = (Registry::new(), Service::new());
    let image = Image::new(&["one", "two"]);
    registry.put_image("latest", &image);
    let (a, b) = tokio::join!(
        pull_tag(&service, &registry, ""),
        pull_tag(&service, &registry, "")
    );
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(registry.seen(&Registry::layer_path(&image, 0)), 1);
    assert_eq!(service.snapshots.keys().len(), 2);
}
