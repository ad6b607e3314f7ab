//! Which names and claims a removal takes away, and what it is refused for.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::container::Container;
use gantry_model::event::Subject;
use gantry_model::image::{ImageDetails, ImageName, Origin};
use gantry_model::reference::Reference;
use gantry_model::{Error, Result};

use crate::RemovedImage;
use crate::api::image::{is_dangling, normalise, resolve};
use crate::change::{Change, Item};
use crate::inner::Inner;

pub(crate) async fn run(
    inner: &Arc<Inner>,
    origin: Origin,
    reference: &str,
    force: bool,
) -> Result<Vec<RemovedImage>> {
    let (_, details) = resolve(inner, reference).await?;
    let _one_at_a_time = inner.reserve_in_turn("image names").await;
    let (names, users) = around(inner, &details);
    let by_name = normalise(reference)
        .ok()
        .and_then(|name| names.iter().find(|n| n.name == name).cloned());
    let taken: Vec<Arc<ImageName>> = match (origin, by_name) {
        (Origin::Cri, _) => names
            .iter()
            .filter(|name| name.claims.contains(&Origin::Cri))
            .cloned()
            .collect(),
        (Origin::Docker, Some(name)) => {
            if names.len() == 1 {
                refuse_if_used(&details, &users, force, Some(&name.name))?;
            }
            vec![name]
        }
        (Origin::Docker, None) => {
            let repositories: std::collections::BTreeSet<String> = names
                .iter()
                .filter_map(|name| Reference::parse(&name.name).ok())
                .map(|r| r.name())
                .collect();
            if repositories.len() > 1 && !force {
                let id = short(&details.target.digest);
                return Err(Error::conflict(format!(
                    "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
                )));
            }
            refuse_if_used(&details, &users, force, None)?;
            names.clone()
        }
    };
    let mut removed = Vec::new();
    let mut change = inner.change();
    let mut left = names.len();
    for name in taken {
        let other = name.claims.iter().any(|claim| *claim != origin);
        if other && !(force && origin == Origin::Docker) {
            if origin == Origin::Docker && !name.claims.contains(&Origin::Docker) {
                return Err(Error::conflict(format!(
                    "conflict: unable to remove {} (must be forced) - it was pulled through CRI",
                    familiar(&name.name)
                )));
            }
            let mut kept = (*name).clone();
            kept.claims.remove(&origin);
            change = change.with(Item::ImageName(kept));
        } else {
            left -= 1;
            change = change.with(Item::NoImageName(name.name.clone()));
        }
        change = untagged(change, &name, &details, &mut removed);
    }
    if left == 0 && users.is_empty() {
        removed.push(RemovedImage::Deleted(details.target.digest.clone()));
        change = change.event(
            Subject::Image,
            "delete",
            &details.target.digest,
            None,
            BTreeMap::new(),
        );
    }
    inner.ledger.write(change).await?;
    Ok(removed)
}

fn untagged(
    change: Change,
    name: &ImageName,
    details: &ImageDetails,
    removed: &mut Vec<RemovedImage>,
) -> Change {
    if is_dangling(&name.name) {
        return change;
    }
    let shown = familiar(&name.name);
    removed.push(RemovedImage::Untagged(shown.clone()));
    let attributes = BTreeMap::from([("name".to_owned(), shown)]);
    change.event(
        Subject::Image,
        "untag",
        &details.target.digest,
        None,
        attributes,
    )
}

/// Names that point to the image and containers that use it.
fn around(inner: &Inner, details: &ImageDetails) -> (Vec<Arc<ImageName>>, Vec<Arc<Container>>) {
    let tables = inner.ledger.read();
    let digest = &details.target.digest;
    let names = tables
        .image_names
        .values()
        .filter(|name| name.target.digest == *digest)
        .cloned()
        .collect();
    let containers = tables
        .containers
        .values()
        .map(|seen| Arc::clone(&seen.borrow().container));
    (
        names,
        containers
            .filter(|container| container.image.digest == *digest)
            .collect(),
    )
}

/// Docker's three conflicts between an image and its containers.
fn refuse_if_used(
    details: &ImageDetails,
    users: &[Arc<Container>],
    force: bool,
    name: Option<&str>,
) -> Result<()> {
    let id = short(&details.target.digest);
    let running = users.iter().find(|container| container.state.is_live());
    if let (Some(name), Some(user), false) = (name, running.or(users.first()), force) {
        return Err(Error::conflict(format!(
            "conflict: unable to remove repository reference \"{}\" (must force) - container {} is using its \
             referenced image {id}",
            familiar(name),
            user.id.short()
        )));
    }
    if let (None, Some(user)) = (name, running) {
        return Err(Error::conflict(format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container {}",
            user.id.short()
        )));
    }
    if let (None, Some(user), false) = (name, users.first(), force) {
        return Err(Error::conflict(format!(
            "conflict: unable to delete {id} (must be forced) - image is being used by stopped container {}",
            user.id.short()
        )));
    }
    Ok(())
}

fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

fn familiar(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |parsed| parsed.familiar())
}
