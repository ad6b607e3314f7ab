//! PullImage: fetches an image and claims its name for CRI; answers its id.

use std::sync::Arc;

use gantry_cri_api::v1::{PullImageRequest, PullImageResponse};
use gantry_model::image::Origin;
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::{auth, image};

pub(crate) async fn handle(door: &Door, request: PullImageRequest) -> Result<PullImageResponse> {
    let spec = image::requested(request.image)?;
    let handler = &spec.runtime_handler;
    let known = |info: gantry_engine::Info| {
        let mut handlers = info.config.handlers.into_iter();
        handlers.any(|known| known.runtime.name == *handler)
    };
    if !handler.is_empty() && !known(door.engine.info()) {
        return Err(Error::not_found(format!(
            "no runtime handler {handler:?} is configured"
        )));
    }
    let auth = auth::read(request.auth, &spec.image)?;
    // CRI has no way to tell progress.
    let target = door
        .engine
        .pull_image(Origin::Cri, &spec.image, auth, Arc::new(|_| ()))
        .await?;
    let pulled = door.engine.find_image(&target.digest).await?;
    Ok(PullImageResponse {
        image_ref: pulled.details.config_digest.clone(),
    })
}
