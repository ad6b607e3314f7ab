//! The pure answer to "a wish meets one in progress". The table stands at the top of the parent file.

use gantry_model::Error;

use super::Wish;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Begin,
    Join,
    Wait,
    Refuse(Error),
}

pub(super) fn decide(active: Option<Wish>, finishing: bool, wish: Wish) -> Answer {
    let Some(active) = active else {
        return if finishing {
            Answer::Wait
        } else {
            Answer::Begin
        };
    };
    match (active, wish) {
        (Wish::Start | Wish::Again, Wish::Start | Wish::Again)
        | (Wish::Stop { .. }, Wish::Stop { .. })
        | (Wish::Remove(_), Wish::Remove(_))
        | (Wish::StopPod, Wish::StopPod)
        | (Wish::RemovePod, Wish::RemovePod | Wish::StopPod) => Answer::Join,
        (Wish::Start | Wish::Again | Wish::Stop { .. } | Wish::Pause(_), Wish::Remove(how))
            if !how.force =>
        {
            Answer::Refuse(Error::conflict(
                "container is running: stop the container before removing or force remove",
            ))
        }
        (Wish::Remove(_), Wish::Start | Wish::Again | Wish::Pause(_)) => {
            Answer::Refuse(Error::conflict("container is marked for removal"))
        }
        (Wish::Remove(_), Wish::Stop { .. }) => {
            Answer::Refuse(Error::not_modified("container is being removed"))
        }
        _ => Answer::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Wish, decide};
    use crate::RemoveContainer;
    use gantry_model::ErrorKind;

    const STOP: Wish = Wish::Stop { timeout: None };
    const REMOVE: Wish = Wish::Remove(RemoveContainer {
        force: false,
        volumes: false,
    });
    const FORCE: Wish = Wish::Remove(RemoveContainer {
        force: true,
        volumes: false,
    });

    const PAUSE: Wish = Wish::Pause(true);

    /// One row for each operation in progress, one column for each that comes.
    #[test]
    fn each_pair_has_a_defined_answer() {
        use Wish::{Again, RemovePod, Start, StopPod};
        let columns = [Start, Again, STOP, REMOVE, FORCE, PAUSE, StopPod, RemovePod];
        let rows = [
            (
                Start,
                [
                    "join", "join", "wait", "refuse", "wait", "wait", "wait", "wait",
                ],
            ),
            (
                Again,
                [
                    "join", "join", "wait", "refuse", "wait", "wait", "wait", "wait",
                ],
            ),
            (
                STOP,
                [
                    "wait", "wait", "join", "refuse", "wait", "wait", "wait", "wait",
                ],
            ),
            (
                REMOVE,
                [
                    "refuse", "refuse", "refuse", "join", "join", "refuse", "wait", "wait",
                ],
            ),
            (
                FORCE,
                [
                    "refuse", "refuse", "refuse", "join", "join", "refuse", "wait", "wait",
                ],
            ),
            (
                PAUSE,
                [
                    "wait", "wait", "wait", "refuse", "wait", "wait", "wait", "wait",
                ],
            ),
            (
                StopPod,
                [
                    "wait", "wait", "wait", "wait", "wait", "wait", "join", "wait",
                ],
            ),
            (
                RemovePod,
                [
                    "wait", "wait", "wait", "wait", "wait", "wait", "join", "join",
                ],
            ),
        ];
        for (active, expected) in rows {
            for (wish, expected) in columns.into_iter().zip(expected) {
                let got = match decide(Some(active), false, wish) {
                    Answer::Begin => "begin",
                    Answer::Join => "join",
                    Answer::Wait => "wait",
                    Answer::Refuse(_) => "refuse",
                };
                assert_eq!(got, expected, "{active:?} then {wish:?}");
            }
        }
    }

    #[test]
    fn a_free_object_begins_and_one_being_cleaned_waits() {
        for wish in [
            Wish::Start,
            STOP,
            REMOVE,
            FORCE,
            Wish::StopPod,
            Wish::RemovePod,
        ] {
            assert_eq!(decide(None, false, wish), Answer::Begin);
            assert_eq!(decide(None, true, wish), Answer::Wait);
        }
    }

    #[test]
    fn a_running_one_is_a_conflict_and_not_another_kind() {
        let Answer::Refuse(error) = decide(Some(Wish::Start), false, REMOVE) else {
            panic!("must refuse")
        };
        assert_eq!(error.kind, ErrorKind::Conflict);
    }
}
