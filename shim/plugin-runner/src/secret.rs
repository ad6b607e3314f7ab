//! Secrets of a plugin: one file each, in a folder of the plugin's own.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest secret.
const MAX: u64 = 1024 * 1024;

/// Reads the secret `name` from `folder`.
///
/// # Errors
/// `NotFound` when there is none; `InvalidInput` for a name other than `[A-Za-z0-9._-]`, or one that begins with a dot.
pub fn secret(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(good) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut value = Vec::new();
    File::open(folder.join(name))?
        .take(MAX + 1)
        .read_to_end(&mut value)?;
    if value.len() as u64 > MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_climb() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "x").unwrap();
        assert_eq!(secret(folder.path(), "token").unwrap(), b"x");
        assert_eq!(
            secret(folder.path(), "none").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        for bad in ["", "..", "../token", "a/b", ".x"] {
            assert_eq!(
                secret(folder.path(), bad).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{bad}"
            );
        }
    }
}
