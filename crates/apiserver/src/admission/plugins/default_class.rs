//! Which class of several is the default one. DefaultStorageClass and DefaultIngressClass ask the same.
// k8s: pkg/volume/util/storageclass.go GetDefaultClass

use std::collections::BTreeMap;

use serde::Deserialize;

/// What of a class says whether it is the default one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Class {
    metadata: Metadata,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    creation_timestamp: String,
    annotations: Option<BTreeMap<String, String>>,
}

/// The name of the default class: the one made last, and of those made in one second the first by name.
pub(super) fn default_of(classes: Vec<Class>, annotations: &[&str]) -> Option<String> {
    let is_default = |class: &Class| {
        let says = |name: &&str| class.metadata.annotations.as_ref()?.get(*name).cloned();
        annotations.iter().filter_map(says).any(|said| said == "true")
    };
    let marked = classes.into_iter().filter(is_default).map(|class| class.metadata);
    // The times are all of one form, so that the later one is the greater text.
    let best = marked.reduce(|best, m| {
        let later = m.creation_timestamp.cmp(&best.creation_timestamp).then_with(|| best.name.cmp(&m.name));
        if later.is_gt() { m } else { best }
    });
    best.map(|m| m.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_made_is_the_default() {
        let class = |name: &str, second: u8, mark: &str| -> Class {
            serde_json::from_value(serde_json::json!({"metadata": {"name": name, "annotations": {"d": mark},
                "creationTimestamp": format!("2026-01-01T00:00:0{second}Z")}}))
            .unwrap()
        };
        let (old, new, twin) = (class("old", 1, "true"), class("new", 2, "true"), class("m", 2, "true"));
        let other = class("other", 3, "false");
        let cases = [
            (vec![], None),
            (vec![other.clone()], None),
            (vec![old.clone(), other], Some("old")),
            (vec![old.clone(), new.clone()], Some("new")),
            (vec![new, old, twin], Some("m")),
        ];
        for (classes, want) in cases {
            assert_eq!(default_of(classes, &["d"]).as_deref(), want);
        }
    }
}
