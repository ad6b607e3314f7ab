//! Events: numbered, in the order they became true.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::image::Origin;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A container.
    Container,
    /// A sandbox.
    Sandbox,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A plugin.
    Plugin,
    /// The daemon.
    Daemon,
}

impl Subject {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Sandbox => "sandbox",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Plugin => "plugin",
            Self::Daemon => "daemon",
        }
    }
}

/// Something that became true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows; never used twice by an instance. A start after a crash leaves some out.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// About what.
    pub subject: Subject,
    /// `create`, `start`, `die`, `destroy`, `pull`, `connect`…: Docker's words.
    pub action: String,
    /// Id (or name of a volume or image).
    pub id: String,
    /// Whose it is; `None`: everybody's.
    pub origin: Option<Origin>,
    /// `name`, `image`, `exitCode`, labels….
    pub attributes: BTreeMap<String, String>,
}
