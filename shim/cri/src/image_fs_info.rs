//! ImageFsInfo: what images take on disk. Writable layers are on the same file system.

use std::time::SystemTime;

use gantry_cri_api::v1::{
    FilesystemIdentifier, FilesystemUsage, ImageFsInfoRequest, ImageFsInfoResponse, UInt64Value,
};
use gantry_model::{Result, Timestamp};

use crate::Door;

pub(crate) async fn handle(
    door: &Door,
    _request: ImageFsInfoRequest,
) -> Result<ImageFsInfoResponse> {
    let (usage, folder) = door.engine.image_usage().await?;
    let usage = FilesystemUsage {
        timestamp: Timestamp::from_system(SystemTime::now()).0,
        fs_id: Some(FilesystemIdentifier { mountpoint: folder }),
        used_bytes: Some(UInt64Value { value: usage.bytes }),
        inodes_used: Some(UInt64Value {
            value: usage.inodes,
        }),
    };
    Ok(ImageFsInfoResponse {
        image_filesystems: vec![usage.clone()],
        container_filesystems: vec![usage],
    })
}
