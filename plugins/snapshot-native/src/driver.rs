//! The calls of the host, answered from the store.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gantry_sdk::snapshot::{
    CleanupAnswer, CleanupRequest, CommitAnswer, CommitRequest, Info, Kind, ListAnswer,
    ListRequest, MountsAnswer, MountsRequest, PrepareRequest, RemoveRequest, StatRequest,
    UsageRequest, ViewRequest,
};
use gantry_sdk::{
    Call, Driver, Empty, Error, ErrorCode, Host, InitRequest, Labels, Level, MountSpec, Result,
    Snapshotter, Usage,
};
use gantry_snapshot_store::{Record, Store};
use gantry_sys::Errno;
use gantry_sys::tree;

/// The driver.
pub(crate) struct Native {
    store: Store,
}

impl Native {
    pub(crate) fn at(root: &Path) -> Result<(Self, Vec<String>)> {
        let (store, said) = Store::open(root)?;
        Ok((Self { store }, said))
    }

    fn content(&self, record: &Record) -> PathBuf {
        self.store.folder(record).join("fs")
    }

    pub(crate) fn make(
        &self,
        kind: Kind,
        key: &str,
        parent: Option<&str>,
        labels: Labels,
        cancelled: impl Fn() -> bool,
    ) -> Result<MountsAnswer> {
        let record = self
            .store
            .make(kind, key, parent, labels, |folder, parent| {
                // A view is never written to: its parent's own tree, mounted read-only, does.
                if kind == Kind::View && parent.is_some() {
                    return Ok(());
                }
                let own = folder.join("fs");
                make_folder(&own)?;
                let Some(parent) = parent else { return Ok(()) };
                tree::copy(&self.content(parent), &own, cancelled)
                    .map(drop)
                    .map_err(|e| failed(&format!("copy snapshot {}", parent.key), e))
            })?;
        self.describe(&record)
    }

    pub(crate) fn describe(&self, record: &Record) -> Result<MountsAnswer> {
        let source = match (record.kind, &record.parent) {
            (Kind::Committed, _) => {
                let what = format!(
                    "snapshot {} is committed: nobody mounts it itself",
                    record.key
                );
                return Err(Error::new(ErrorCode::FailedPrecondition, what));
            }
            (Kind::View, Some(parent)) => {
                let parent = self.store.get(parent).map_err(|_| {
                    let what = format!("snapshot {parent} beneath {} is missing", record.key);
                    Error::new(ErrorCode::DataLoss, what)
                })?;
                self.content(&parent)
            }
            _ => self.content(record),
        };
        let text = source
            .to_str()
            .ok_or_else(|| Error::internal(format!("path {} is not UTF-8", source.display())))?;
        Ok(MountsAnswer {
            mounts: vec![MountSpec::bind(text, record.kind == Kind::View)],
            state: None,
        })
    }

    pub(crate) fn space(&self, key: &str, cancelled: impl Fn() -> bool) -> Result<Usage> {
        let record = self.store.get(key)?;
        if record.kind == Kind::View && record.parent.is_some() {
            return Ok(Usage::default());
        }
        let own = self.content(&record);
        let space = tree::space(&own, cancelled)
            .map_err(|e| failed(&format!("count space of snapshot {key}"), e))?;
        Ok(Usage {
            bytes: space.bytes,
            inodes: space.inodes,
        })
    }
}

fn failed(what: &str, error: gantry_sys::Error) -> Error {
    if error.errno() == Errno::ECANCELED {
        return Error::new(ErrorCode::Cancelled, format!("{what}: cancelled"));
    }
    Error::io(what, &error.into())
}

fn make_folder(path: &Path) -> Result<()> {
    let failed = |error: io::Error| Error::io(format!("make folder {}", path.display()), &error);
    DirBuilder::new().mode(0o755).create(path).map_err(failed)?;
    // The umask is the process's, not ours.
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(failed)
}

impl Driver for Native {
    fn open(host: Host, init: InitRequest) -> Result<Self> {
        if let Some(key) = init.config.keys().next() {
            return Err(Error::invalid(format!("native has no setting {key}")));
        }
        let (driver, said) = Self::at(Path::new(&init.root))?;
        for line in said {
            host.log(Level::Warn, &line);
        }
        Ok(driver)
    }
}

impl Snapshotter for Native {
    fn prepare(&self, call: &Call<'_>, r: PrepareRequest) -> Result<MountsAnswer> {
        let parent = r.parent.as_deref();
        self.make(Kind::Active, &r.key, parent, r.labels, || call.cancelled())
    }

    fn view(&self, call: &Call<'_>, r: ViewRequest) -> Result<MountsAnswer> {
        let parent = r.parent.as_deref();
        self.make(Kind::View, &r.key, parent, r.labels, || call.cancelled())
    }

    fn commit(&self, _: &Call<'_>, r: CommitRequest) -> Result<CommitAnswer> {
        self.store.commit(&r.key, &r.name, r.labels)?;
        Ok(CommitAnswer::default())
    }

    fn mounts(&self, _: &Call<'_>, r: MountsRequest) -> Result<MountsAnswer> {
        self.describe(&self.store.get(&r.key)?)
    }

    fn remove(&self, _: &Call<'_>, r: RemoveRequest) -> Result<Empty> {
        self.store.remove(&r.key)?;
        Ok(Empty {})
    }

    fn stat(&self, _: &Call<'_>, r: StatRequest) -> Result<Info> {
        Ok(self.store.get(&r.key)?.info())
    }

    fn list(&self, _: &Call<'_>, _: ListRequest) -> Result<ListAnswer> {
        let snapshots = self.store.list().iter().map(Record::info).collect();
        Ok(ListAnswer { snapshots })
    }

    fn usage(&self, call: &Call<'_>, r: UsageRequest) -> Result<Usage> {
        self.space(&r.key, || call.cancelled())
    }

    fn cleanup(&self, _: &Call<'_>, _: CleanupRequest) -> Result<CleanupAnswer> {
        let removed = self.store.cleanup()?;
        Ok(CleanupAnswer { removed })
    }
}

#[cfg(test)]
mod tests;
