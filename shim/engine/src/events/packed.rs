//! An event as it is kept: thousands of them are, for days, and hardly one is read. As text it takes a third of the
//! memory that its maps and strings take.

use std::sync::Arc;

use gantry_model::event::Event;

/// What the list around it takes for each.
const OVERHEAD: usize = 64;

/// One kept event.
pub(super) struct Packed {
    pub(super) sequence: u64,
    /// Nanoseconds.
    pub(super) at: i64,
    text: Box<[u8]>,
}

impl Packed {
    pub(super) fn new(event: &Event) -> Self {
        let text =
            serde_json::to_vec(event).expect("an event has string keys and goes into memory");
        Self {
            sequence: event.sequence,
            at: event.at.0,
            text: text.into_boxed_slice(),
        }
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }

    pub(super) fn unpack(&self) -> Arc<Event> {
        Arc::new(serde_json::from_slice(&self.text).expect("it was packed above"))
    }
}

#[cfg(test)]
mod tests {
    use super::Packed;
    use gantry_model::Timestamp;
    use gantry_model::event::{Event, Subject};
    use gantry_model::image::Origin;

    #[test]
    fn comes_out_as_it_went_in() {
        let attributes = [
            ("name", "a \"b\"\n\u{1f600}"),
            ("", ""),
            ("exitCode", "137"),
        ];
        let mut event = Event {
            sequence: u64::MAX,
            at: Timestamp(i64::MAX),
            subject: Subject::Container,
            action: "exec_create: sh -c \u{7}".to_owned(),
            id: "0123".to_owned(),
            origin: Some(Origin::Docker),
            attributes: attributes
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        };
        assert_eq!(*Packed::new(&event).unpack(), event);
        event.origin = None;
        event.attributes.clear();
        let packed = Packed::new(&event);
        assert_eq!(*packed.unpack(), event);
        assert_eq!((packed.sequence, packed.at), (u64::MAX, i64::MAX));
        assert!(packed.size() < 400, "{}", packed.size());
    }
}
