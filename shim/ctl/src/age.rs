//! How long ago something was, in the largest unit that says enough.

use std::time::SystemTime;

use gantry_model::Timestamp;

/// The moment now, in nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::from_system(SystemTime::now()).0
}

/// `12s`, `5m`, `3h`, `8d`; `-` for never.
pub(crate) fn ago(then: i64, now: i64) -> String {
    if then <= 0 {
        return "-".to_owned();
    }
    let seconds = (now - then).max(0) / 1_000_000_000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::ago;

    #[test]
    fn chooses_the_unit() {
        let second = 1_000_000_000;
        let now = 1_000_000 * second;
        for (back, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7200, "2h"),
            (172_800, "2d"),
        ] {
            assert_eq!(ago(now - back * second, now), text);
        }
        assert_eq!(ago(0, now), "-");
        assert_eq!(ago(now + second, now), "0s", "a clock that was set back");
    }
}
