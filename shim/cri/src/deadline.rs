//! A call's deadline, as its client told it (`grpc-timeout`).
//!
//! The transport keeps it too, but answers `Cancelled`; kubelet must see `DeadlineExceeded`, so we answer a moment
//! before. Only the caller is let go: work that has begun belongs to the engine.

use std::time::Duration;

use gantry_model::{Error, Result};
use tonic::metadata::MetadataMap;

/// How much earlier than the transport we answer: a few ticks of its timer.
const MARGIN: Duration = Duration::from_millis(5);

/// Waits for the answer as long as the client does.
///
/// # Errors
/// The work's own, or `DeadlineExceeded`.
pub(crate) async fn keep<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(limit) = limit else {
        return work.await;
    };
    match tokio::time::timeout(limit.saturating_sub(MARGIN), work).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::deadline(format!(
            "not done within the {} ms the caller gave; the outcome is unknown",
            limit.as_millis()
        ))),
    }
}

/// What the client allows. A malformed value is none, as for the transport.
pub(crate) fn of(metadata: &MetadataMap) -> Option<Duration> {
    parse(metadata.get("grpc-timeout")?.to_str().ok()?)
}

/// At most eight digits and a unit (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn parse(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().next_back()?;
    let digits = &text[..unit_at];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(number * 3600)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{keep, parse};
    use gantry_model::ErrorKind;
    use std::time::Duration;

    #[test]
    fn reads_every_unit() {
        for (text, limit) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("10S", Duration::from_secs(10)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("5u", Duration::from_micros(5)),
            ("7n", Duration::from_nanos(7)),
        ] {
            assert_eq!(parse(text), Some(limit), "{text}");
        }
        for bad in ["", "S", "10", "10x", "123456789S", "-1S", "1ß"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn answers_before_the_transport_does() {
        let never = std::future::pending::<gantry_model::Result<()>>();
        let error = keep(Some(Duration::from_millis(10)), never)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
        assert_eq!(keep(None, async { Ok(1) }).await.unwrap(), 1);
        let at_once = keep(Some(Duration::ZERO), async { Ok(1) }).await;
        assert_eq!(at_once.unwrap(), 1, "what is there already is answered");
    }
}
