//! Where `gantry events` begins: a sequence number, a moment, or so-and-so long ago.

use gantry_model::Timestamp;

use crate::duration;

/// A beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// After this sequence number.
    Sequence(u64),
    /// After this moment, in nanoseconds since 1970.
    Moment(i64),
    /// After the moment so many nanoseconds ago.
    Ago(i64),
}

/// Reads `1234`, `10m` or `2026-02-28T12:00:00Z`.
///
/// # Errors
/// A text for the command line.
pub(crate) fn parse(text: &str) -> Result<Since, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(Since::Sequence(sequence));
    }
    if let Ok(ago) = duration::parse(text) {
        return Ok(Since::Ago(
            i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX),
        ));
    }
    moment(text).map(Since::Moment).ok_or_else(|| {
        format!(
            "{text:?} is no beginning; write a sequence number (1234), a length of time (10m) or a moment in UTC \
             (2026-02-28T12:00:00Z)"
        )
    })
}

/// A moment as [`Timestamp::rfc3339`] writes it, in UTC; a fraction of a second may be there.
fn moment(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && (1970..2262).contains(&year)
        && fraction.len() <= 9
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !fits {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let moment = Timestamp(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?);
    // The 31st of a short month is no day: it would be written as another one.
    moment
        .rfc3339()
        .starts_with(&text[..10])
        .then_some(moment.0)
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar: years begin in March, so that the leap day is
/// their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{Since, parse};

    #[test]
    fn numbers_lengths_and_moments_are_told_apart() {
        assert_eq!(parse("17"), Ok(Since::Sequence(17)));
        assert_eq!(parse("2m"), Ok(Since::Ago(120_000_000_000)));
        assert_eq!(
            parse("2024-02-29T12:34:56Z"),
            Ok(Since::Moment(1_709_210_096_000_000_000))
        );
        assert_eq!(
            parse("1970-01-01T00:00:01.5Z"),
            Ok(Since::Moment(1_500_000_000))
        );
        for wrong in [
            "soon",
            "-1",
            "2024-02-30T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-02-29",
            "2024-02-29T12:34:56+01:00",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
