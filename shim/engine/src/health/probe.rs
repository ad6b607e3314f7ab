//! One probe: an exec in the container, its exit code, and the beginning of what it wrote.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::policy::Probe;
use gantry_model::supervisor::{AttachStreams, Attached, Exit};
use gantry_model::{ContainerId, Error, ExecId, Result};

use super::spec::Plan;
use crate::ExecSpec;
use crate::api::exec::{self, How};
use crate::exec::ExecEntry;
use crate::inner::{Inner, lock};

/// Bytes of output kept of a probe.
const OUTPUT: usize = 4096;

/// Runs one probe to its end. It fails when it cannot be run or its time runs out.
pub(super) async fn run(inner: &Arc<Inner>, id: &ContainerId, plan: &Plan) -> Probe {
    let start = inner.now();
    let (exit_code, output) = match exec(inner, id, plan).await {
        Ok((exit, output)) if exit.timed_out => (-1, timed_out(plan.timeout, &output)),
        Ok((exit, output)) => (exit.code, output),
        Err(error) => (-1, error.message),
    };
    Probe {
        start,
        end: inner.now(),
        exit_code,
        output,
    }
}

async fn exec(inner: &Arc<Inner>, id: &ContainerId, plan: &Plan) -> Result<(Exit, String)> {
    let spec = ExecSpec {
        command: plan.command.clone(),
        streams: AttachStreams {
            stdin: false,
            stdout: true,
            stderr: true,
        },
        ..ExecSpec::default()
    };
    let exec = ExecId::from_random(inner.host.random());
    let told = inner.tells_execs(id);
    let entry = Arc::new(ExecEntry::new(exec.clone(), id.clone(), spec, told));
    lock(&inner.execs).insert(Arc::clone(&entry));
    inner.tell_exec(&entry, &format!("exec_create: {}", entry.words()), &[]);
    let result = watched(inner, &entry, plan).await;
    // Nobody looks it up any more, and one every second would push out those that somebody does.
    lock(&inner.execs).remove(&exec);
    result
}

async fn watched(
    inner: &Arc<Inner>,
    entry: &Arc<ExecEntry>,
    plan: &Plan,
) -> Result<(Exit, String)> {
    let how = How {
        streams: entry.spec.streams,
        size: None,
        timeout: plan.timeout,
        tied: true,
        // One more than is kept, so that a cut can be seen.
        output_limit: OUTPUT as u64 + 1,
    };
    let mut attached = exec::begin(inner, entry, how).await?;
    gantry_fault::pass("engine.health.after-probe-start");
    let output = read(&mut attached).await;
    let exit = exec::ended(entry).await;
    gantry_fault::pass("engine.health.after-probe-end");
    if exit.unknown {
        return Err(Error::unavailable(
            "the container ended while its health was probed",
        ));
    }
    Ok((exit, output))
}

/// Both streams as they come, the first bytes of them.
async fn read(attached: &mut Attached) -> String {
    let mut bytes = Vec::new();
    let mut cut = false;
    while let Some(piece) = attached.output.recv().await {
        let room = OUTPUT.saturating_sub(bytes.len()).min(piece.bytes.len());
        bytes.extend_from_slice(&piece.bytes[..room]);
        cut |= room < piece.bytes.len();
    }
    shown(&bytes, cut)
}

fn shown(bytes: &[u8], cut: bool) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if cut {
        text.push_str("...");
    }
    text
}

fn timed_out(timeout: Duration, output: &str) -> String {
    let timeout = go_duration(timeout);
    if output.is_empty() {
        format!("Health check exceeded timeout ({timeout})")
    } else {
        format!("Health check exceeded timeout ({timeout}): {output}")
    }
}

/// A span as Docker's clients know it: `1m30s`, `1.5s`, `200ms`.
fn go_duration(span: Duration) -> String {
    let fraction = |whole: u128, nanos: u128, of: u128| {
        let digits = of.ilog10() as usize;
        let text = format!("{whole}.{nanos:0digits$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let nanos = span.as_nanos();
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{}µs", fraction(nanos / 1_000, nanos % 1_000, 1_000));
    }
    if nanos < 1_000_000_000 {
        let (whole, rest) = (nanos / 1_000_000, nanos % 1_000_000);
        return format!("{}ms", fraction(whole, rest, 1_000_000));
    }
    let (hours, minutes) = (span.as_secs() / 3600, span.as_secs() / 60 % 60);
    let seconds = fraction(
        u128::from(span.as_secs() % 60),
        u128::from(span.subsec_nanos()),
        1_000_000_000,
    );
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{go_duration, shown, timed_out};
    use std::time::Duration;

    #[test]
    fn spans_are_written_as_docker_writes_them() {
        for (millis, expected) in [
            (1, "1ms"),
            (250, "250ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), expected);
        }
        assert_eq!(go_duration(Duration::from_micros(1_500)), "1.5ms");
        assert_eq!(go_duration(Duration::from_nanos(1_050)), "1.05µs");
        assert_eq!(go_duration(Duration::from_nanos(7)), "7ns");
    }

    #[test]
    fn output_is_told_with_its_cut_and_its_nonsense() {
        assert_eq!(shown(b"ok\xff", false), "ok\u{fffd}");
        assert_eq!(shown(b"ok", true), "ok...");
        let second = Duration::from_secs(1);
        assert_eq!(timed_out(second, ""), "Health check exceeded timeout (1s)");
        assert_eq!(
            timed_out(second, "still"),
            "Health check exceeded timeout (1s): still"
        );
    }
}
