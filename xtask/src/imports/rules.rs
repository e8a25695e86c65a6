//! The rules over the import graphs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use super::graph::Crate;

/// The rooms of the API server, lowest first: a file or folder below `crates/apiserver/src`. A room imports only
/// from those before it.
const ROOMS: &[&str] = &[
    "codec",
    "metrics",
    "request",
    "registry",
    "storage",
    "content",
    "authenticate",
    "authorize",
    "flow",
    "audit",
    "admission",
    "verbs",
    "subresource",
    "virtuals",
    "extend",
    "discovery",
    "server",
    "lib",
];

/// Circles that are still there, each with its files, which may only shrink.
const CIRCLES: &[&[&str]] = &[
    &[
        "crates/cri/src/containerd/cgroup.rs",
        "crates/cri/src/containerd/cleanup.rs",
        "crates/cri/src/containerd/config.rs",
        "crates/cri/src/containerd/images.rs",
        "crates/cri/src/containerd/mod.rs",
        "crates/cri/src/containerd/supervise.rs",
    ],
    &["crates/kinds/src/columns.rs", "crates/kinds/src/kind.rs"],
    &["crates/kinds/src/core/pod_spec/env.rs", "crates/kinds/src/core/pod_spec/volume.rs"],
    &["crates/kinds/src/core/service.rs", "crates/kinds/src/core/service_rules.rs"],
    &[
        "crates/kubelet/src/admit/asks.rs",
        "crates/kubelet/src/admit/mod.rs",
        "crates/kubelet/src/node/machine.rs",
        "crates/kubelet/src/node/network.rs",
        "crates/kubelet/src/node/object.rs",
        "crates/kubelet/src/node/sync.rs",
        "crates/kubelet/src/run/actor.rs",
        "crates/kubelet/src/run/credentials.rs",
        "crates/kubelet/src/run/hooks.rs",
        "crates/kubelet/src/run/images.rs",
        "crates/kubelet/src/run/inspect.rs",
        "crates/kubelet/src/run/kill.rs",
        "crates/kubelet/src/run/mod.rs",
        "crates/kubelet/src/run/pleg.rs",
        "crates/kubelet/src/run/pods.rs",
        "crates/kubelet/src/run/prober.rs",
        "crates/kubelet/src/run/resize.rs",
        "crates/kubelet/src/run/start.rs",
        "crates/kubelet/src/run/status.rs",
        "crates/kubelet/src/run/tasks.rs",
    ],
    &["crates/kubelet/src/cgroup/mod.rs", "crates/kubelet/src/cgroup/systemd.rs"],
    &[
        "crates/kubelet/src/server/auth.rs",
        "crates/kubelet/src/server/exec.rs",
        "crates/kubelet/src/server/forward.rs",
        "crates/kubelet/src/server/info.rs",
        "crates/kubelet/src/server/logs.rs",
        "crates/kubelet/src/server/metrics.rs",
        "crates/kubelet/src/server/mod.rs",
    ],
    &[
        "crates/kubelet/src/status/conditions.rs",
        "crates/kubelet/src/status/containers.rs",
        "crates/kubelet/src/status/mod.rs",
        "crates/kubelet/src/status/patch.rs",
        "crates/kubelet/src/worker/mod.rs",
        "crates/kubelet/src/worker/resize.rs",
    ],
    &["crates/kubelet/src/volumes/mod.rs", "crates/kubelet/src/volumes/sources.rs"],
    &[
        "crates/network/src/conflist.rs",
        "crates/network/src/host.rs",
        "crates/network/src/lib.rs",
        "crates/network/src/masquerade.rs",
        "crates/network/src/routes.rs",
    ],
    &["crates/reconcile/src/caches.rs", "crates/reconcile/src/graph.rs"],
    &[
        "crates/scheduler/src/columns.rs",
        "crates/scheduler/src/framework.rs",
        "crates/scheduler/src/ledgers.rs",
        "crates/scheduler/src/plugins/inter_pod_affinity.rs",
        "crates/scheduler/src/plugins/node_affinity.rs",
        "crates/scheduler/src/plugins/pod_topology_spread.rs",
        "crates/scheduler/src/plugins/taint_toleration.rs",
        "crates/scheduler/src/snapshot.rs",
    ],
    &[
        "crates/schema/src/json/decode.rs",
        "crates/schema/src/json/lexer.rs",
        "crates/schema/src/json/plain.rs",
        "crates/schema/src/json/typed.rs",
    ],
    &[
        "crates/schema/src/patch/json_patch.rs",
        "crates/schema/src/patch/mod.rs",
        "crates/schema/src/patch/order.rs",
        "crates/schema/src/patch/strategic.rs",
    ],
    &[
        "crates/schema/src/table/builtin.rs",
        "crates/schema/src/table/mod.rs",
        "crates/schema/src/table/reference.rs",
    ],
    &["crates/sim/src/judge.rs", "crates/sim/src/truth/mod.rs", "crates/sim/src/truth/rules.rs"],
    &["crates/store/src/redb/compact.rs", "crates/store/src/redb/writer.rs"],
    &[
        "crates/watchcache/src/cache.rs",
        "crates/watchcache/src/resource.rs",
        "crates/watchcache/src/watch.rs",
    ],
    &["crates/watchcache/src/change.rs", "crates/watchcache/src/entry.rs"],
    &[
        "crates/wire/src/pki.rs",
        "crates/wire/src/pki/files.rs",
        "crates/wire/src/pki/inspect.rs",
        "crates/wire/src/pki/lone.rs",
        "crates/wire/src/pki/request.rs",
    ],
    &[
        "crates/wire/src/server.rs",
        "crates/wire/src/server/body.rs",
        "crates/wire/src/server/connection.rs",
        "crates/wire/src/server/gzip.rs",
        "crates/wire/src/server/request.rs",
        "crates/wire/src/server/respond.rs",
        "crates/wire/src/tunnel.rs",
    ],
    &[
        "crates/wire/src/stream/spdy.rs",
        "crates/wire/src/stream/spdy/frame.rs",
        "crates/wire/src/stream/spdy/headers.rs",
    ],
    &["examples/webapp/src/serve.rs", "examples/webapp/src/tools.rs"],
];

