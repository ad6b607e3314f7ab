//! Images as CRI shows them: the id is the configuration's digest, names are complete.

use std::collections::BTreeSet;

use gantry_cri_api::v1;
use gantry_engine::ImageView;
use gantry_model::image::{ImageName, Origin};
use gantry_model::{Error, Result};

/// An image's names, split as CRI wants them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// `host/path:tag`.
    pub(crate) tags: Vec<String>,
    /// `host/path@sha256:…`, one for each repository.
    pub(crate) digests: Vec<String>,
}

impl Names {
    /// Of an image and the digest its names point to.
    pub(crate) fn of(view: &ImageView) -> Self {
        Self::new(
            view.names.iter().map(|name| name.name.as_str()),
            &view.details.target.digest,
        )
    }

    fn new<'a>(names: impl Iterator<Item = &'a str>, digest: &str) -> Self {
        let mut tags = BTreeSet::new();
        let mut digests = BTreeSet::new();
        for name in names {
            let repository = match name.split_once('@') {
                Some((repository, _)) => repository,
                None => {
                    tags.insert(name.to_owned());
                    name
                }
            };
            digests.insert(format!("{}@{digest}", without_tag(repository)));
        }
        Self {
            tags: tags.into_iter().collect(),
            digests: digests.into_iter().collect(),
        }
    }
}

/// A colon after the last slash starts a tag; one before it belongs to the host's port.
fn without_tag(name: &str) -> &str {
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[path..].find(':') {
        Some(colon) => &name[..path + colon],
        None => name,
    }
}

/// One image.
pub(crate) fn view(image: &ImageView) -> v1::Image {
    let names = Names::of(image);
    let (uid, username) = user(&image.details.config.user);
    v1::Image {
        id: image.details.config_digest.clone(),
        repo_tags: names.tags,
        repo_digests: names.digests,
        size: image.details.content_size,
        uid,
        username,
        spec: None,
        pinned: pinned(image.names.iter().map(AsRef::as_ref)),
    }
}

/// Kubelet's collection of garbage must leave alone what Docker's users have.
fn pinned<'a>(mut names: impl Iterator<Item = &'a ImageName>) -> bool {
    names.any(|name| name.claims.contains(&Origin::Docker))
}

/// Number or name of the image's user, without the group. Kubelet checks `runAsNonRoot` by it.
fn user(user: &str) -> (Option<v1::Int64Value>, String) {
    let user = user.split(':').next().unwrap_or_default();
    match user.parse::<u32>() {
        Ok(uid) => (Some(v1::Int64Value { value: uid.into() }), String::new()),
        Err(_) => (None, user.to_owned()),
    }
}

/// The name in a request.
///
/// # Errors
/// `InvalidArgument` when there is none.
pub(crate) fn requested(image: Option<v1::ImageSpec>) -> Result<v1::ImageSpec> {
    match image {
        Some(spec) if !spec.image.is_empty() => Ok(spec),
        _ => Err(Error::invalid("image.image is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, pinned, user};
    use gantry_model::Timestamp;
    use gantry_model::image::{Descriptor, ImageName, Origin};

    #[test]
    fn a_tag_brings_its_repositorys_digest() {
        let names = Names::new(
            [
                "localhost:5000/team/app:1",
                "localhost:5000/team/app:2",
                "docker.io/library/busybox:latest",
            ]
            .into_iter(),
            "sha256:aa",
        );
        assert_eq!(names.tags.len(), 3);
        assert_eq!(
            names.digests,
            [
                "docker.io/library/busybox@sha256:aa",
                "localhost:5000/team/app@sha256:aa"
            ]
        );
    }

    #[test]
    fn a_pull_by_digest_has_no_tag_and_one_digest() {
        let names = Names::new(["localhost:5000/app@sha256:aa"].into_iter(), "sha256:aa");
        assert_eq!(names.tags, [""; 0]);
        assert_eq!(names.digests, ["localhost:5000/app@sha256:aa"]);
        let both = Names::new(["localhost:5000/app:1@sha256:aa"].into_iter(), "sha256:aa");
        assert_eq!(both.digests, ["localhost:5000/app@sha256:aa"]);
    }

    #[test]
    fn users_are_numbers_or_names() {
        let uid = |text| user(text).0.map(|v| v.value);
        assert_eq!(uid("1002:1003"), Some(1002));
        assert_eq!(uid("0"), Some(0));
        assert_eq!(uid(""), None);
        assert_eq!(user("www:www"), (None, "www".to_owned()));
    }

    #[test]
    fn what_docker_claims_is_pinned() {
        let name = |claims: &[Origin]| ImageName {
            name: "a:b".into(),
            target: Descriptor::default(),
            claims: claims.iter().copied().collect(),
            updated_at: Timestamp(1),
        };
        let (cri, both) = (name(&[Origin::Cri]), name(&[Origin::Cri, Origin::Docker]));
        assert!(!pinned([&cri].into_iter()));
        assert!(pinned([&cri, &both].into_iter()));
    }
}
