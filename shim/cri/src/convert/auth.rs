//! Credentials of a pull. Never logged, never stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_cri_api::v1;
use gantry_model::image::RegistryAuth;
use gantry_model::reference::Reference;
use gantry_model::{Error, Result};

/// Reads the credentials; `None` when none are given, or when they are for another registry than the image's.
///
/// # Errors
/// `InvalidArgument` for an `auth` that is not base64 of `user:password`.
pub(crate) fn read(auth: Option<v1::AuthConfig>, image: &str) -> Result<Option<RegistryAuth>> {
    let Some(auth) = auth else {
        return Ok(None);
    };
    if !auth.server_address.is_empty() && !same_registry(&auth.server_address, image) {
        return Ok(None);
    }
    let (username, password) = if auth.username.is_empty() && !auth.auth.is_empty() {
        decode(&auth.auth)?
    } else {
        (auth.username, auth.password)
    };
    let read = RegistryAuth {
        username,
        password,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
    };
    Ok((read != RegistryAuth::default()).then_some(read))
}

fn decode(auth: &str) -> Result<(String, String)> {
    let wrong = || Error::invalid("auth.auth is not base64 of user:password");
    let bytes = STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (user, password) = text.split_once(':').ok_or_else(wrong)?;
    // Old tools pad the password with zero bytes.
    Ok((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// Compares hosts. An image whose name does not parse has none; the pull will say so.
fn same_registry(server: &str, image: &str) -> bool {
    let server = server
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let server = server.split('/').next().unwrap_or_default();
    let server = match server {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    Reference::parse(image).is_ok_and(|reference| reference.domain() == server)
}

#[cfg(test)]
mod tests {
    use super::read;
    use gantry_cri_api::v1::AuthConfig;

    #[test]
    fn takes_all_forms() {
        assert!(read(None, "busybox").unwrap().is_none());
        assert!(
            read(Some(AuthConfig::default()), "busybox")
                .unwrap()
                .is_none()
        );
        let plain = AuthConfig {
            username: "u".into(),
            password: "p".into(),
            ..Default::default()
        };
        let made = read(Some(plain), "busybox").unwrap().unwrap();
        assert_eq!((made.username.as_str(), made.password.as_str()), ("u", "p"));
        let encoded = AuthConfig {
            auth: "dTpwOnE=".into(),
            ..Default::default()
        };
        let made = read(Some(encoded), "busybox").unwrap().unwrap();
        assert_eq!(
            (made.username.as_str(), made.password.as_str()),
            ("u", "p:q")
        );
        for bad in ["***", "dQ=="] {
            let auth = AuthConfig {
                auth: bad.into(),
                ..Default::default()
            };
            assert!(read(Some(auth), "busybox").is_err());
        }
    }

    #[test]
    fn does_not_hand_a_password_to_another_registry() {
        let auth = |server: &str| {
            Some(AuthConfig {
                username: "u".into(),
                password: "p".into(),
                server_address: server.into(),
                ..Default::default()
            })
        };
        for (server, image, given) in [
            ("https://index.docker.io/v1/", "busybox", true),
            ("localhost:5000", "localhost:5000/a:1", true),
            ("localhost:5000", "localhost:5001/a:1", false),
            ("localhost:5000", "busybox", false),
            ("localhost:5000", "NOT A NAME", false),
        ] {
            assert_eq!(
                read(auth(server), image).unwrap().is_some(),
                given,
                "{server} {image}"
            );
        }
    }
}