/// Checks every crate among `files` (paths below the workspace's root).
pub fn broken(root: &Path, files: &[String]) -> Result<Vec<String>> {
    let mut crates: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for file in files.iter().filter(|f| f.ends_with(".rs") && !f.ends_with("/tests.rs")) {
        let Some((name, below)) = file.split_once("/src/") else { continue };
        let text = std::fs::read_to_string(root.join(file)).with_context(|| file.clone())?;
        crates.entry(name).or_default().push((below.to_owned(), text));
    }
    let (mut out, mut seen) = (Vec::new(), BTreeSet::new());
    for (name, files) in &crates {
        let edges = Crate::new(files).edges();
        if *name == "crates/apiserver" {
            out.extend(edges.iter().filter_map(upwards));
        }
        for circle in circles(&edges) {
            let circle: BTreeSet<String> = circle.iter().map(|f| format!("{name}/src/{f}")).collect();
            let known = CIRCLES.iter().any(|k| circle.iter().all(|f| k.contains(&f.as_str())));
            if !known {
                let files: Vec<&str> = circle.iter().map(String::as_str).collect();
                out.push(format!("files import each other in a circle: {}", files.join(", ")));
            }
            seen.extend(circle);
        }
    }
    let gone = CIRCLES.iter().flat_map(|k| k.iter()).filter(|f| !seen.contains(**f));
    out.extend(gone.map(|f| {
        format!("{f} is in no circle any more: take it off the list in xtask/src/imports/rules.rs")
    }));
    Ok(out)
}

/// What is wrong with an import of the API server, when it goes to a higher room.
fn upwards((from, to): &(String, String)) -> Option<String> {
    let room = |file: &str| {
        let name = file.split('/').next().unwrap_or(file).trim_end_matches(".rs");
        ROOMS.iter().position(|r| *r == name)
    };
    match (room(from), room(to)) {
        (Some(a), Some(b)) if a >= b => None,
        (Some(_), Some(_)) => Some(format!("crates/apiserver/src/{from} imports upwards, from {to}")),
        _ => Some(format!(
            "crates/apiserver/src: {from} or {to} belongs to no room of xtask/src/imports/rules.rs"
        )),
    }
}

/// Sets of files that all import each other, directly or through others of the set.
fn circles(edges: &BTreeSet<(String, String)>) -> Vec<BTreeSet<&str>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (a, b) in edges {
        next.entry(a).or_default().push(b);
    }
    let reach = |from: &str| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
        while let Some(at) = todo.pop() {
            for to in next.get(at).into_iter().flatten() {
                if seen.insert(*to) {
                    todo.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|f| (*f, reach(f))).collect();
    let mut out: Vec<BTreeSet<&str>> = Vec::new();
    for (file, seen) in reached.iter().filter(|(f, seen)| seen.contains(**f)) {
        if out.iter().any(|c| c.contains(file)) {
            continue;
        }
        out.push(seen.iter().copied().filter(|f| reached.get(f).is_some_and(|s| s.contains(file))).collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(list: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn circles_are_found_whole_and_apart() {
        let e = edges(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d"), ("x", "a")]);
        let got: Vec<Vec<&str>> = circles(&e).into_iter().map(|c| c.into_iter().collect()).collect();
        assert_eq!(got, [vec!["a", "b", "c"], vec!["d", "e"]]);
        assert!(circles(&edges(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    }

    #[test]
    fn rooms_import_downwards() {
        let edge = |a: &str, b: &str| upwards(&(a.to_owned(), b.to_owned()));
        assert_eq!(edge("verbs/get.rs", "storage/page.rs"), None);
        assert_eq!(edge("storage/page.rs", "storage/call.rs"), None);
        assert!(edge("storage/page.rs", "verbs/get.rs").is_some());
        assert!(edge("attic/a.rs", "storage/page.rs").is_some());
    }
}
