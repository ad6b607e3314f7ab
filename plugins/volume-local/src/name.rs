//! Which names a volume may have. Clients show these sentences to people who know Docker's.

use gantry_sdk::{Error, Result};

/// Longest file name Linux takes (`NAME_MAX`), in bytes.
const MAX: usize = 255;

/// `NAME_MAX` of Linux: a volume is a folder.
const LONGEST: usize = 255;

/// Refuses a name that is no plain file name of letters, digits and `_.-`.
///
/// # Errors
/// `InvalidArgument`, in the words Docker's users know.
pub(crate) fn check(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::invalid(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    if name.len() > MAX {
        let len = name.len();
        return Err(Error::invalid(format!(
            "volume name of {len} bytes is too long, at most {MAX} make a file name"
        )));
    }
    if name.len() > LONGEST {
        let what = format!(
            "volume name of {} bytes is too long, {LONGEST} are allowed",
            name.len()
        );
        return Err(Error::invalid(what));
    }
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if first && rest {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_stay_beneath_the_root() {
        for good in ["ab", "a.b-c_d", "0123456789abcdef", "data.v1"] {
            check(good).unwrap();
        }
        for bad in [
            "", "a", ".", "..", ".hidden", "a/b", "../x", "a b", "-a", "ä1", "a\0",
        ] {
            check(bad).unwrap_err();
        }
        check(&"x".repeat(256)).unwrap_err();
        check(&"x".repeat(256)).unwrap_err();
        let error = check("a/b").unwrap_err();
        assert!(error.message.contains("use absolute path"), "{error}");
    }
}
