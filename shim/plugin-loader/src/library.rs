//! An opened library: `dlopen`, the entry function, the checks before anything else of it runs. Never unloaded.

use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::offset_of;
use std::path::PathBuf;

use gantry_abi::{
    ABI_MAJOR, CallFn, CloseFn, ENTRY_SYMBOL, EntryFn, InitFn, Plugin, ReleaseFn, TableFn,
    functions_of, kinds,
};
use libloading::os::unix::{Library as Dl, RTLD_LOCAL, RTLD_NOW};

use crate::elf::Identity;
use crate::find::Copied;
use crate::{LoadError, Result};

/// Most capabilities a plugin may name.
const MAX_CAPABILITIES: usize = 64;

/// A library in this process. Cheap to clone; what it points to lives as long as the process.
#[derive(Clone, Debug)]
pub struct Library {
    /// Where it was found.
    pub path: PathBuf,
    /// The copy that is mapped.
    pub loaded_from: PathBuf,
    /// Digest of that copy, in hex.
    pub sha256: String,
    /// What its note says, and its table too.
    pub identity: Identity,
    /// The plugin's own version.
    pub version: String,
    /// What it says it can do besides the functions of its kind.
    pub capabilities: Vec<String>,
    pub(crate) entry: Entry,
}

/// The functions of the plugin's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) init: InitFn,
    pub(crate) table: TableFn,
    pub(crate) release: ReleaseFn,
    pub(crate) close: CloseFn,
    pub(crate) quiesce: Option<CallFn>,
}

impl Copied {
    /// Opens the copy. Runs its constructors and its entry function.
    ///
    /// # Errors
    /// When it cannot be opened, symbols are missing, or what the library says of itself does not fit its note or the
    /// interface.
    pub fn open(self) -> Result<Library> {
        // SAFETY: runs the library's constructors. Its owner, its folder and its note have been checked; more cannot
        // be known of foreign code before it runs.
        let opened = unsafe { Dl::open(Some(&self.loaded_from), RTLD_NOW | RTLD_LOCAL) };
        let refused = |error: libloading::Error| LoadError::Open {
            path: self.path.clone(),
            why: error.to_string(),
        };
        let library = opened.map_err(refused)?;
        // SAFETY: the note says that this library follows the interface, whose entry function has this type.
        let entry = unsafe { library.get::<EntryFn>(ENTRY_SYMBOL) }.map(|symbol| *symbol);
        // Never unloaded: its threads, its thread locals and pointers to it may be anywhere.
        std::mem::forget(library);
        let entry = entry.map_err(|_| self.broken(format!("no symbol {ENTRY_SYMBOL}")))?;
        // SAFETY: as above; the table is static.
        let plugin = unsafe { entry().as_ref() }
            .ok_or_else(|| self.broken("the entry function answers null"))?;
        // SAFETY: `plugin` is the table which that library answered.
        let (version, capabilities, entry) = unsafe { self.read(plugin) }?;
        Ok(Library {
            path: self.path,
            loaded_from: self.loaded_from,
            sha256: self.sha256,
            identity: self.identity,
            version,
            capabilities,
            entry,
        })
    }

    fn broken(&self, why: impl Into<String>) -> LoadError {
        LoadError::Broken {
            path: self.path.clone(),
            why: why.into(),
        }
    }

    /// # Safety
    /// `plugin` points to a table of `plugin.size` bytes that follows the interface.
    unsafe fn read(&self, plugin: &Plugin) -> Result<(String, Vec<String>, Entry)> {
        // 0.0 ended before `quiesce`; everything before it is there in every version of this major one.
        if plugin.size < offset_of!(Plugin, quiesce) as u64 {
            return Err(self.broken(format!("its table has only {} bytes", plugin.size)));
        }
        if plugin.abi_major != ABI_MAJOR {
            let (found, wanted) = (plugin.abi_major, ABI_MAJOR);
            return Err(LoadError::WrongMajor {
                path: self.path.clone(),
                found,
                wanted,
            });
        }
        // SAFETY: static strings of the table.
        let (kind, name, version) =
            unsafe { (text(plugin.kind), text(plugin.name), text(plugin.version)) };
        if kind != self.identity.kind || name != self.identity.name {
            let note = format!("{}/{}", self.identity.kind, self.identity.name);
            return Err(self.broken(format!("its note says {note}, its table {kind}/{name}")));
        }
        if !kinds().contains(&kind.as_str()) {
            return Err(self.broken(format!("unknown kind {kind}")));
        }
        // SAFETY: a list of static strings, ended by null.
        let capabilities = unsafe { list(plugin.capabilities) };
        let has_quiesce = plugin.size >= (offset_of!(Plugin, quiesce) + size_of::<usize>()) as u64;
        let quiesce = if has_quiesce { plugin.quiesce } else { None };
        let (Some(init), Some(table), Some(release), Some(close)) =
            (plugin.init, plugin.table, plugin.release, plugin.close)
        else {
            return Err(self.broken("its table lacks init, table, release or close"));
        };
        Ok((
            version,
            capabilities,
            Entry {
                init,
                table,
                release,
                close,
                quiesce,
            },
        ))
    }
}

impl Library {
    /// The function of a table or extension, or none when this plugin does not have it.
    pub(crate) fn function(&self, table: &str, function: &str) -> Option<CallFn> {
        let index = functions_of(table)?
            .iter()
            .position(|name| *name == function)?;
        let name = CString::new(table).ok()?;
        // SAFETY: `table` follows the interface: a static table that begins with its size, or null.
        unsafe {
            let found: *const c_void = (self.entry.table)(name.as_ptr());
            let size = found.cast::<u64>().as_ref()?;
            let end = (index + 2) * size_of::<usize>();
            if *size < end as u64 {
                return None;
            }
            // Every entry after the size is one function pointer or null.
            *found.cast::<Option<CallFn>>().add(index + 1)
        }
    }
}

/// # Safety
/// `pointer` is null or a C string.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}

/// # Safety
/// `pointer` is null or a list of C strings ended by null.
unsafe fn list(pointer: *const *const c_char) -> Vec<String> {
    let mut names = Vec::new();
    if pointer.is_null() {
        return names;
    }
    for at in 0..MAX_CAPABILITIES {
        // SAFETY: not beyond the closing null, which was not met yet.
        let name = unsafe { *pointer.add(at) };
        if name.is_null() {
            break;
        }
        // SAFETY: by the caller's promise.
        names.push(unsafe { text(name) });
    }
    names
}
