//! The managed fields of an object as its `scale` subresource shows them, and back. It must never touch an entry that
//! does not own the number of replicas.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/managedfields/scalehandler.go

use crate::element::Element;
use crate::entry::{Entry, Identity};
use crate::set::Set;

/// The version of the subresource.
pub const API_VERSION: &str = "autoscaling/v1";

/// Where the versions of an object keep the number of replicas.
pub trait Replicas {
    /// The path in a version; `None` where the version is not known.
    fn path(&self, api_version: &str) -> Option<Vec<Element>>;
}

impl<F: Fn(&str) -> Option<Vec<Element>>> Replicas for F {
    fn path(&self, api_version: &str) -> Option<Vec<Element>> {
        self(api_version)
    }
}

/// `spec.replicas`, as the subresource and most objects have it.
#[must_use]
pub fn spec_replicas() -> Vec<Element> {
    vec![Element::Field("spec".into()), Element::Field("replicas".into())]
}

fn only(path: &[Element]) -> Set {
    let mut set = Set::new();
    set.insert(path);
    set
}

/// The entries of the object that own the number, as entries of the subresource.
#[must_use]
pub fn to_scale(parent: &[Entry], replicas: &dyn Replicas) -> Vec<Entry> {
    let owners = parent.iter().filter(|e| replicas.path(&e.api_version).is_some_and(|p| e.fields().has(&p)));
    owners.map(|e| Entry::new(e.id.clone(), API_VERSION, e.time.clone(), only(&spec_replicas()))).collect()
}

/// The object's entries with what the subresource's entries have become. `api_version` is that in which the object
/// is written.
#[must_use]
pub fn to_parent(
    parent: &[Entry],
    mut scale: Vec<Entry>,
    replicas: &dyn Replicas,
    api_version: &str,
) -> Vec<Entry> {
    let mut all = Vec::with_capacity(parent.len() + 1);
    for entry in parent {
        let Some(path) = replicas.path(&entry.api_version) else { continue };
        if !entry.fields().has(&path) {
            all.push(entry.clone());
            continue;
        }
        if let Some(at) = scale.iter().position(|s| s.id == entry.id) {
            scale.remove(at);
            all.push(entry.clone());
            continue;
        }
        // Somebody else has it now.
        let left = entry.fields().difference(&only(&path));
        if !left.is_empty() {
            let mut entry = entry.clone();
            entry.set_fields(left);
            all.push(entry);
        }
    }
    let Some(path) = replicas.path(api_version) else { return all };
    for entry in scale.into_iter().filter(|e| e.fields().has(&spec_replicas())) {
        let id = Identity { api_version: in_parent(&entry, api_version), ..entry.id };
        // As upstream: a number taken through the subresource has no time, unless the manager had one before.
        let time = parent.iter().find(|e| e.id == id).and_then(|e| e.time.clone());
        all.push(Entry::new(id, api_version, time, only(&path)));
    }
    all
}

/// An update's entry says the version of the object.
fn in_parent(entry: &Entry, api_version: &str) -> String {
    if entry.is_applied() { String::new() } else { api_version.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Operation;
    use crate::fields_v1;

    fn path(api_version: &str) -> Option<Vec<Element>> {
        (api_version == "apps/v1").then(spec_replicas)
    }

    fn entry(manager: &str, operation: Operation, version: &str, subresource: &str, fields: &str) -> Entry {
        let id = Identity::new(manager, operation, version, subresource);
        Entry::new(id, version, None, fields_v1::decode(fields).expect("a set"))
    }

    fn shown(entries: &[Entry]) -> Vec<String> {
        let line = |e: &Entry| {
            format!("{:?} {} {} {}", e.id.operation, e.id, e.api_version, fields_v1::encode(e.fields()))
        };
        let mut all: Vec<String> = entries.iter().map(line).collect();
        all.sort();
        all
    }

    // k8s: staging/src/k8s.io/apimachinery/pkg/util/managedfields/scalehandler_test.go
    #[test]
    fn there_and_back() {
        use Operation::{Apply, Update};
        const BOTH: &str = r#"{"f:spec":{"f:replicas":{},"f:selector":{}}}"#;
        const REPLICAS: &str = r#"{"f:spec":{"f:replicas":{}}}"#;
        const SELECTOR: &str = r#"{"f:spec":{"f:selector":{}}}"#;
        let parent = [
            entry("a", Apply, "apps/v1", "", BOTH),
            entry("b", Update, "apps/v1", "", BOTH),
            entry("c", Apply, "apps/v1", "", SELECTOR),
            entry("d", Apply, "apps/v10", "", REPLICAS),
        ];
        let scale = to_scale(&parent, &path);
        assert_eq!(
            shown(&scale),
            [
                format!("Apply \"a\" autoscaling/v1 {REPLICAS}"),
                format!("Update \"b\" using apps/v1 autoscaling/v1 {REPLICAS}")
            ]
        );
        // Nobody takes it; whose version is not known is left out.
        assert_eq!(shown(&to_parent(&parent, scale, &path, "apps/v1")), shown(&parent[..3]));
        // Somebody takes it from all.
        for operation in [Apply, Update] {
            let taken = vec![entry("s", operation, "autoscaling/v1", "scale", REPLICAS)];
            let got = to_parent(&parent[..2], taken, &path, "apps/v1");
            let want = [
                entry("a", Apply, "apps/v1", "", SELECTOR),
                entry("b", Update, "apps/v1", "", SELECTOR),
                entry("s", operation, "apps/v1", "scale", REPLICAS),
            ];
            assert_eq!(shown(&got), shown(&want));
        }
        // It is given up.
        let gone = vec![entry("s", Update, "autoscaling/v1", "scale", r#"{"f:status":{"f:replicas":{}}}"#)];
        assert_eq!(
            shown(&to_parent(&parent[..1], gone, &path, "apps/v1")),
            shown(&[entry("a", Apply, "apps/v1", "", SELECTOR)])
        );
    }
}
