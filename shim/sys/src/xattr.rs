//! Extended attributes of open files and of names in an open directory (xattr(7)). Never follows the last link.
#![allow(unsafe_code)] // nix wraps none of these calls

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Largest list of names or value the kernel gives (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MAX: usize = 65_536;

/// Sets an attribute of an open file or directory (not of an `O_PATH` descriptor).
///
/// # Errors
/// The errno of fsetxattr(2).
pub fn set<F: AsFd>(fd: F, name: &CStr, value: &[u8]) -> nix::Result<()> {
    // SAFETY: name is a C string, value is readable for its length, the kernel keeps neither.
    let res = unsafe {
        libc::fsetxattr(
            fd.as_fd().as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    Errno::result(res).map(drop)
}

/// Sets an attribute of the entry `entry` of an open directory, of the link itself if it is a symlink.
///
/// # Errors
/// The errno of lsetxattr(2). Needs /proc, since setxattrat(2) came only with Linux 6.13.
pub fn set_at<F: AsFd>(dir: F, entry: &CStr, name: &CStr, value: &[u8]) -> nix::Result<()> {
    let path = proc_path(dir, entry)?;
    // SAFETY: path and name are C strings, value is readable for its length, the kernel keeps none of them.
    let res = unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    Errno::result(res).map(drop)
}

/// Names of the attributes of an open file or directory.
///
/// # Errors
/// The errno of flistxattr(2).
pub fn list<F: AsFd>(fd: F) -> nix::Result<Vec<CString>> {
    let raw = fd.as_fd().as_raw_fd();
    fill(|buf| {
        // SAFETY: buf is writable for its length.
        unsafe { libc::flistxattr(raw, buf.as_mut_ptr().cast(), buf.len()) }
    })
    .map(|names| split(&names))
}

/// Names of the attributes of an entry of an open directory, of the link itself if it is a symlink.
///
/// # Errors
/// The errno of llistxattr(2).
pub fn list_at<F: AsFd>(dir: F, entry: &CStr) -> nix::Result<Vec<CString>> {
    let path = proc_path(dir, entry)?;
    fill(|buf| {
        // SAFETY: path is a C string and buf is writable for its length.
        unsafe { libc::llistxattr(path.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) }
    })
    .map(|names| split(&names))
}

/// Value of an attribute of an open file or directory.
///
/// # Errors
/// The errno of fgetxattr(2); ENODATA if it has none of that name.
pub fn get<F: AsFd>(fd: F, name: &CStr) -> nix::Result<Vec<u8>> {
    let raw = fd.as_fd().as_raw_fd();
    fill(|buf| {
        // SAFETY: name is a C string and buf is writable for its length.
        unsafe { libc::fgetxattr(raw, name.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) }
    })
}

/// Value of an attribute of an entry of an open directory, of the link itself if it is a symlink.
///
/// # Errors
/// The errno of lgetxattr(2).
pub fn get_at<F: AsFd>(dir: F, entry: &CStr, name: &CStr) -> nix::Result<Vec<u8>> {
    let path = proc_path(dir, entry)?;
    fill(|buf| {
        // SAFETY: path and name are C strings and buf is writable for its length.
        unsafe {
            libc::lgetxattr(
                path.as_ptr(),
                name.as_ptr(),
                buf.as_mut_ptr().cast(),
                buf.len(),
            )
        }
    })
}

fn proc_path<F: AsFd>(dir: F, entry: &CStr) -> nix::Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(entry.to_bytes());
    CString::new(path).map_err(|_| Errno::EINVAL)
}

fn fill(mut call: impl FnMut(&mut [u8]) -> libc::ssize_t) -> nix::Result<Vec<u8>> {
    // Most files have none: ask with a small buffer first.
    let mut buf = vec![0; 512];
    loop {
        match Errno::result(call(&mut buf)) {
            Ok(len) => {
                buf.truncate(usize::try_from(len).expect("Errno::result took the negative ones"));
                return Ok(buf);
            }
            Err(Errno::ERANGE) if buf.len() < MAX => buf.resize(MAX, 0),
            Err(e) => return Err(e),
        }
    }
}

fn split(names: &[u8]) -> Vec<CString> {
    names
        .split(|b| *b == 0)
        .filter(|n| !n.is_empty())
        .filter_map(|n| CString::new(n).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_listed_and_read() {
        let path = std::env::temp_dir().join(format!("gantry-xattr-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        match set(&file, c"user.gantry", b"value") {
            Ok(()) => {
                assert!(list(&file).unwrap().contains(&c"user.gantry".to_owned()));
                assert_eq!(get(&file, c"user.gantry").unwrap(), b"value");
                let dir = std::fs::File::open(path.parent().unwrap()).unwrap();
                let entry = CString::new(path.file_name().unwrap().as_encoded_bytes()).unwrap();
                assert_eq!(get_at(&dir, &entry, c"user.gantry").unwrap(), b"value");
                set_at(&dir, &entry, c"user.gantry", &[7; 4000]).unwrap();
                assert_eq!(get(&file, c"user.gantry").unwrap().len(), 4000);
                assert_eq!(get(&file, c"user.none").unwrap_err(), Errno::ENODATA);
            }
            // Some temporary file systems have no user attributes; then the call must say just that.
            Err(e) => assert_eq!(e, Errno::EOPNOTSUPP),
        }
        std::fs::remove_file(path).unwrap();
    }
}
