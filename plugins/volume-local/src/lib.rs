//! The volume driver `local`: one folder per volume on this host.
//!
//! Layout beneath the driver's root: `<name>/_data` holds the data, `<name>/volume.json` how it was
//! asked for. It mounts nothing: it describes a bind mount of `_data`, or what the options say.

mod driver;
mod name;
mod options;
mod shelf;

use driver::Local;

gantry_sdk::export_plugin! {
    kind: volume,
    name: "local",
    driver: Local,
}
