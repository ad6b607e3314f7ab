//! Waiting for a condition. The only place of the tests that sleeps, and only between two looks.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Looks again and again until `look` answers something.
///
/// # Errors
/// After `limit`, naming `what`.
pub fn some<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = look() {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("waited {limit:?} for {what}");
        }
        pause(Duration::from_millis(20));
    }
}

/// Looks again and again until `look` is true.
///
/// # Errors
/// After `limit`, naming `what`.
pub fn until(what: &str, limit: Duration, mut look: impl FnMut() -> bool) -> Result<()> {
    some(what, limit, || look().then_some(()))
}

/// Looks every millisecond, for what is measured.
///
/// # Errors
/// After `limit`.
pub fn closely(limit: Duration, mut look: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + limit;
    while !look() {
        if Instant::now() >= end {
            bail!("waited {limit:?}");
        }
        pause(Duration::from_millis(1));
    }
    Ok(())
}

#[allow(
    clippy::disallowed_methods,
    reason = "between two looks at a condition another process makes true"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
