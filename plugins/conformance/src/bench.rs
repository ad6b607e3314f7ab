//! Where a driver is tried: its library, an empty root, and calls that check the outcome.

use std::cell::RefCell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use gantry_abi::schema::{InitRequest, InstanceInfo, Request, encode};
use gantry_abi::{ErrorCode, Outcome};
use gantry_plugin_loader::{
    Descriptor, Found, HostServices, Instance, Invocation, Level, Library, Reply, Trust,
    monotonic_ms,
};

/// Longest a call of a suite may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A library and a root.
pub struct Bench {
    library: Library,
    /// Removed with the last bench on it.
    folder: Arc<tempfile::TempDir>,
    root: PathBuf,
    opened: RefCell<Option<Arc<Instance>>>,
}

struct Services;

impl HostServices for Services {
    fn log(&self, _operation: Option<&str>, _level: Level, _message: &str) {}

    fn netns_socket(
        &self,
        netns: BorrowedFd<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> io::Result<OwnedFd> {
        gantry_sys::netns_socket::open(netns, domain, kind, protocol)
            .map_err(|error| io::Error::from_raw_os_error(error.errno() as i32))
    }
}

impl Bench {
    /// Loads the library; nothing of it is opened yet.
    pub(crate) fn new(kind: &str, path: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let found = Found::at(path, Trust::Parents)?;
        let library = found.load(&folder.path().join("store"))?;
        let has = &library.identity.kind;
        ensure!(has == kind, "{} is a {has}, not a {kind}", path.display());
        let root = folder.path().join("unused");
        Ok(Self {
            library,
            folder: Arc::new(folder),
            root,
            opened: RefCell::new(None),
        })
    }

    /// The same library on an empty root.
    pub(crate) fn fresh(&self) -> Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("root")
            .tempdir_in(self.folder.path())?
            .keep();
        let (library, folder) = (self.library.clone(), Arc::clone(&self.folder));
        Ok(Self {
            library,
            folder,
            root,
            opened: RefCell::new(None),
        })
    }

    /// The driver's root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The kind of the plugin.
    pub(crate) fn kind(&self) -> &str {
        &self.library.identity.kind
    }

    /// The name this bench's drivers mark everything with.
    pub(crate) fn instance(&self) -> InstanceInfo {
        let id = std::process::id();
        InstanceInfo {
            name: format!("conf{id}"),
            id: format!("{id:016x}"),
        }
    }

    /// The open driver; opened at first use.
    pub(crate) fn driver(&self) -> Result<Arc<Instance>> {
        if let Some(instance) = self.opened.borrow().as_ref() {
            return Ok(Arc::clone(instance));
        }
        let root = self
            .root
            .to_str()
            .context("the folder's path is not UTF-8")?
            .to_owned();
        let init = InitRequest {
            instance: self.instance(),
            root,
            config: serde_json::Map::new(),
        };
        let json = serde_json::to_vec(&init)?;
        let call = Invocation {
            operation: "open",
            deadline_ms: deadline(),
            json: &json,
            ..Invocation::default()
        };
        let opened = self
            .library
            .open(Arc::new(Services), call)
            .map_err(|reply| failed("open", &reply))?;
        let opened = Arc::new(opened);
        *self.opened.borrow_mut() = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Closes the driver; the next call opens it again on the same root, as a restarted host does.
    pub(crate) fn reopen(&self) -> Result<()> {
        if let Some(instance) = self.opened.borrow_mut().take() {
            Arc::into_inner(instance)
                .context("a call is still under way")?
                .close();
        }
        self.driver().map(drop)
    }

    /// A call that must be done.
    pub(crate) fn done<R: Request>(&self, request: &R) -> Result<R::Answer> {
        self.done_with(request, Vec::new())
    }

    /// As [`Bench::done`], with descriptors.
    pub(crate) fn done_with<R: Request>(
        &self,
        request: &R,
        fds: Vec<Descriptor>,
    ) -> Result<R::Answer> {
        let reply = self.call(request, fds)?;
        if reply.outcome != Outcome::Done {
            return Err(failed(R::FUNCTION, &reply));
        }
        let json = if reply.json.is_empty() {
            b"{}".as_slice()
        } else {
            &reply.json
        };
        serde_json::from_slice(json).with_context(|| format!("read the answer of {}", R::FUNCTION))
    }

    /// A call that must not be done, for one of these reasons.
    pub(crate) fn refused<R: Request>(&self, request: &R, codes: &[ErrorCode]) -> Result<()> {
        let reply = self.call(request, Vec::new())?;
        let what = R::FUNCTION;
        match reply.outcome {
            Outcome::Done => bail!("{what} is done, and should be refused with {codes:?}"),
            Outcome::Unknown => bail!(
                "{what}: outcome unknown ({}), and should be refused",
                reply.message
            ),
            Outcome::NotDone => {
                let (code, message) = (reply.code, &reply.message);
                ensure!(
                    codes.contains(&code),
                    "{what} is refused with {code:?} ({message:.200}), not {codes:?}"
                );
                ensure!(
                    !message.is_empty(),
                    "{what} is refused with {code:?} and no message"
                );
                Ok(())
            }
        }
    }

    fn call<R: Request>(&self, request: &R, fds: Vec<Descriptor>) -> Result<Reply> {
        self.raw(R::TABLE, R::FUNCTION, &encode(request)?, fds)
    }

    /// A call with any bytes.
    pub(crate) fn raw(
        &self,
        table: &str,
        function: &str,
        json: &[u8],
        fds: Vec<Descriptor>,
    ) -> Result<Reply> {
        let call = Invocation {
            operation: "conformance",
            deadline_ms: deadline(),
            cancel: None,
            json,
            fds,
        };
        Ok(self.driver()?.call(table, function, call))
    }
}

fn deadline() -> u64 {
    monotonic_ms() + u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX / 2)
}

fn failed(what: &str, reply: &Reply) -> anyhow::Error {
    anyhow!(
        "{what}: {:?}, {}: {}",
        reply.outcome,
        reply.code.as_str(),
        reply.message
    )
}

/// What a case says when its rule holds.
pub(crate) fn kept() -> Result<crate::Verdict> {
    Ok(crate::Verdict::Kept)
}
