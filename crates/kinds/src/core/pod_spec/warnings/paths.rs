//! Files of one volume that would lie on each other.
// k8s: pkg/api/pod/warnings.go warningsForOverlappingVirtualPaths

use std::fmt;

use schema::Value;

use super::about::{About, Budget};

/// A path in a volume, and what brings it.
#[derive(Clone, PartialEq)]
struct Placed {
    path: String,
    source: String,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.as_str() {
            "" => write!(f, "\"{}\"", self.path),
            source => write!(f, "\"{}\" ({source})", self.path),
        }
    }
}

fn placed(path: &str, source: &str) -> Placed {
    Placed { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
}

fn items(source: &Value, name: &str) -> Vec<Placed> {
    source.list_at(&["items"]).iter().map(|i| placed(i.str_at(&["path"]), name)).collect()
}

pub(super) fn of(out: &mut Vec<String>, about: &About<'_>) {
    let mut budget = Budget::new();
    for v in about.spec.list_at(&["volumes"]) {
        let volume = v.str_at(&["name"]);
        let mut say = |out: &mut Vec<String>, what: &str, all: Vec<Placed>, before: &mut Vec<Placed>| {
            for one in all {
                for other in before.iter() {
                    if !budget.take(out) {
                        return;
                    }
                    if !overlap(other, &one) {
                        continue;
                    }
                    out.push(format!("volume \"{volume}\" ({what}): overlapping paths: {one} with {other}"));
                }
                before.push(one);
            }
        };
        for (field, kind, name) in [
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("downwardAPI", "DownwardAPI", ""),
        ] {
            let Some(source) = v.get(field) else { continue };
            let what = match name {
                "" => kind.to_owned(),
                name => format!("{kind} \"{}\"", source.str_at(&[name])),
            };
            say(out, &what, items(source, ""), &mut Vec::new());
        }
        let mut before = Vec::new();
        for source in v.list_at(&["projected", "sources"]) {
            match sources(source) {
                Some(all) => say(out, "Projected", all, &mut before),
                None => out.push(format!("volume \"{volume}\" (Projected) has no sources provided")),
            }
        }
    }
}

/// The paths that a source of a projected volume brings; `None`: it is empty.
fn sources(source: &Value) -> Option<Vec<Placed>> {
    if source.as_map().is_none_or(schema::Map::is_empty) {
        return None;
    }
    for (field, kind) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        if let Some(s) = source.get(field).filter(|s| s.get("items").is_some()) {
            return Some(items(s, &format!("{kind} \"{}\"", s.str_at(&["name"]))));
        }
    }
    if let Some(s) = source.get("downwardAPI").filter(|s| s.get("items").is_some()) {
        return Some(items(s, "DownwardAPI"));
    }
    if let Some(s) = source.get("serviceAccountToken") {
        return Some(vec![placed(s.str_at(&["path"]), "ServiceAccountToken")]);
    }
    if let Some(s) = source.get("clusterTrustBundle") {
        let name = s.get("name").map_or(s.str_at(&["signerName"]), |n| n.as_str().unwrap_or(""));
        return Some(vec![placed(s.str_at(&["path"]), &format!("ClusterTrustBundle \"{name}\""))]);
    }
    let certificate = source.get("podCertificate");
    let files = [
        ("certificateChainPath", "PodCertificate chain"),
        ("keyPath", "PodCertificate key"),
        ("credentialBundlePath", "PodCertificate credential bundle"),
    ];
    let files = files.iter().filter_map(|(field, what)| {
        let path = certificate?.str_at(&[field]);
        (!path.is_empty()).then(|| placed(path, what))
    });
    Some(files.collect())
}

// k8s: pkg/api/pod/warnings.go checkForOverlap
fn overlap(a: &Placed, b: &Placed) -> bool {
    let under =
        |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !a.path.is_empty() && !b.path.is_empty() && (a == b || under(&a.path, &b.path) || under(&b.path, &a.path))
}
