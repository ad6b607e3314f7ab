//! `POST /images/load`.

use std::sync::Arc;

use gantry_model::image::stream::ByteRead;
use gantry_model::image::{Loaded, Origin, Progress, ProgressSink};
use gantry_model::reference::Reference;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::door::DockerDoor;
use crate::images::{check_platform, pull};
use crate::request::Req;
use crate::response::Answer;
use crate::streaming::lines;

/// Loads an archive as it comes; nothing of it is held in memory.
pub(crate) async fn load(door: Arc<DockerDoor>, req: Req) -> Answer {
    check_platform(req.query.text("platform"))?;
    let quiet = req.query.flag_or("quiet", true);
    let (sender, receiver) = mpsc::channel(lines::QUEUE);
    let progress: ProgressSink = Arc::new(move |progress: Progress| {
        if !quiet && let Some(line) = pull::line(&progress) {
            let _ = sender.try_send(line);
        }
    });
    let body = req.http.into_body();
    lines::answer(receiver, async move {
        let archive = Box::pin(Upload(body));
        let loaded = door
            .engine
            .load_images(Origin::Docker, archive, progress)
            .await?;
        Ok(loaded.iter().flat_map(said).collect())
    })
    .await
}

fn said(loaded: &Loaded) -> Vec<Value> {
    if loaded.names.is_empty() {
        return vec![json!({ "stream": format!("Loaded image ID: {}\n", loaded.target.digest) })];
    }
    loaded
        .names
        .iter()
        .map(|name| {
            let shown = Reference::parse(name).map_or_else(|_| name.clone(), |r| r.familiar());
            json!({ "stream": format!("Loaded image: {shown}\n") })
        })
        .collect()
}

/// A request's body as the engine reads it.
struct Upload(Incoming);

#[async_trait::async_trait]
impl ByteRead for Upload {
    async fn next(&mut self) -> Option<Result<Vec<u8>, String>> {
        loop {
            match self.0.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data.to_vec()));
                    }
                }
                Err(error) => return Some(Err(format!("read request body: {error}"))),
            }
        }
    }
}
