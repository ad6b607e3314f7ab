//! Points in time as the records keep them. No clock is read here; the caller hands the time in.

use serde::{Deserialize, Serialize};

/// Nanoseconds since the Unix epoch (UTC). Zero means "never".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment a [`std::time::SystemTime`] names; times before 1970 become zero.
    pub fn from_system(time: std::time::SystemTime) -> Self {
        let nanos = time
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos());
        Self(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Nanoseconds within the second, 0 to 999,999,999.
    pub fn subsec_nanos(self) -> u32 {
        u32::try_from(self.0.rem_euclid(1_000_000_000)).unwrap_or(0)
    }

    /// RFC 3339 with nanoseconds in UTC, trailing zeros cut as Go's `RFC3339Nano` does; the zero time is Go's
    /// `0001-01-01T00:00:00Z`, which every Docker client knows as "never".
    pub fn rfc3339(self) -> String {
        if self.0 == 0 {
            return "0001-01-01T00:00:00Z".to_owned();
        }
        let (year, month, day) = civil(self.seconds().div_euclid(86_400));
        let second = self.seconds().rem_euclid(86_400);
        let mut out = format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        );
        let nanos = self.subsec_nanos();
        if nanos != 0 {
            let digits = format!("{nanos:09}");
            out.push('.');
            out.push_str(digits.trim_end_matches('0'));
        }
        out.push('Z');
        out
    }
}

/// Days since 1970-01-01 to (year, month, day) of the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn writes_rfc3339_as_go_does() {
        assert_eq!(Timestamp(0).rfc3339(), "0001-01-01T00:00:00Z");
        assert_eq!(
            Timestamp(1_709_210_096_000_000_000).rfc3339(),
            "2024-02-29T12:34:56Z"
        );
        assert_eq!(
            Timestamp(1_709_210_096_120_000_000).rfc3339(),
            "2024-02-29T12:34:56.12Z"
        );
        assert_eq!(Timestamp(-1).rfc3339(), "1969-12-31T23:59:59.999999999Z");
    }
}
