//! Times of log lines: nanoseconds since 1970 to RFC 3339 with nine digits, and back. No clock is read here but by
//! [`now`].

/// Nanoseconds since 1970 now.
pub fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

/// `2006-01-02T15:04:05.000000000Z`: always nine digits, so that lines sort and have one width.
pub fn format(nanos: i64) -> [u8; 30] {
    let (seconds, fraction) = (
        nanos.div_euclid(1_000_000_000),
        nanos.rem_euclid(1_000_000_000),
    );
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let mut out = *b"0000-00-00T00:00:00.000000000Z";
    let mut put = |from: usize, to: usize, mut value: i64| {
        for place in (from..to).rev() {
            out[place] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 7, month);
    put(8, 10, day);
    put(11, 13, second / 3600);
    put(14, 16, second / 60 % 60);
    put(17, 19, second % 60);
    put(20, 29, fraction);
    out
}

/// Reads RFC 3339 with any number of digits and any offset; `None` for anything else.
pub fn parse(text: &[u8]) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.iter().try_fold(0_i64, |n, b| {
            b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0'))
        })
    };
    let at = |place: usize| text.get(place).copied();
    if (at(4), at(7), at(10), at(13), at(16))
        != (Some(b'-'), Some(b'-'), Some(b'T'), Some(b':'), Some(b':'))
    {
        return None;
    }
    let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let mut place = 19;
    let mut fraction = 0;
    if at(place) == Some(b'.') {
        place += 1;
        let mut unit = 100_000_000;
        while let Some(b @ b'0'..=b'9') = at(place) {
            fraction += i64::from(b - b'0') * unit;
            unit /= 10;
            place += 1;
        }
    }
    let offset = match at(place)? {
        b'Z' if text.len() == place + 1 => 0,
        sign @ (b'+' | b'-') if text.len() == place + 6 => {
            let seconds = number(place + 1, place + 3)? * 3600 + number(place + 4, place + 6)? * 60;
            if sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    (seconds - offset)
        .checked_mul(1_000_000_000)?
        .checked_add(fraction)
}

/// Days since 1970-01-01 to (year, month, day); years are counted from March, so that leap days come last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_back() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_709_210_096_120_000_001, "2024-02-29T12:34:56.120000001Z"),
            (1_735_689_599_999_999_999, "2024-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(format(nanos), text.as_bytes());
            assert_eq!(parse(text.as_bytes()), Some(nanos));
        }
        assert_eq!(
            parse(b"2024-02-29T14:34:56.12+02:00"),
            Some(1_709_210_096_120_000_000)
        );
        assert_eq!(
            parse(b"2024-02-29T12:34:56Z"),
            Some(1_709_210_096_000_000_000)
        );
        for bad in [
            "",
            "2024-02-29",
            "2024-02-29T12:34:56",
            "2024-02-29T12:34:56.1",
            "x024-02-29T12:34:56Z",
            "2024-02-29T12:34:56Zx",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
