//! Lengths of time as the file says them: `500ms`, `10s`, `2m`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Reads a length of time of more than nothing.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    match parse(&text) {
        Some(Duration::ZERO) => Err(D::Error::custom(format!(
            "{text:?}: more than nothing is needed"
        ))),
        Some(duration) => Ok(duration),
        None => Err(D::Error::custom(format!(
            "{text:?} is no length of time; write 500ms, 10s or 2m"
        ))),
    }
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}
