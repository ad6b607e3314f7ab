//! The calls of the host, answered from the shelf.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gantry_sdk::volume::{
    CreateAnswer, CreateRequest, InspectRequest, ListAnswer, ListRequest, MountAnswer,
    MountRequest, RemoveRequest, UnmountAnswer, UnmountRequest, UsageRequest, VolumeInfo,
};
use gantry_sdk::{
    Call, Driver, Empty, Error, Host, InitRequest, Labels, MountSpec, Result, State, Usage, Volume,
};

use crate::shelf::{Record, Shelf};
use crate::{name, options};

/// The driver.
pub(crate) struct Local {
    shelf: Shelf,
    /// Who uses which volume, of this process's time only: the host knows it durably.
    users: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Local {
    pub(crate) fn at(root: &str) -> Self {
        Self {
            shelf: Shelf::new(root),
            users: Mutex::default(),
        }
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        // One insert or remove at a time: a panic elsewhere leaves it whole.
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> Result<String> {
        let path = self.shelf.data(name);
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Error::internal(format!("path {} is not UTF-8", path.display())))
    }

    fn record(&self, name: &str) -> Result<Record> {
        name::check(name)?;
        let record = self.shelf.read(name)?;
        record.ok_or_else(|| Error::not_found(format!("volume {name} does not exist")))
    }

    pub(crate) fn make(&self, name: &str, wanted: &Labels, labels: &Labels) -> Result<String> {
        name::check(name)?;
        options::check(wanted)?;
        match self.shelf.read(name)? {
            None => self.shelf.make(name, wanted, labels)?,
            Some(there) if there.options == *wanted => {}
            Some(_) => {
                let what = format!("volume {name} exists already with other options");
                return Err(Error::exists(what));
            }
        }
        self.path(name)
    }

    /// What stays of its data for now is answered in words.
    pub(crate) fn remove_all(&self, name: &str) -> Result<Option<String>> {
        if name::check(name).is_err() {
            // None is called like that. The host clears away what was refused, and an error would keep it at that.
            return Ok(None);
        }
        // Held until the name is free, so that no mount comes in between.
        let users = self.users();
        if let Some(user) = users.get(name).and_then(BTreeSet::first) {
            return Err(Error::in_use(format!("volume {name} is in use by {user}")));
        }
        self.shelf.remove(name)
    }

    pub(crate) fn describe(&self, name: &str, user: &str, read_only: bool) -> Result<MountSpec> {
        let mut users = self.users();
        let record = self.record(name)?;
        let data = self.path(name)?;
        let mount = match options::mount(&record.options, read_only) {
            Some(mount) => mount,
            None => {
                // Somebody may have tidied up by hand: say it here rather than at the mount.
                fs::metadata(&data).map_err(|e| Error::io(format!("look at {data}"), &e))?;
                MountSpec::bind(data, read_only)
            }
        };
        let all = users.entry(name.to_owned()).or_default();
        all.insert(user.to_owned());
        Ok(mount)
    }

    pub(crate) fn let_go(&self, name: &str, user: &str) {
        let mut users = self.users();
        if let Some(all) = users.get_mut(name) {
            all.remove(user);
            if all.is_empty() {
                users.remove(name);
            }
        }
    }

    fn info(&self, name: &str) -> Result<VolumeInfo> {
        Ok(VolumeInfo {
            name: name.to_owned(),
            mountpoint: Some(self.path(name)?),
            status: Labels::new(),
        })
    }
}

impl Driver for Local {
    fn open(host: Host, init: InitRequest) -> Result<Self> {
        if let Some(key) = init.config.keys().next() {
            return Err(Error::invalid(format!("local has no setting {key}")));
        }
        let driver = Self::at(&init.root);
        if let Err(error) = driver.shelf.sweep() {
            host.log(gantry_sdk::Level::Warn, &error.message);
        }
        Ok(driver)
    }
}

impl Volume for Local {
    fn create(&self, _: &Call<'_>, r: CreateRequest) -> Result<CreateAnswer> {
        let mountpoint = self.make(&r.name, &r.options, &r.labels)?;
        Ok(CreateAnswer {
            state: State {
                schema: 1,
                ..State::default()
            },
            mountpoint: Some(mountpoint),
        })
    }

    fn remove(&self, call: &Call<'_>, r: RemoveRequest) -> Result<Empty> {
        if let Some(left) = self.remove_all(&r.name)? {
            call.log(gantry_sdk::Level::Warn, &left);
        }
        Ok(Empty {})
    }

    fn mount(&self, _: &Call<'_>, r: MountRequest) -> Result<MountAnswer> {
        let mount = self.describe(&r.name, &r.target, r.read_only)?;
        Ok(MountAnswer { mount, state: None })
    }

    fn unmount(&self, _: &Call<'_>, r: UnmountRequest) -> Result<UnmountAnswer> {
        self.let_go(&r.name, &r.target);
        Ok(UnmountAnswer::default())
    }

    fn inspect(&self, _: &Call<'_>, r: InspectRequest) -> Result<VolumeInfo> {
        self.record(&r.name)?;
        self.info(&r.name)
    }

    fn list(&self, _: &Call<'_>, _: ListRequest) -> Result<ListAnswer> {
        let names = self.shelf.names()?;
        let volumes = names
            .iter()
            .map(|name| self.info(name))
            .collect::<Result<_>>()?;
        Ok(ListAnswer { volumes })
    }

    fn usage(&self, call: &Call<'_>, r: UsageRequest) -> Result<Usage> {
        self.record(&r.name)?;
        let path = self.path(&r.name)?;
        let space = gantry_sys::tree::space(Path::new(&path), || call.cancelled())
            .map_err(|e| Error::io(format!("count space of volume {}", r.name), &e.into()))?;
        Ok(Usage {
            bytes: space.bytes,
            inodes: space.inodes,
        })
    }
}

#[cfg(test)]
mod tests;
