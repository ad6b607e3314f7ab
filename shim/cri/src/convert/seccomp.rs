//! Which seccomp filter a container gets. A privileged one has none; nothing given is none; an empty profile is the
//! default one (`RuntimeDefault` is the enum's zero).

use gantry_cri_api::v1;
use gantry_cri_api::v1::security_profile::ProfileType;
use gantry_model::container::SeccompSpec;
use gantry_model::{Error, Result};
use tokio::io::AsyncReadExt;

use super::path;

/// Bytes of a profile; Docker's default one has 20,000.
const PROFILE_MAX: u64 = 1 << 20;

/// Where the filter comes from.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Default,
    Unconfined,
    File(String),
}

/// Chooses, and reads the profile's file where one is named.
///
/// # Errors
/// `InvalidArgument` for a relative path or a file that cannot be read or is no JSON object.
pub(crate) async fn spec(context: &v1::LinuxContainerSecurityContext) -> Result<SeccompSpec> {
    match choose(context)? {
        Choice::Default => Ok(SeccompSpec::Default),
        Choice::Unconfined => Ok(SeccompSpec::Unconfined),
        Choice::File(path) => read(&path).await.map(SeccompSpec::Profile),
    }
}

fn choose(context: &v1::LinuxContainerSecurityContext) -> Result<Choice> {
    if context.privileged {
        return Ok(Choice::Unconfined);
    }
    if let Some(profile) = &context.seccomp {
        return match ProfileType::try_from(profile.profile_type) {
            Ok(ProfileType::RuntimeDefault) => Ok(Choice::Default),
            Ok(ProfileType::Unconfined) => Ok(Choice::Unconfined),
            Ok(ProfileType::Localhost) => file(&profile.localhost_ref),
            Err(_) => Err(Error::invalid(format!(
                "seccomp profile type {} is not one of cri",
                profile.profile_type
            ))),
        };
    }
    #[allow(deprecated, reason = "older clients fill the old field alone")]
    match context.seccomp_profile_path.as_str() {
        "" | "unconfined" => Ok(Choice::Unconfined),
        "runtime/default" | "docker/default" => Ok(Choice::Default),
        other => match other.strip_prefix("localhost/") {
            Some(path) => file(path),
            None => Err(Error::invalid(format!(
                "seccomp profile {other:?} is not one of cri"
            ))),
        },
    }
}

fn file(path: &str) -> Result<Choice> {
    path::absolute("seccomp profile", path).map(Choice::File)
}

async fn read(path: &str) -> Result<String> {
    let failed = |e: std::io::Error| Error::invalid(format!("read seccomp profile {path}: {e}"));
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut text = String::new();
    let read = file
        .take(PROFILE_MAX + 1)
        .read_to_string(&mut text)
        .await
        .map_err(failed)?;
    if read as u64 > PROFILE_MAX {
        return Err(Error::invalid(format!(
            "seccomp profile {path} is larger than {PROFILE_MAX} bytes"
        )));
    }
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(serde_json::Value::Object(_)) => Ok(text),
        Ok(_) => Err(Error::invalid(format!(
            "seccomp profile {path} is no json object"
        ))),
        Err(e) => Err(Error::invalid(format!("read seccomp profile {path}: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, choose, spec};
    use gantry_cri_api::v1::{LinuxContainerSecurityContext as Context, SecurityProfile};
    use gantry_model::container::SeccompSpec;

    fn with(profile_type: i32, localhost_ref: &str) -> Context {
        Context {
            seccomp: Some(SecurityProfile {
                profile_type,
                localhost_ref: localhost_ref.into(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn chooses_as_cri_says() {
        assert_eq!(choose(&Context::default()).unwrap(), Choice::Unconfined);
        assert_eq!(choose(&with(0, "")).unwrap(), Choice::Default);
        assert_eq!(choose(&with(1, "")).unwrap(), Choice::Unconfined);
        assert_eq!(
            choose(&with(2, "/etc/p.json")).unwrap(),
            Choice::File("/etc/p.json".into())
        );
        let privileged = Context {
            privileged: true,
            ..with(0, "")
        };
        assert_eq!(choose(&privileged).unwrap(), Choice::Unconfined);
        assert!(choose(&with(2, "p.json")).is_err());
        assert!(choose(&with(3, "")).is_err());
    }

    #[test]
    #[allow(deprecated, reason = "tests the old field")]
    fn understands_the_old_field() {
        let old = |path: &str| Context {
            seccomp_profile_path: path.into(),
            ..Default::default()
        };
        assert_eq!(choose(&old("runtime/default")).unwrap(), Choice::Default);
        assert_eq!(choose(&old("unconfined")).unwrap(), Choice::Unconfined);
        assert_eq!(
            choose(&old("localhost//etc/p")).unwrap(),
            Choice::File("/etc/p".into())
        );
        assert!(choose(&old("nonsense")).is_err());
        assert!(choose(&old("localhost/p")).is_err());
    }

    #[tokio::test]
    async fn reads_the_named_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        let context = with(2, path.to_str().unwrap());
        let error = spec(&context).await.unwrap_err();
        assert!(error.message.contains("p.json"), "{error}");
        std::fs::write(&path, "[]").unwrap();
        assert!(spec(&context).await.is_err());
        std::fs::write(&path, r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#).unwrap();
        assert_eq!(
            spec(&context).await.unwrap(),
            SeccompSpec::Profile(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.into())
        );
    }
}
