//! Images: one file per verb.

pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod pull;
pub(crate) mod remove;
pub(crate) mod tag;

use gantry_engine::ImageView;
use gantry_model::ErrorKind;
use gantry_model::reference::Reference;
use http::StatusCode;

use crate::door::DockerDoor;
use crate::host;
use crate::response::Failure;

/// The image a user names.
///
/// # Errors
/// 404 `No such image: name:latest`, 400 for a name that is none.
pub(crate) async fn named(door: &DockerDoor, name: &str) -> Result<ImageView, Failure> {
    door.engine
        .find_image(name)
        .await
        .map_err(|error| match error.kind {
            ErrorKind::NotFound => missing(name),
            _ => error.into(),
        })
}

/// Docker's words for an image that is not there.
fn missing(name: &str) -> Failure {
    let full = Reference::parse_tagged(name).map_or_else(|_| name.to_owned(), |r| r.familiar());
    Failure::new(StatusCode::NOT_FOUND, format!("No such image: {full}"))
}

/// Only the host's own platform is served.
///
/// # Errors
/// 501 for another one.
pub(crate) fn check_platform(platform: Option<&str>) -> Result<(), Failure> {
    let Some(platform) = platform else {
        return Ok(());
    };
    // From 1.52 on clients may send it as JSON.
    let words = match serde_json::from_str::<serde_json::Value>(platform) {
        Ok(value) => [value["os"].clone(), value["architecture"].clone()]
            .iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect(),
        Err(_) => platform.split('/').map(str::to_owned).collect::<Vec<_>>(),
    };
    let own = ["linux", host::architecture()];
    let is_own = match &words[..] {
        [word] => own.contains(&word.as_str()),
        [os, architecture, ..] => os == own[0] && architecture == own[1],
        [] => true,
    };
    if is_own {
        return Ok(());
    }
    Err(Failure::not_served(format!(
        "platform {platform} is not served by gantry yet; this host is {}/{}",
        own[0], own[1]
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_platform() {
        let own = format!("linux/{}", host::architecture());
        for (platform, expected) in [
            (None, true),
            (Some(own.as_str()), true),
            (Some("linux"), true),
            (Some("windows/amd64"), false),
            (Some("linux/s390x"), false),
            (Some(r#"{"os":"linux","architecture":"s390x"}"#), false),
        ] {
            assert_eq!(check_platform(platform).is_ok(), expected, "{platform:?}");
        }
    }

    #[test]
    fn a_missing_image_is_named_in_full() {
        assert_eq!(missing("nope").message, "No such image: nope:latest");
        assert_eq!(missing("r:5000/x:1").message, "No such image: r:5000/x:1");
        assert_eq!(missing("sha256:00").message, "No such image: sha256:00");
    }
}
