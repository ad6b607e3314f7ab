//! Which entry of an index is the host's.

use super::manifest::{Desc, Index, Platform};

/// The host's architecture by Go's names, which images use.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// The entries of the index that could run here, best first. An entry without a platform is a last resort.
pub(crate) fn choose(index: &Index) -> Vec<&Desc> {
    let mut fit: Vec<(u8, &Desc)> = index
        .manifests
        .iter()
        .filter_map(|d| Some((rank(d)?, d)))
        .collect();
    // A stable sort: among equals the index's own order counts.
    fit.sort_by_key(|(rank, _)| *rank);
    fit.into_iter().map(|(_, d)| d).collect()
}

fn rank(desc: &Desc) -> Option<u8> {
    match &desc.platform {
        None => Some(9),
        Some(p) if p.os == "linux" && p.architecture == architecture() => Some(variant(p)),
        Some(_) => None,
    }
}

/// arm64 is v8 unless said otherwise; of amd64 the base level runs everywhere.
fn variant(p: &Platform) -> u8 {
    match (p.architecture.as_str(), p.variant.as_deref().unwrap_or("")) {
        (_, "") | ("arm64", "v8") | ("amd64", "v1") => 0,
        _ => 5,
    }
}
