//! Payloads of the kind `volume`.
//!
//! Names are chosen by the host or its user. Life: `create` → `mount`/`unmount` per container → `remove`. A plugin
//! mounts nothing itself: it answers a description, which a child of the host mounts in the container.

use serde::{Deserialize, Serialize};

use super::snapshot::request;
use super::{Empty, Labels, MountSpec, Request, State, Usage};

/// Makes a volume. Asked again with the same name and options, it answers the same; with other options it is
/// `AlreadyExists`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CreateRequest {
    /// The volume's name.
    pub name: String,
    /// Options of the driver; one it does not know is `InvalidArgument`.
    #[serde(default)]
    pub options: Labels,
    /// Given by the user; of no meaning to the driver.
    #[serde(default)]
    pub labels: Labels,
}

impl Request for CreateRequest {
    type Answer = CreateAnswer;
    const TABLE: &'static str = "volume";
    const FUNCTION: &'static str = "create";

    fn must_understand(&self) -> Vec<&'static str> {
        if self.options.is_empty() {
            Vec::new()
        } else {
            vec!["options"]
        }
    }
}

/// Answers [`CreateRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CreateAnswer {
    /// State of the volume.
    pub state: State,
    /// Absolute path on the host where the data can be seen at any time, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mountpoint: Option<String>,
}

/// Removes a volume with its data; one that is not there is done. `InUse` while it is mounted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RemoveRequest {
    /// The volume's name.
    pub name: String,
    /// As answered by `create`; none when its outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}
request!(RemoveRequest, "volume", "remove", Empty);

/// Makes a volume ready for one container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MountRequest {
    /// The volume's name.
    pub name: String,
    /// As answered by `create`.
    pub state: State,
    /// Id of who uses it: the key of `unmount`.
    pub target: String,
    /// The user will not write.
    #[serde(default)]
    pub read_only: bool,
}

impl Request for MountRequest {
    type Answer = MountAnswer;
    const TABLE: &'static str = "volume";
    const FUNCTION: &'static str = "mount";

    fn must_understand(&self) -> Vec<&'static str> {
        if self.read_only {
            vec!["read_only"]
        } else {
            Vec::new()
        }
    }
}

/// Answers [`MountRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MountAnswer {
    /// What the host mounts.
    pub mount: MountSpec,
    /// New state of the volume, if it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// Says that a container no longer uses a volume; done when it never did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UnmountRequest {
    /// The volume's name.
    pub name: String,
    /// The volume's state.
    pub state: State,
    /// As in `mount`.
    pub target: String,
}
request!(UnmountRequest, "volume", "unmount", UnmountAnswer);

/// Answers [`UnmountRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UnmountAnswer {
    /// New state of the volume, if it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// Asks how a volume is now; `NotFound` when it is not there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InspectRequest {
    /// The volume's name.
    pub name: String,
    /// The volume's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}
request!(InspectRequest, "volume", "inspect", VolumeInfo);

/// One volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeInfo {
    /// The volume's name.
    pub name: String,
    /// Absolute path on the host, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mountpoint: Option<String>,
    /// Shown to people.
    #[serde(default)]
    pub status: Labels,
}

/// Lists every volume of the driver, to find leftovers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListRequest {}
request!(ListRequest, "volume", "list", ListAnswer);

/// Answers [`ListRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListAnswer {
    /// In any order.
    pub volumes: Vec<VolumeInfo>,
}

/// Asks for the space of a volume.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UsageRequest {
    /// The volume's name.
    pub name: String,
    /// The volume's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}
request!(UsageRequest, "volume", "usage", Usage);
