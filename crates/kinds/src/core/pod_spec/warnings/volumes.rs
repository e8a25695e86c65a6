//! Kinds of volumes that nobody mounts any more, and claims made from templates.

use schema::Value;

use super::about::About;
use crate::warnings::fractional;

const GONE: &[(&str, &str)] = &[
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
];
/// Said after the claims.
const GONE_LATER: &[(&str, &str)] = &[
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

pub(super) fn of(out: &mut Vec<String>, about: &About<'_>) {
    for (i, v) in about.spec.list_at(&["volumes"]).iter().enumerate() {
        let path = about.at("volumes").index(i);
        let named = |out: &mut Vec<String>, table: &[(&str, &str)]| {
            for (field, why) in table.iter().filter(|(field, _)| v.get(field).is_some()) {
                let field = if *field == "storageos" { "storageOS" } else { field };
                out.push(format!("{}: {why}", path.child(field)));
            }
        };
        named(out, GONE);
        if let Some(spec) = v.at(&["ephemeral", "volumeClaimTemplate", "spec"]) {
            claim(out, spec, &path.child("ephemeral").child("volumeClaimTemplate").child("spec"));
        }
        named(out, GONE_LATER);
    }
}

/// The sizes of a claim.
// k8s: pkg/api/persistentvolumeclaim/util.go GetWarningsForPersistentVolumeClaimSpec
pub fn claim(out: &mut Vec<String>, spec: &Value, path: &meta::Path) {
    for field in ["requests", "limits"] {
        let quantities = spec.at(&["resources", field]);
        fractional(out, quantities, &["storage"], &path.child("resources").child(field));
    }
}
