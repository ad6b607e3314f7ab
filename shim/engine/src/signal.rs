//! Signal names as users write them.

use gantry_model::{Error, Result};

pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;

/// Linux on x86-64 and arm64, signal(7).
const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// `SIGTERM`, `term`, `15`, `RTMIN+3`.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn parse(text: &str) -> Result<i32> {
    let unknown = || Error::invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset = |digits: &str| digits.parse::<i32>().ok().filter(|n| (0..=30).contains(n));
    match (
        name,
        name.strip_prefix("RTMIN+"),
        name.strip_prefix("RTMAX-"),
    ) {
        ("RTMIN", ..) => Ok(34),
        ("RTMAX", ..) => Ok(64),
        (_, Some(digits), _) => offset(digits).map(|n| 34 + n).ok_or_else(unknown),
        (_, _, Some(digits)) => offset(digits).map(|n| 64 - n).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn knows_how_people_write_signals() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("RTMIN+3", 37),
            ("sigrtmax-1", 63),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for bad in ["", "0", "65", "-1", "SIGNOPE", "RTMIN+31", "RTMIN+x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
