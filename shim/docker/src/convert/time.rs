//! Times as Docker's queries write them: seconds since 1970, with or without a fraction.

use gantry_model::Timestamp;

use crate::response::Failure;

/// The value of `since`, `until`…; `None` for nothing and for zero.
///
/// # Errors
/// 400 naming the key.
pub(crate) fn parse(key: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let nanos = seconds(text).or_else(|| gantry_logs::clock::parse(text.as_bytes()));
    match nanos {
        None => Err(Failure::bad_request(format!(
            "invalid value for {key:?}: {text:?} is no time"
        ))),
        Some(0) => Ok(None),
        Some(nanos) => Ok(Some(Timestamp(nanos))),
    }
}

fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Nothing is finer than a nanosecond.
    let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
}

/// Nanoseconds of a span as Go writes it: `1h30m`, `10s`, `1.5h`; `None` for what is no span.
pub(crate) fn ago(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = 0.0;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let nanos = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * nanos;
        rest = &rest[unit..];
        any = true;
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a span longer than 292 years is as good as 292 years"
    )]
    any.then_some((sign * total) as i64)
}

/// Seconds since 1970 of an RFC 3339 text, as an image's configuration has it; 0 for none.
pub(crate) fn unix_seconds(rfc3339: &str) -> i64 {
    gantry_logs::clock::parse(rfc3339.as_bytes()).map_or(0, |nanos| nanos.div_euclid(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::{ago, parse, unix_seconds};

    #[test]
    fn reads_spans() {
        for (text, seconds) in [
            ("24h", Some(86_400)),
            ("1h30m", Some(5400)),
            ("1.5h", Some(5400)),
            ("1m0.0s", Some(60)),
            ("-5s", Some(-5)),
            ("", None),
            ("5", None),
            ("5x", None),
            ("2024-01-01", None),
        ] {
            assert_eq!(ago(text), seconds.map(|s: i64| s * 1_000_000_000), "{text}");
        }
    }

    #[test]
    fn reads_what_clients_send() {
        for (text, nanos) in [
            ("1136073600", 1_136_073_600_000_000_000),
            ("1136073600.000000001", 1_136_073_600_000_000_001),
            ("1136073600.5", 1_136_073_600_500_000_000),
            ("1136073600.0000000019", 1_136_073_600_000_000_001),
            ("2024-02-29T12:34:56.5Z", 1_709_210_096_500_000_000),
            ("2024-02-29T13:34:56+01:00", 1_709_210_096_000_000_000),
            ("2024-02-29T12:34:56Z", 1_709_210_096_000_000_000),
        ] {
            assert_eq!(
                parse("since", Some(text)).unwrap().unwrap().0,
                nanos,
                "{text}"
            );
        }
        assert_eq!(parse("since", Some("0")).unwrap(), None);
        assert_eq!(parse("since", None).unwrap(), None);
        for bad in ["x", "1.x", "99999999999999999999"] {
            assert!(parse("since", Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(unix_seconds("2024-02-29T12:34:56.5Z"), 1_709_210_096);
        assert_eq!(unix_seconds(""), 0);
    }
}
