//! `POST /containers/create`.

use std::sync::Arc;

use gantry_engine::CreateContainer;
use gantry_model::ErrorKind;
use gantry_model::container::Container;
use gantry_model::image::Origin;
use http::StatusCode;
use serde_json::{Value, json};

use crate::convert::create;
use crate::door::DockerDoor;
use crate::images;
use crate::request::Req;
use crate::response::{Answer, Failure, json};
use crate::version::ApiVersion;

/// Makes a container.
pub(crate) async fn create(door: Arc<DockerDoor>, mut req: Req) -> Answer {
    let mut raw = req.json_or_null().await?;
    // It came with 1.44; what an older client sends there means nothing.
    if req.version < ApiVersion::one(44)
        && let Some(check) = raw.get_mut("Healthcheck").and_then(Value::as_object_mut)
    {
        check.remove("StartInterval");
    }
    let name = checked_name(req.query.get("name").unwrap_or_default())?;
    images::check_platform(req.query.text("platform"))?;
    let read = create::read(raw)?;
    let image = images::named(&door, &read.body.image).await?;
    let warnings = read.warnings(&image.details.config);
    let (spec, data) = read.convert(&image.details.config, &door.host)?;
    let request = CreateContainer {
        origin: Origin::Docker,
        name: name.clone(),
        spec,
        pod: None,
        cri: None,
        door_data: serde_json::to_string(&data).map_err(|error| {
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("keep the request: {error}"),
            )
        })?,
    };
    let id = door
        .engine
        .create_container(request)
        .await
        .map_err(|error| match error.kind {
            ErrorKind::Conflict | ErrorKind::AlreadyExists => taken(&door, &name, error),
            _ => error.into(),
        })?;
    let body = json!({ "Id": id.as_str(), "Warnings": warnings });
    Ok(json(StatusCode::CREATED, &body))
}

/// The conflict in the words Docker's users know, when it is the name's.
fn taken(door: &DockerDoor, name: &str, error: gantry_model::Error) -> Failure {
    let owner = door
        .engine
        .find_container(Some(Origin::Docker), name)
        .ok()
        .filter(|owner| !name.is_empty() && owner.name == name);
    match owner {
        Some(owner) => Failure::new(StatusCode::CONFLICT, name_taken(&owner)),
        None => error.into(),
    }
}

/// What is said when a name is another one's.
pub(crate) fn name_taken(owner: &Container) -> String {
    let Container { name, id, .. } = owner;
    format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    )
}

/// The name without its slash.
///
/// # Errors
/// 400 in Docker's words.
pub(crate) fn checked_name(name: &str) -> Result<String, Failure> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    if bare.is_empty() {
        return Ok(String::new());
    }
    let mut bytes = bare.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if bare.len() > 1 && first && bytes.all(rest) {
        return Ok(bare.to_owned());
    }
    Err(Failure::bad_request(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

#[cfg(test)]
mod tests {
    use super::checked_name;

    #[test]
    fn names() {
        for (name, expected) in [
            ("web", Some("web")),
            ("/web-1.a_b", Some("web-1.a_b")),
            ("", Some("")),
            ("a", None),
            ("-a", None),
            ("a b", None),
            ("a/b", None),
            ("ä1", None),
        ] {
            assert_eq!(checked_name(name).ok().as_deref(), expected, "{name}");
        }
    }
}
