//! Profiles as text: Docker's format (conditions on capabilities and architecture) or runtime-spec's own.

use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSyscall,
};
use serde::Deserialize;

/// A profile that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("seccomp profile: {0}")]
pub struct ParseError(#[from] serde_json::Error);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    flags: Option<Vec<oci_spec::runtime::LinuxSeccompFilterFlag>>,
    #[serde(default)]
    listener_path: Option<std::path::PathBuf>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// An older form names one call.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

/// `minKernel` is not looked at: every kernel we run on is newer than any that profiles name.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
}

/// Go's name of this build's architecture, as profiles have it.
const GO_ARCH: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

impl Rule {
    fn applies(&self, held: &dyn Fn(&str) -> bool) -> bool {
        let here = |arches: &[String]| arches.iter().any(|a| a == GO_ARCH);
        let (i, e) = (&self.includes, &self.excludes);
        let included = (i.arches.is_empty() || here(&i.arches)) && i.caps.iter().all(|c| held(c));
        included && !here(&e.arches) && !e.caps.iter().any(|c| held(c))
    }

    fn convert(self) -> LinuxSyscall {
        let mut made = LinuxSyscall::default();
        made.set_names(self.name.into_iter().chain(self.names).collect())
            .set_action(self.action)
            .set_errno_ret(self.errno_ret)
            .set_args(self.args.filter(|a| !a.is_empty()));
        made
    }
}

/// Reads a profile for a container that holds `capabilities` (its bounding set).
///
/// # Errors
/// When the text is no such profile; an unknown action, operator or architecture among its reasons.
pub fn parse_profile(text: &str, capabilities: &Capabilities) -> Result<LinuxSeccomp, ParseError> {
    let profile: Profile = serde_json::from_str(text)?;
    let held = |name: &str| capabilities.iter().any(|c| format!("CAP_{c}") == name);
    let mut architectures = profile.architectures.unwrap_or_default();
    for map in profile.arch_map {
        architectures.push(map.architecture);
        architectures.extend(map.sub_architectures.into_iter().flatten());
    }
    let rules = profile
        .syscalls
        .into_iter()
        .flatten()
        .filter(|r| r.applies(&held))
        .map(Rule::convert)
        .collect();
    let mut made = LinuxSeccomp::default();
    made.set_default_action(profile.default_action)
        .set_default_errno_ret(profile.default_errno_ret)
        .set_architectures(Some(architectures))
        .set_flags(profile.flags)
        .set_listener_path(profile.listener_path)
        .set_syscalls(Some(rules));
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Capability;

    #[test]
    fn conditions_choose_rules() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
          "syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW"},
          {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
          {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38,"excludes":{"caps":["CAP_SYS_ADMIN"]}},
          {"names":["s390_x"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390x"]}},
          {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}}]}"#;
        let names = |caps: &[Capability]| {
            let p = parse_profile(text, &caps.iter().copied().collect()).unwrap();
            let rules = p.syscalls().clone().unwrap();
            rules
                .iter()
                .flat_map(|r| r.names().clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["read", "clone3", "ptrace"]);
        assert_eq!(names(&[Capability::SysAdmin]), ["read", "mount", "ptrace"]);
        assert!(parse_profile("{}", &Capabilities::default()).is_err());
        assert!(
            parse_profile(
                r#"{"defaultAction":"SCMP_ACT_FLY"}"#,
                &Capabilities::default()
            )
            .is_err()
        );
    }
}
