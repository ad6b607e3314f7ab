//! `unpack`: the layer on stdin goes beneath a tree.

use std::fs::File;
use std::os::fd::AsFd;

use gantry_files::protocol::{Line, UnpackRequest};
use gantry_files::unpack::{Options, Owners, unpack};
use gantry_files::{Error, Result};

use crate::{answer, confine, parse, tree};

pub(crate) fn run(request: &str) -> Result<Line> {
    let request: UnpackRequest = parse(request)?;
    confine::enter(&request.cgroups)?;
    let root = tree::open(&request.tree)?;
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let layer = File::from(stdin.map_err(|source| Error::Io {
        doing: "take the layer from stdin".into(),
        source,
    })?);
    confine::drop_privileges()?;
    let options = Options {
        limits: request.limits,
        fresh: request.fresh,
        owners: Owners::Apply,
        sync: true,
        diff_id: request.diff_id,
        digest: request.digest,
    };
    unpack(&root.dir, layer, &options, |read| {
        answer::write(&Line::Progress(read))
    })
    .map(Line::Unpacked)
}
