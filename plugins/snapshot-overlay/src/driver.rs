//! The calls of the host, answered from the store and the layers.

use std::path::Path;

use gantry_sdk::snapshot::{
    CleanupAnswer, CleanupRequest, CommitAnswer, CommitRequest, DiffAnswer, DiffRequest, Info,
    Kind, ListAnswer, ListRequest, MountsAnswer, MountsRequest, PrepareRequest, RemoveRequest,
    StatRequest, UsageRequest, ViewRequest,
};
use gantry_sdk::{
    Call, Driver, Empty, Error, ErrorCode, Host, InitRequest, Labels, Level, Result, Snapshotter,
    Usage,
};
use gantry_snapshot_store::{Record, Store};

use crate::layers::{self, text};
use crate::probe;

/// The driver: a store and the options that this kernel's overlayfs wants said.
pub(crate) struct Overlay {
    store: Store,
    options: Vec<String>,
}

impl Overlay {
    /// # Errors
    /// When the root cannot be used as a store.
    pub(crate) fn at(root: &Path, options: Vec<String>) -> Result<(Self, Vec<String>)> {
        let (store, said) = Store::open(root)?;
        Ok((Self { store, options }, said))
    }

    pub(crate) fn make(
        &self,
        kind: Kind,
        key: &str,
        parent: Option<&str>,
        labels: Labels,
    ) -> Result<MountsAnswer> {
        let record = self
            .store
            .make(kind, key, parent, labels, |folder, parent| {
                let parent = parent.map(|record| self.store.folder(record));
                layers::fill(folder, kind, parent.as_deref())
            })?;
        self.describe(&record)
    }

    pub(crate) fn describe(&self, record: &Record) -> Result<MountsAnswer> {
        if record.kind == Kind::Committed {
            let what = format!(
                "snapshot {} is committed: nobody mounts it itself",
                record.key
            );
            return Err(Error::new(ErrorCode::FailedPrecondition, what));
        }
        let ancestors = self.store.ancestors(record)?;
        let lower: Result<Vec<String>> = ancestors
            .iter()
            .map(|a| text(&layers::content(&self.store.folder(a))))
            .collect();
        let own = self.store.folder(record);
        let mount = layers::mount(record.kind, &own, lower?, &self.options)?;
        Ok(MountsAnswer {
            mounts: vec![mount],
            state: None,
        })
    }

    pub(crate) fn commit_as(&self, key: &str, name: &str, labels: Labels) -> Result<()> {
        let record = self.store.commit(key, name, labels)?;
        // Nobody mounts it any more: what overlayfs left there is of no use.
        layers::drop_work(&self.store.folder(&record))
    }

    fn space(&self, key: &str, cancelled: impl Fn() -> bool) -> Result<Usage> {
        let folder = self.store.folder(&self.store.get(key)?);
        let space = gantry_sys::tree::space(&layers::content(&folder), cancelled)
            .map_err(|e| Error::io(format!("count space of snapshot {key}"), &e.into()))?;
        Ok(Usage {
            bytes: space.bytes,
            inodes: space.inodes,
        })
    }
}

impl Driver for Overlay {
    fn open(host: Host, init: InitRequest) -> Result<Self> {
        let root = Path::new(&init.root);
        if let Some(key) = init.config.keys().next() {
            return Err(Error::invalid(format!("overlay has no setting {key}")));
        }
        if let probe::Found::Unknown(why) = probe::probe(root)? {
            host.log(Level::Warn, &format!("overlay was not probed: {why}"));
        }
        let (driver, said) = Self::at(root, probe::options())?;
        for line in said {
            host.log(Level::Warn, &line);
        }
        Ok(driver)
    }
}

impl Snapshotter for Overlay {
    fn prepare(&self, _: &Call<'_>, r: PrepareRequest) -> Result<MountsAnswer> {
        self.make(Kind::Active, &r.key, r.parent.as_deref(), r.labels)
    }

    fn view(&self, _: &Call<'_>, r: ViewRequest) -> Result<MountsAnswer> {
        self.make(Kind::View, &r.key, r.parent.as_deref(), r.labels)
    }

    fn commit(&self, _: &Call<'_>, r: CommitRequest) -> Result<CommitAnswer> {
        self.commit_as(&r.key, &r.name, r.labels)?;
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

    fn diff(&self, _: &Call<'_>, r: DiffRequest) -> Result<DiffAnswer> {
        let folder = self.store.folder(&self.store.get(&r.key)?);
        let path = text(&layers::content(&folder))?;
        Ok(DiffAnswer { path })
    }
}

#[cfg(test)]
mod tests;
