//! A time namespace: its offsets can be set while nobody is in it, so it is made for children, set, and entered then.

use crate::create::{namespace_path, open_namespace};
use crate::error::{FailureKind, Kind, LaunchError, Result};
use gantry_sys::namespace;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::fmt::Write;

/// Makes one with the configuration's offsets, or enters the one it names. Answers what was made.
pub(super) fn enter(spec: &Spec) -> Result<i32> {
    if let Some(path) = namespace_path(spec, LinuxNamespaceType::Time) {
        let fd = open_namespace(path)?;
        namespace::enter(fd, namespace::TIME).kind(FailureKind::Namespace)?;
        return Ok(0);
    }
    namespace::unshare(namespace::TIME).kind(FailureKind::Namespace)?;
    let text = offsets(spec)?;
    if !text.is_empty() {
        std::fs::write("/proc/self/timens_offsets", &text)
            .map_err(|e| gantry_sys::Error::from_io(format!("set clock offsets {text:?}"), &e))
            .kind(FailureKind::Namespace)?;
    }
    let made = namespace::open_path("/proc/self/ns/time_for_children");
    made.and_then(|fd| namespace::enter(fd, namespace::TIME))
        .kind(FailureKind::Namespace)?;
    Ok(namespace::TIME)
}

fn offsets(spec: &Spec) -> Result<String> {
    let mut text = String::new();
    let list = spec
        .linux()
        .as_ref()
        .and_then(|l| l.time_offsets().as_ref());
    for (clock, offset) in list.into_iter().flatten() {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(LaunchError::spec(format!("time offset of clock {clock:?}")));
        }
        let (secs, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        if nanos >= 1_000_000_000 {
            return Err(LaunchError::spec(format!("time offset of {nanos} ns")));
        }
        let _ = writeln!(text, "{clock} {secs} {nanos}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Spec {
        let text = format!(r#"{{"ociVersion":"1.2.0","linux":{{"timeOffsets":{json}}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn offsets_are_written_as_the_kernel_reads_them() {
        let text = offsets(&spec(r#"{"boottime":{"secs":-5,"nanosecs":7}}"#)).unwrap();
        assert_eq!(text, "boottime -5 7\n");
        assert!(offsets(&spec(r#"{"realtime":{"secs":1}}"#)).is_err());
        assert!(offsets(&spec(r#"{"boottime":{"nanosecs":1000000000}}"#)).is_err());
    }
}
