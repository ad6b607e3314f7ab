//! `GET /events`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_model::Timestamp;
use gantry_model::event::Event;
use gantry_model::image::Origin;
use tokio::sync::mpsc;

use crate::convert::filters::Filters;
use crate::convert::{event, time};
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, stream};

/// What a client wants to see.
struct Wanted {
    filters: Filters,
    shown: Option<Origin>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Wanted {
    fn fits(&self, one: &Event) -> bool {
        self.since.is_none_or(|since| one.at >= since)
            && self.until.is_none_or(|until| one.at <= until)
            && event::is_ours(one, self.shown)
            && event::fits(one, &self.filters)
    }
}

/// Events as they happen; with `since` those that are still kept come first, with `until` it ends there.
pub(crate) async fn events(door: Arc<DockerDoor>, req: Req) -> Answer {
    let since = time::parse("since", req.query.text("since"))?;
    let until = time::parse("until", req.query.text("until"))?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Failure::bad_request(
            "`since` time cannot be after `until` time",
        ));
    }
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let wanted = Wanted {
        filters: Filters::read(&req.query, event::KEYS)?,
        shown: door.shown(),
        since: Some(since.unwrap_or(now)),
        until,
    };
    let mut live = door.engine.events();
    let (sender, response) = stream("application/json");
    tokio::spawn(async move {
        while let Some(one) = live.next_past() {
            if wanted.fits(&one) && !send(&sender, &one).await {
                return;
            }
        }
        let left = until.map_or(Duration::MAX, |until| {
            Duration::from_nanos(u64::try_from(until.0.saturating_sub(now.0)).unwrap_or(0))
        });
        let end = tokio::time::sleep(left.min(Duration::from_secs(365 * 86_400)));
        tokio::pin!(end);
        loop {
            tokio::select! {
                one = live.next() => match one {
                    Some(one) if wanted.fits(&one) => {
                        if !send(&sender, &one).await {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => return,
                },
                () = sender.closed() => return,
                () = &mut end => return,
            }
        }
    });
    Ok(response)
}

async fn send(sender: &mpsc::Sender<Bytes>, one: &Event) -> bool {
    sender
        .send(format!("{}\n", event::shown(one)).into())
        .await
        .is_ok()
}
