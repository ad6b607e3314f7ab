//! RemoveImage: takes all of CRI's names off an image. Removing what is gone succeeds.

use gantry_cri_api::v1::{RemoveImageRequest, RemoveImageResponse};
use gantry_model::Result;
use gantry_model::image::Origin;

use crate::Door;
use crate::convert::{image, lookup};

pub(crate) async fn handle(
    door: &Door,
    request: RemoveImageRequest,
) -> Result<RemoveImageResponse> {
    let spec = image::requested(request.image)?;
    let removed = door
        .engine
        .remove_image(Origin::Cri, &spec.image, false)
        .await;
    lookup::optional(removed)?;
    Ok(RemoveImageResponse {})
}
