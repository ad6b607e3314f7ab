//! ExecSync: runs a command in a container to its end; probes are made of it.

use std::time::Duration;

use gantry_cri_api::v1::{ExecSyncRequest, ExecSyncResponse};
use gantry_engine::ExecSpec;
use gantry_model::supervisor::AttachStreams;
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::lookup;

/// Bytes kept of both streams together; CRI says that what is over is dropped and the command goes on. Clients take
/// messages of 16 MiB, so a little is left for the rest of the answer.
const OUTPUT_MAX: usize = (16 << 20) - 1024;

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
    let mut output = door
        .engine
        .run_exec(
            &container.id,
            spec,
            Duration::from_secs(seconds),
            OUTPUT_MAX,
        )
        .await?;
    fit(&mut output.stdout, &mut output.stderr, OUTPUT_MAX);
    Ok(ExecSyncResponse {
        stdout: output.stdout,
        stderr: output.stderr,
        exit_code: output.exit_code,
    })
}

/// Cuts the ends off until both fit together: each may have half, and what the other leaves.
fn fit(stdout: &mut Vec<u8>, stderr: &mut Vec<u8>, max: usize) {
    let half = max / 2;
    let for_stdout = max - stderr.len().min(half);
    stdout.truncate(for_stdout);
    stderr.truncate(max - stdout.len());
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn both_streams_fit_together() {
        for (stdout, stderr, expected) in [
            (3, 4, (3, 4)),
            (100, 0, (10, 0)),
            (0, 100, (0, 10)),
            (100, 2, (8, 2)),
            (2, 100, (2, 8)),
            (100, 100, (5, 5)),
            (6, 6, (5, 5)),
        ] {
            let (mut one, mut two) = (vec![0; stdout], vec![0; stderr]);
            fit(&mut one, &mut two, 10);
            assert_eq!((one.len(), two.len()), expected, "{stdout} {stderr}");
        }
    }
}
