//! The one table from the engine's error kinds to HTTP statuses. Never decides by a message.

use gantry_model::ErrorKind;
use http::StatusCode;

/// Docker's status for a kind.
pub(crate) fn of(kind: ErrorKind) -> StatusCode {
    match kind {
        // dockerd answers 400 to a command that is not there; the CLI finds 126 and 127 by the words of the text.
        ErrorKind::InvalidArgument
        | ErrorKind::FailedPrecondition
        | ErrorKind::CommandNotFound
        | ErrorKind::CommandNotExecutable => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::DeadlineExceeded
        | ErrorKind::Cancelled
        | ErrorKind::ResourceExhausted
        | ErrorKind::DataLoss
        | ErrorKind::Unknown
        | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::of;
    use gantry_model::ErrorKind as K;

    #[test]
    fn every_kind_has_its_status() {
        for (kind, status) in [
            (K::InvalidArgument, 400),
            (K::NotFound, 404),
            (K::AlreadyExists, 409),
            (K::Conflict, 409),
            (K::FailedPrecondition, 400),
            (K::NotModified, 304),
            (K::Unavailable, 503),
            (K::DeadlineExceeded, 500),
            (K::Cancelled, 500),
            (K::ResourceExhausted, 500),
            (K::PermissionDenied, 403),
            (K::Unauthenticated, 401),
            (K::Unimplemented, 501),
            (K::CommandNotFound, 400),
            (K::CommandNotExecutable, 400),
            (K::DataLoss, 500),
            (K::Unknown, 500),
            (K::Internal, 500),
        ] {
            assert_eq!(of(kind).as_u16(), status, "{kind:?}");
        }
    }
}
