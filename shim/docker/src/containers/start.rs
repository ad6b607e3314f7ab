//! `POST /containers/{id}/start`.

use std::sync::Arc;

use gantry_model::state::State;
use gantry_model::{Error, ErrorKind};
use http::StatusCode;

use crate::containers::named;
use crate::convert::door_data::DoorData;
use crate::convert::status_text;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, empty, no_content};

/// Starts a run; 304 when it runs.
pub(crate) async fn start(door: Arc<DockerDoor>, req: Req) -> Answer {
    if req.query.text("checkpoint").is_some() {
        return Err(Failure::not_served(
            "starting from a checkpoint is not served by gantry yet",
        ));
    }
    let container = named(&door, &req)?;
    if container.state == State::Paused {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            "cannot start a paused container, try unpause instead",
        ));
    }
    // To dockerd one that waits for its restart runs.
    if status_text::restarting(&container) {
        return Ok(empty(StatusCode::NOT_MODIFIED));
    }
    match door.engine.start_container(&container.id).await {
        Ok(()) => no_content(),
        Err(error) => Err(refused(error, STARTING, &DoorData::of(&container).path)),
    }
}

/// A start that failed, `doing` in front. The CLI tells 126 and 127 from 125 by the words of the text alone, so of a
/// program that is not there it must read what it looks for; of one that cannot be executed the cause says it.
pub(crate) fn refused(error: Error, doing: &str, program: &str) -> Failure {
    let words = match error.kind {
        ErrorKind::CommandNotFound if program.contains('/') => {
            format!("exec: \"{program}\": stat {program}: no such file or directory")
        }
        ErrorKind::CommandNotFound => {
            format!("exec: \"{program}\": executable file not found in $PATH")
        }
        ErrorKind::CommandNotExecutable => String::new(),
        _ => return error.into(),
    };
    let message = if error.message.contains(&words) {
        format!("{doing}: {}", error.message)
    } else {
        format!("{doing}: {words} ({})", error.message)
    };
    Failure {
        message,
        ..error.into()
    }
}

/// In front of why a container's program could not be started.
pub(crate) const STARTING: &str =
    "failed to create task for container: unable to start container process";

#[cfg(test)]
mod tests {
    use super::{STARTING, refused};
    use gantry_model::{Error, ErrorKind};

    #[test]
    fn the_cli_finds_the_words_it_looks_for() {
        for (kind, program, words) in [
            (
                ErrorKind::CommandNotFound,
                "nope",
                "exec: \"nope\": executable file not found in $PATH",
            ),
            (
                ErrorKind::CommandNotFound,
                "/nope",
                "no such file or directory",
            ),
            (ErrorKind::CommandNotExecutable, "/etc", "start x"),
        ] {
            let failure = refused(Error::new(kind, "start x"), STARTING, program);
            assert_eq!(failure.status.as_u16(), 400);
            assert!(failure.message.contains(words), "{}", failure.message);
        }
        let other = refused(Error::conflict("port 80 is taken"), STARTING, "x");
        assert_eq!(
            (other.status.as_u16(), other.message.as_str()),
            (409, "port 80 is taken")
        );
    }
}
