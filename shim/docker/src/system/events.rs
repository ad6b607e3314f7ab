//! `GET /events`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_engine::NextEvent;
use gantry_model::Timestamp;
use gantry_model::event::{Event, Subject};
use gantry_model::image::Origin;
use tokio::sync::mpsc;

use crate::convert::filters::Filters;
use crate::convert::{event, time};
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, stream};
use crate::version::ApiVersion;

/// What a client wants to see.
struct Wanted {
    filters: Filters,
    shown: Option<Origin>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Images' `create` came with 1.46.
    image_create: bool,
}

impl Wanted {
    fn fits(&self, one: &Event) -> bool {
        self.since.is_none_or(|since| one.at >= since)
            && self.until.is_none_or(|until| one.at <= until)
            && (self.image_create || one.subject != Subject::Image || one.action != "create")
            && event::is_ours(one, self.shown)
            && event::fits(one, &self.filters)
    }

    /// The line of this event; `None` for one that is not asked for.
    fn line(&self, next: &NextEvent) -> Option<Bytes> {
        let shown = match next {
            NextEvent::Event(one) if self.fits(one) => event::shown(one),
            NextEvent::Event(_) => return None,
            // Told whatever the filters: nobody knows which events are gone.
            NextEvent::Lagged { last_seen, next } => event::lagged(*last_seen, *next, now()),
        };
        Some(format!("{shown}\n").into())
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}

/// Events as they happen; with `since` or `until` those that are still kept come first, with `until` it ends there.
pub(crate) async fn events(door: Arc<DockerDoor>, req: Req) -> Answer {
    let since = time::parse("since", req.query.text("since"))?;
    let until = time::parse("until", req.query.text("until"))?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Failure::bad_request(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            req.query.get("since").unwrap_or_default(),
            req.query.get("until").unwrap_or_default()
        )));
    }
    let begun = now();
    let wanted = Wanted {
        filters: Filters::read_any(&req.query)?,
        shown: door.shown(),
        // Without both only what comes.
        since: since.or_else(|| until.is_none().then_some(begun)),
        until,
        image_create: req.version >= ApiVersion::one(46),
    };
    let mut live = door.engine.events();
    let (sender, response) = stream("application/json");
    tokio::spawn(async move {
        while let Some(next) = live.next_past() {
            if !send(&sender, wanted.line(&next)).await {
                return;
            }
        }
        let left = until.map_or(Duration::MAX, |until| {
            Duration::from_nanos(u64::try_from(until.0.saturating_sub(begun.0)).unwrap_or(0))
        });
        if left.is_zero() {
            return;
        }
        let end = tokio::time::sleep(left.min(Duration::from_secs(365 * 86_400)));
        tokio::pin!(end);
        loop {
            tokio::select! {
                next = live.next() => match next {
                    Some(next) => {
                        if !send(&sender, wanted.line(&next)).await {
                            return;
                        }
                    }
                    None => return,
                },
                () = sender.closed() => return,
                () = &mut end => return,
            }
        }
    });
    Ok(response)
}

/// False when the client has gone.
async fn send(sender: &mpsc::Sender<Bytes>, line: Option<Bytes>) -> bool {
    match line {
        Some(line) => sender.send(line).await.is_ok(),
        None => true,
    }
}
