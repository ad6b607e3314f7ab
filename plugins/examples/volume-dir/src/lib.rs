//! The smallest volume plugin in Rust: a volume is a folder beneath the driver's root. `../volume-dir.c` is the same in C.
//!
//! Not for use: no quota, no size, and a volume that is still mounted is removed all the same.

use std::fs;
use std::io;
use std::path::PathBuf;

use gantry_sdk::volume::{
    CreateAnswer, CreateRequest, InspectRequest, ListAnswer, ListRequest, MountAnswer,
    MountRequest, RemoveRequest, UnmountAnswer, UnmountRequest, UsageRequest, VolumeInfo,
};
use gantry_sdk::{
    Call, Driver, Empty, Error, Host, InitRequest, MountSpec, Result, State, Usage, Volume,
};

gantry_sdk::export_plugin! { kind: volume, name: "dir", driver: Dir }

struct Dir {
    root: PathBuf,
}

impl Dir {
    /// Names come from users: nothing in one may lead out of the root.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 255 || name.starts_with('.') || !name.bytes().all(good) {
            return Err(Error::invalid(format!(
                "volume name {name:.40?} is not letters, digits, `_`, `.` and `-`"
            )));
        }
        Ok(self.root.join(name))
    }

    fn existing(&self, name: &str) -> Result<VolumeInfo> {
        let folder = self.folder(name)?;
        fs::metadata(&folder).map_err(|error| Error::io(format!("find volume {name}"), &error))?;
        let mountpoint = Some(folder.to_string_lossy().into_owned());
        Ok(VolumeInfo {
            name: name.to_owned(),
            mountpoint,
            ..VolumeInfo::default()
        })
    }
}

impl Driver for Dir {
    fn open(_host: Host, init: InitRequest) -> Result<Self> {
        Ok(Self {
            root: init.root.into(),
        })
    }
}

impl Volume for Dir {
    fn create(&self, _call: &Call<'_>, request: CreateRequest) -> Result<CreateAnswer> {
        if let Some(option) = request.options.keys().next() {
            return Err(Error::invalid(format!(
                "create volume {}: unknown option {option:?}",
                request.name
            )));
        }
        let folder = self.folder(&request.name)?;
        match fs::create_dir(&folder) {
            Ok(()) => {}
            // Every change is idempotent: done before is done.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(format!("create volume {}", request.name), &error)),
        }
        Ok(CreateAnswer {
            state: State::default(),
            mountpoint: Some(folder.to_string_lossy().into_owned()),
        })
    }

    fn remove(&self, _call: &Call<'_>, request: RemoveRequest) -> Result<Empty> {
        match fs::remove_dir_all(self.folder(&request.name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // Some of the data may be gone, some not.
                Err(Error::io(format!("remove volume {}", request.name), &error).unknown())
            }
            _ => Ok(Empty {}),
        }
    }

    fn mount(&self, _call: &Call<'_>, request: MountRequest) -> Result<MountAnswer> {
        let source = self.existing(&request.name)?.mountpoint.unwrap_or_default();
        Ok(MountAnswer {
            mount: MountSpec::bind(source, request.read_only),
            state: None,
        })
    }

    fn unmount(&self, _call: &Call<'_>, _request: UnmountRequest) -> Result<UnmountAnswer> {
        Ok(UnmountAnswer { state: None })
    }

    fn inspect(&self, _call: &Call<'_>, request: InspectRequest) -> Result<VolumeInfo> {
        self.existing(&request.name)
    }

    fn list(&self, _call: &Call<'_>, _request: ListRequest) -> Result<ListAnswer> {
        let failed = |error| Error::io("list volumes", &error);
        let mut volumes = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            volumes.extend(self.existing(&name.to_string_lossy()));
        }
        Ok(ListAnswer { volumes })
    }

    fn usage(&self, _call: &Call<'_>, request: UsageRequest) -> Result<Usage> {
        Err(Error::unimplemented(format!(
            "usage of volume {}",
            request.name
        )))
    }
}
