//! The one table from error kinds to gRPC codes, and where an error is logged: once, as it is answered.

use gantry_model::{Error, ErrorKind};
use tonic::{Code, Status};

/// The code of a kind.
pub(crate) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        // `Aborted` would tell clients to try the same again at once.
        ErrorKind::Conflict | ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        // Where CRI says "idempotent" the handler has made a success of it; the rest asked for something impossible.
        ErrorKind::NotModified => Code::FailedPrecondition,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Unimplemented => Code::Unimplemented,
        // Not `NotFound`: kubelet reads that as "the container is gone".
        ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable => Code::FailedPrecondition,
        ErrorKind::DataLoss => Code::DataLoss,
        ErrorKind::Unknown => Code::Unknown,
        ErrorKind::Internal => Code::Internal,
    }
}

/// Turns an error into the answer and logs it.
pub(crate) fn answer(rpc: &'static str, error: Error) -> Status {
    let kind = error.kind;
    match kind {
        ErrorKind::Internal | ErrorKind::DataLoss | ErrorKind::Unknown => {
            tracing::error!(rpc, ?kind, %error, "call failed");
        }
        // Kubelet asks for what it has just removed, many times an hour.
        ErrorKind::NotFound => tracing::debug!(rpc, ?kind, %error, "call failed"),
        _ => tracing::info!(rpc, ?kind, %error, "call failed"),
    }
    Status::new(code(kind), error.message)
}

#[cfg(test)]
mod tests {
    use super::{answer, code};
    use gantry_model::{Error, ErrorKind};
    use tonic::Code;

    #[test]
    fn codes_kubelet_decides_by_are_kept_apart() {
        assert_eq!(code(ErrorKind::NotFound), Code::NotFound);
        assert_eq!(code(ErrorKind::DeadlineExceeded), Code::DeadlineExceeded);
        assert_eq!(code(ErrorKind::Unimplemented), Code::Unimplemented);
        for kind in [ErrorKind::CommandNotFound, ErrorKind::CommandNotExecutable] {
            assert_ne!(code(kind), Code::NotFound);
        }
        for kind in [ErrorKind::NotModified, ErrorKind::Conflict] {
            assert_ne!(code(kind), Code::Ok);
        }
    }

    #[test]
    fn the_text_is_the_errors_own() {
        let status = answer("Test", Error::invalid("mount /x: no host path"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "mount /x: no host path");
    }
}
