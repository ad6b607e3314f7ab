//! The arrows of the design, as data and a few lines that read it.

use super::graph::Graph;
use crate::Finding;

const DOORS: [&str; 3] = ["gantry-cri", "gantry-docker", "gantry-admin"];

/// Who must not reach whom, through any number of crates, and why.
const NEVER: &[(&[&str], &[&str], &str)] = &[
    (
        &["gantry-model", "gantry-engine"],
        &[
            "tonic",
            "hyper",
            "axum",
            "libloading",
            "nix",
            "gantry-cri-api",
        ],
        "the engine knows no protocol and touches no host",
    ),
    (
        &[
            "gantry-image",
            "gantry-plugin-host",
            "gantry-supervisor-client",
        ],
        &[
            "gantry-engine",
            "gantry-cri",
            "gantry-docker",
            "gantry-admin",
        ],
        "what implements the model's traits knows the engine as little as it knows them",
    ),
    (
        &["gantry-supervisor"],
        &["tokio", "tonic", "gantry-engine"],
        "the supervisor is small: no async runtime, no gRPC",
    ),
    (
        &["gantry-helper", "gantry-files"],
        &["tonic", "gantry-engine"],
        "helpers know nothing of the daemon",
    ),
    (
        &["gantry-docker", "gantry-admin"],
        &["gantry-cri-api"],
        "CRI's types belong to the CRI door",
    ),
    (
        &DOORS,
        &[
            "gantry-image",
            "gantry-plugin-host",
            "gantry-plugin-loader",
            "gantry-supervisor-client",
            "gantry-oci",
        ],
        "a door asks the engine, never a driver",
    ),
];

/// Checks every rule.
pub(super) fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (froms, tos, why) in NEVER {
        for from in *froms {
            for to in *tos {
                findings.extend(never(graph, from, to, why));
            }
        }
    }
    for from in DOORS {
        for to in DOORS {
            findings.extend(never(graph, from, to, "doors do not know each other"));
        }
    }
    findings.extend(plugin_folder(graph));
    findings.extend(only_the_loader_loads(graph));
    // Its Rust structs of the payloads are a feature; the interface itself needs nothing.
    if let Some(dependency) = graph.required("gantry-abi").next() {
        findings.push(Finding::new(
            "gantry-abi",
            format!("depends on {dependency}, but the interface has no dependencies"),
        ));
    }
    findings
}

fn never(graph: &Graph, from: &str, to: &str, why: &str) -> Option<Finding> {
    let way = graph.path(from, to)?;
    Some(Finding::new(
        from,
        format!("reaches {to} ({}), but {why}", way.join(" -> ")),
    ))
}

/// Nothing outside `plugins/` reaches into it but for the interface; plugins see nothing of the daemon.
fn plugin_folder(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (inside, outside): (Vec<_>, Vec<_>) = graph
        .members()
        .partition(|(_, folder)| folder.starts_with("plugins/"));
    for (plugin, _) in &inside {
        for (other, folder) in &outside {
            // `conformance` runs plugins through the loader; a plugin itself may use the kernel's wrappers and fault
            // points only.
            let allowed = *other == "gantry-sys"
                || *other == "gantry-fault"
                || (*plugin == "gantry-conformance" && *other == "gantry-plugin-loader");
            if !allowed {
                findings.extend(never(
                    graph,
                    plugin,
                    other,
                    &format!("a plugin knows nothing of {folder}"),
                ));
            }
        }
    }
    for (from, folder) in &outside {
        // Tests and this tool may do what they like; they are not shipped.
        if folder.starts_with("shim/") {
            for (plugin, _) in inside.iter().filter(|(name, _)| *name != "gantry-abi") {
                findings.extend(never(
                    graph,
                    from,
                    plugin,
                    "drivers are loaded at run time, never linked",
                ));
            }
        }
    }
    findings
}

fn only_the_loader_loads(graph: &Graph) -> Vec<Finding> {
    let loads = |name: &str| graph.direct(name).any(|d| d == "libloading");
    graph
        .members()
        .filter(|(name, _)| *name != "gantry-plugin-loader" && loads(name))
        .map(|(name, _)| {
            Finding::new(
                name,
                "uses libloading; gantry-plugin-loader is its only user",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Graph, check};

    const MEMBERS: &[(&str, &str)] = &[
        ("gantry-engine", "shim/engine"),
        ("gantry-daemon", "shim/daemon"),
        ("gantry-cri", "shim/cri"),
        ("gantry-docker", "shim/docker"),
        ("gantry-sys", "shim/sys"),
        ("gantry-abi", "plugins/abi"),
        ("gantry-volume-local", "plugins/volume-local"),
    ];

    fn texts(edges: &[(&str, &[&str])]) -> Vec<String> {
        check(&Graph::of(MEMBERS, edges))
            .into_iter()
            .map(|f| format!("{}: {}", f.place, f.text))
            .collect()
    }

    #[test]
    fn good_arrows_pass() {
        let found = texts(&[
            (
                "gantry-daemon",
                &["gantry-engine", "gantry-cri", "gantry-abi", "tonic"],
            ),
            ("gantry-cri", &["gantry-engine", "tonic"]),
            ("gantry-volume-local", &["gantry-abi", "gantry-sys"]),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_way_round_is_found_and_shown() {
        let found = texts(&[("gantry-engine", &["helpful"]), ("helpful", &["hyper"])]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("gantry-engine -> helpful -> hyper"),
            "{found:?}"
        );
    }

    #[test]
    fn doors_drivers_and_plugins_stay_apart() {
        assert!(
            texts(&[("gantry-cri", &["gantry-docker"])])[0]
                .contains("doors do not know each other")
        );
        assert!(texts(&[("gantry-daemon", &["gantry-volume-local"])])[0].contains("never linked"));
        assert!(
            texts(&[("gantry-volume-local", &["gantry-engine"])])[0]
                .contains("knows nothing of shim/engine")
        );
        assert!(texts(&[("gantry-daemon", &["libloading"])])[0].contains("only user"));
        assert!(texts(&[("gantry-abi", &["serde"])])[0].contains("no dependencies"));
    }
}
