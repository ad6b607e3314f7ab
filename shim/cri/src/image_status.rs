//! ImageStatus: one image; one that is not there is an empty answer, not an error.

use gantry_cri_api::v1::{ImageStatusRequest, ImageStatusResponse};
use gantry_model::Result;

use crate::Door;
use crate::convert::{image, lookup};

pub(crate) async fn handle(
    door: &Door,
    request: ImageStatusRequest,
) -> Result<ImageStatusResponse> {
    let spec = image::requested(request.image)?;
    let Some(found) = lookup::optional(door.engine.find_image(&spec.image).await)? else {
        return Ok(ImageStatusResponse::default());
    };
    let mut response = ImageStatusResponse {
        image: Some(image::view(&found)),
        ..Default::default()
    };
    if request.verbose {
        let info = serde_json::json!({
            "chainID": found.details.chain_id,
            "imageSpec": &*found.details,
            "containers": found.containers,
        });
        response.info.insert("info".to_owned(), info.to_string());
    }
    Ok(response)
}
