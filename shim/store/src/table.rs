//! The fixed list of tables. A table that is not here does not exist.

use redb::TableDefinition;

/// Keys are text, values are records.
pub(crate) type Definition = TableDefinition<'static, &'static str, &'static [u8]>;

/// A table of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Containers by id.
    Containers,
    /// Sandboxes by id.
    Sandboxes,
    /// Networks by id.
    Networks,
    /// Endpoints by id.
    Endpoints,
    /// Volumes by name.
    Volumes,
    /// Image names by normalised reference.
    ImageNames,
    /// Leases: claims on images with a time limit.
    Leases,
    /// Operations that are not finished, by id.
    Operations,
    /// Events by sequence number as sortable text.
    Events,
    /// What belongs to no table: counters, the instance's random id.
    Meta,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Containers,
        Self::Sandboxes,
        Self::Networks,
        Self::Endpoints,
        Self::Volumes,
        Self::ImageNames,
        Self::Leases,
        Self::Operations,
        Self::Events,
        Self::Meta,
    ];

    /// Its name on disk. Never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Sandboxes => "sandboxes",
            Self::Networks => "networks",
            Self::Endpoints => "endpoints",
            Self::Volumes => "volumes",
            Self::ImageNames => "image_names",
            Self::Leases => "leases",
            Self::Operations => "operations",
            Self::Events => "events",
            Self::Meta => "meta",
        }
    }

    pub(crate) fn definition(self) -> Definition {
        TableDefinition::new(self.as_str())
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
