//! Fault points: named places before and after side effects, at which a test build (`hack/build --faults`) can kill the
//! process, make the step fail, or hold it. In every other build a point is an empty function.
//!
//! A process reads two variables when it passes its first point:
//!
//! - `GANTRY_FAULTS`: `name=action;name=action`, in the grammar of the crate `fail`: `3*off->return(kill)` dies at the
//!   fourth pass, `return(error)` makes the step fail, `sleep(200)` holds it for 200 ms.
//! - `GANTRY_FAULT_HITS`: a folder; each process writes the names it has passed into a file named by its pid there,
//!   one a line, before it acts on them.
//!
//! Names are literals, `crate.step.before|after|…`, so that `cargo xtask` can list them and a run can tell which point
//! was never passed.

#[cfg(feature = "points")]
mod armed;

/// A step was made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected(pub &'static str);

impl std::fmt::Display for Injected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a fault was injected at {}", self.0)
    }
}

impl std::error::Error for Injected {}

/// Passes a point. May not return (the process is killed).
///
/// # Errors
/// When the test asks for one here.
#[cfg(feature = "points")]
pub fn point(name: &'static str) -> Result<(), Injected> {
    armed::pass(name)
}

/// Passes a point: nothing in this build.
///
/// # Errors
/// Never in this build.
#[cfg(not(feature = "points"))]
#[inline(always)]
pub fn point(_name: &'static str) -> Result<(), Injected> {
    Ok(())
}

/// Passes a point in a place that cannot fail: an injected error is ignored, a kill is not.
#[inline(always)]
pub fn pass(name: &'static str) {
    let _ = point(name);
}

/// A value a test build takes from its environment instead of from the machine (`GANTRY_FAULT_BOOT_ID`); always `None`
/// in other builds.
pub fn instead(variable: &str) -> Option<String> {
    if cfg!(feature = "points") {
        std::env::var(variable).ok()
    } else {
        None
    }
}

/// The variables a process hands on to those it starts, so that their points are armed too; none in other builds.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    ["GANTRY_FAULTS", "GANTRY_FAULT_HITS", "GANTRY_FAULT_BOOT_ID"]
        .into_iter()
        .filter_map(|name| instead(name).map(|value| (name.to_owned(), value)))
}
