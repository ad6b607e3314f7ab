//! ListImages: all images; both doors open on the same ones.

use gantry_cri_api::v1::{ListImagesRequest, ListImagesResponse};
use gantry_model::Result;

use crate::Door;
use crate::convert::{image, lookup};

pub(crate) async fn handle(door: &Door, request: ListImagesRequest) -> Result<ListImagesResponse> {
    let wanted = request
        .filter
        .and_then(|filter| filter.image)
        .map(|spec| spec.image)
        .filter(|name| !name.is_empty());
    let images = match wanted {
        Some(name) => lookup::optional(door.engine.find_image(&name).await)?
            .into_iter()
            .collect(),
        None => door.engine.images().await,
    };
    Ok(ListImagesResponse {
        images: images.iter().map(image::view).collect(),
    })
}
