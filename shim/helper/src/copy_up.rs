//! `copy-up`: what an image has at a path becomes the first content of a volume.

use gantry_files::Result;
use gantry_files::copy::copy_up;
use gantry_files::protocol::{CopyUpRequest, Line};
use gantry_files::unpack::Owners;

use crate::{confine, parse, tree};

pub(crate) fn run(request: &str) -> Result<Line> {
    let request: CopyUpRequest = parse(request)?;
    confine::enter(&request.cgroups)?;
    let root = tree::open(&request.tree)?;
    let target = tree::open_dir(&request.target)?;
    confine::drop_privileges()?;
    copy_up(
        &root.dir,
        &request.path,
        &target,
        Owners::Apply,
        &request.limits,
    )
    .map(Line::Copied)
}
