//! `POST /images/create`: pull.

use std::sync::{Arc, Once};

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use gantry_model::image::{Origin, Progress, ProgressSink, RegistryAuth};
use gantry_model::reference::Reference;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::door::DockerDoor;
use crate::images::check_platform;
use crate::request::Req;
use crate::response::{Answer, Failure};
use crate::streaming::lines;

/// Pulls an image, telling how far it is in lines of JSON.
pub(crate) async fn pull(door: Arc<DockerDoor>, req: Req) -> Answer {
    if req.query.text("fromSrc").is_some() {
        return Err(Failure::not_served(
            "importing an image from a tree of files is not served by gantry yet",
        ));
    }
    check_platform(req.query.text("platform"))?;
    let reference = reference(
        req.query.get("fromImage").unwrap_or_default(),
        req.query.text("tag"),
    )?;
    let auth = auth(&req)?;
    let (sender, receiver) = mpsc::channel(lines::QUEUE);
    // Said before the first thing that happens: a name the registry does not know gets a status of its own instead.
    let begun = Once::new();
    let opening = began(&reference);
    let progress: ProgressSink = Arc::new(move |progress: Progress| {
        begun.call_once(|| drop(sender.try_send(opening.clone())));
        if let Some(line) = line(&progress) {
            let _ = sender.try_send(line);
        }
    });
    lines::answer(receiver, async move {
        let name = reference.to_string();
        let before = door
            .engine
            .find_image(&name)
            .await
            .ok()
            .map(|view| view.details.target.digest.clone());
        let target = door
            .engine
            .pull_image(Origin::Docker, &name, auth, progress)
            .await?;
        let familiar = reference.familiar();
        let status = if before.as_deref() == Some(target.digest.as_str()) {
            format!("Status: Image is up to date for {familiar}")
        } else {
            format!("Status: Downloaded newer image for {familiar}")
        };
        Ok(vec![
            json!({ "status": format!("Digest: {}", target.digest) }),
            json!({ "status": status }),
        ])
    })
    .await
}

fn began(reference: &Reference) -> Value {
    let digest = reference
        .digest()
        .map(|digest| format!("{}@{}", reference.name(), digest.as_str()));
    json!({
        "status": format!("Pulling from {}", reference.path()),
        "id": digest.as_deref().or(reference.tag()).unwrap_or_default(),
    })
}

/// Name and tag (or digest) of a request.
fn reference(name: &str, tag: Option<&str>) -> Result<Reference, Failure> {
    let full = match tag {
        Some(digest) if digest.contains(':') => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    };
    let reference =
        Reference::parse(&full).map_err(|error| Failure::bad_request(error.to_string()))?;
    if reference.tag().is_none() && reference.digest().is_none() {
        return Err(Failure::not_served(format!(
            "pulling all tags of {} is not served by gantry yet: name one",
            reference.familiar_name()
        )));
    }
    Ok(reference)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthHeader {
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// Credentials of the `X-Registry-Auth` header: JSON in URL-safe base64, with or without padding.
fn auth(req: &Req) -> Result<Option<RegistryAuth>, Failure> {
    let Some(header) = req.headers().get("x-registry-auth") else {
        return Ok(None);
    };
    let wrong = || Failure::bad_request("invalid X-Registry-Auth header");
    let engine = GeneralPurpose::new(
        &base64::alphabet::URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let bytes = engine.decode(header.as_bytes()).map_err(|_| wrong())?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let read: AuthHeader = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let auth = RegistryAuth {
        username: read.username,
        password: read.password,
        identity_token: read.identitytoken,
        registry_token: read.registrytoken,
    };
    Ok((auth != RegistryAuth::default()).then_some(auth))
}

/// A step as one line; layers are told apart by the first 12 digits.
pub(crate) fn line(progress: &Progress) -> Option<Value> {
    let short = |digest: &str| -> String {
        digest
            .trim_start_matches("sha256:")
            .chars()
            .take(12)
            .collect()
    };
    let plain = |status: &str, digest: &str| json!({ "status": status, "progressDetail": {}, "id": short(digest) });
    let counted = |status: &str, digest: &str, current: u64, total: u64| {
        json!({
            "status": status,
            "progressDetail": { "current": current, "total": total },
            "id": short(digest),
        })
    };
    Some(match progress {
        Progress::Waiting(digest) => plain("Pulling fs layer", digest),
        Progress::Downloading {
            digest,
            current,
            total,
        } => counted("Downloading", digest, *current, *total),
        Progress::Downloaded(digest) => plain("Download complete", digest),
        Progress::Extracting {
            digest,
            current,
            total,
        } => counted("Extracting", digest, *current, *total),
        Progress::Complete(digest) => plain("Pull complete", digest),
        Progress::Exists(digest) => plain("Already exists", digest),
        Progress::Message(text) => json!({ "status": text }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for (name, tag, expected) in [
            ("busybox", Some("1"), Ok("docker.io/library/busybox:1")),
            (
                "docker.io/library/busybox",
                Some("latest"),
                Ok("docker.io/library/busybox:latest"),
            ),
            ("r:5000/x/y:2", None, Ok("r:5000/x/y:2")),
            ("busybox", None, Err(501)),
            ("BUSY", Some("1"), Err(400)),
            ("", Some("1"), Err(400)),
        ] {
            let got = reference(name, tag);
            match expected {
                Ok(text) => assert_eq!(got.unwrap().to_string(), text),
                Err(status) => assert_eq!(got.unwrap_err().status.as_u16(), status, "{name}"),
            }
        }
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(
            reference("busybox", Some(&digest)).unwrap().to_string(),
            format!("docker.io/library/busybox@{digest}")
        );
    }

    #[test]
    fn lines() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(
            line(&Progress::Downloading {
                digest,
                current: 1,
                total: 2
            })
            .unwrap(),
            json!({"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "abababababab"})
        );
    }
}
