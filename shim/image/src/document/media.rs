//! Media types.

/// OCI image manifest.
pub(crate) const MANIFEST_OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const MANIFEST_DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// OCI image index.
pub(crate) const INDEX_OCI: &str = "application/vnd.oci.image.index.v1+json";
const INDEX_DOCKER: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a registry is asked for, best first.
pub(crate) const ACCEPT: [&str; 4] = [INDEX_OCI, INDEX_DOCKER, MANIFEST_OCI, MANIFEST_DOCKER];

/// Whether it is an index.
pub(crate) fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX_OCI | INDEX_DOCKER)
}

/// Whether it is a manifest.
pub(crate) fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, MANIFEST_OCI | MANIFEST_DOCKER)
}

/// Whether it is a file system layer. Compression is told by the bytes, not by the type.
pub(crate) fn is_layer(media_type: &str) -> bool {
    let kinds = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ];
    kinds.iter().any(|kind| {
        media_type
            .strip_prefix(kind)
            .is_some_and(|rest| matches!(rest, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
    })
}

/// The type of a layer that begins with these bytes.
pub(crate) fn layer_for(magic: &[u8]) -> &'static str {
    if magic.starts_with(&[0x1f, 0x8b]) {
        "application/vnd.oci.image.layer.v1.tar+gzip"
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        "application/vnd.oci.image.layer.v1.tar+zstd"
    } else {
        "application/vnd.oci.image.layer.v1.tar"
    }
}
