//! ExecSync: runs a command in a container to its end; probes are made of it.

use std::time::Duration;

use gantry_cri_api::v1::{ExecSyncRequest, ExecSyncResponse};
use gantry_engine::ExecSpec;
use gantry_model::supervisor::AttachStreams;
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::lookup;

/// Bytes kept of each stream; CRI says that what is over is dropped and the command goes on.
const OUTPUT_MAX: usize = 16 << 20;

pub(crate) async fn handle(door: &Door, request: ExecSyncRequest) -> Result<ExecSyncResponse> {
    let seconds = u64::try_from(request.timeout)
        .map_err(|_| Error::invalid(format!("timeout {} is negative", request.timeout)))?;
    if request.cmd.is_empty() {
        return Err(Error::invalid("cmd is empty"));
    }
    let container = lookup::container(door, &request.container_id)?;
    let spec = ExecSpec {
        command: request.cmd,
        streams: AttachStreams {
            stdin: false,
            stdout: true,
            stderr: true,
        },
        ..ExecSpec::default()
    };
    let output = door
        .engine
        .run_exec(
            &container.id,
            spec,
            Duration::from_secs(seconds),
            OUTPUT_MAX,
        )
        .await?;
    Ok(ExecSyncResponse {
        stdout: output.stdout,
        stderr: output.stderr,
        exit_code: output.exit_code,
    })
}
