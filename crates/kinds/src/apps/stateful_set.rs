//! StatefulSet: numbered pods, each with its own volumes and network name.
// k8s: pkg/registry/apps/statefulset/strategy.go, pkg/apis/apps/validation/validation.go ValidateStatefulSetSpec

use std::collections::{BTreeMap, BTreeSet};

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::rolling;
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, text};
use crate::core::persistent_volume_claim::validate_spec;
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::{self, at, each as each_item, value, with_map};
use crate::kind::{Cell, Column, Kind, Operation, Strategy, WITH_SCALE, carry};
use crate::rules::{Errors, each, non_negative, one_of, printed, same};
use crate::warnings::Write;

/// `apps/v1` StatefulSet.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "StatefulSet", "statefulsets", "statefulset")
    .with_short_names(&["sts"])
    .with_categories(&["all"])
    .with_subresources(WITH_SCALE)
    .with_columns(COLUMNS)
    .with_warnings(warnings)
    .with_strategy(&StatefulSetStrategy)
    .with_generation();

const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", "Ready pods and desired pods.", |o, _| {
        let n = |path: &[&str]| o.int_at(path).unwrap_or(0);
        Cell::Text(format!("{}/{}", n(&["status", "readyReplicas"]), n(&["spec", "replicas"])))
    }),
    AGE,
    CONTAINERS,
    IMAGES,
];

const MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

struct StatefulSetStrategy;

impl Strategy for StatefulSetStrategy {
    // k8s: pkg/apis/apps/v1/defaults.go SetDefaults_StatefulSet
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            defaults::text(spec, "podManagementPolicy", "OrderedReady");
            with_map(spec, "updateStrategy", |s| {
                if s.str_at(&["type"]).is_empty() {
                    s.set_at(&["type"], "RollingUpdate");
                    with_map(s, "rollingUpdate", |_| {});
                }
                let rolling = s.str_at(&["type"]) == "RollingUpdate";
                at(s, &["rollingUpdate"], |r| {
                    value(r, "partition", 0);
                    if rolling {
                        value(r, "maxUnavailable", 1);
                    }
                });
            });
            with_map(spec, "persistentVolumeClaimRetentionPolicy", |p| {
                defaults::text(p, "whenDeleted", "Retain");
                defaults::text(p, "whenScaled", "Retain");
            });
            value(spec, "replicas", 1);
            value(spec, "revisionHistoryLimit", 10);
            with_map(spec, "template", |t| with_map(t, "spec", pod_spec));
            each_item(spec, &["volumeClaimTemplates"], |c| {
                defaults::text(c, "kind", "PersistentVolumeClaim");
                defaults::text(c, "apiVersion", "v1");
                with_map(c, "spec", |s| defaults::text(s, "volumeMode", "Filesystem"));
                with_map(c, "status", |s| defaults::text(s, "phase", "Pending"));
            });
        });
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = crate::defaults::empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        let policy = spec.str_at(&["podManagementPolicy"]);
        let at = path.child("podManagementPolicy");
        match policy {
            "" => errors.push(FieldError::required(&at, "")),
            "OrderedReady" | "Parallel" => {}
            other => {
                let why = "must be 'OrderedReady' or 'Parallel'";
                errors.push(FieldError::invalid(&at, quoted(other), why));
            }
        }
        update_strategy(&mut errors, spec, &path.child("updateStrategy"));
        if let Some(policy) = spec.get("persistentVolumeClaimRetentionPolicy") {
            let at = path.child("persistentVolumeClaimRetentionPolicy");
            for field in ["whenDeleted", "whenScaled"] {
                one_of(&mut errors, policy, field, &at, &["Retain", "Delete"]);
            }
        }
        // A negative revisionHistoryLimit keeps all of them.
        for field in ["replicas", "minReadySeconds"] {
            non_negative(&mut errors, spec, field, &path);
        }
        if let Some(ordinals) = spec.get("ordinals") {
            non_negative(&mut errors, ordinals, "start", &path.child("ordinals"));
        }
        claim_templates(&mut errors, spec, &path.child("volumeClaimTemplates"));
        pod_spec::selector_and_template(&mut errors, &with_claims(spec), "statefulset", &path);
        pod_spec::always_restarted(&mut errors, spec, "StatefulSet", &path);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return rolling::status_counts(new);
        }
        let mut errors = self.validate(new);
        let (Some(mut after), Some(before)) = (new.get("spec").cloned(), old.get("spec")) else {
            return errors;
        };
        for field in MUTABLE {
            carry(&mut after, before, field);
        }
        if !same(Some(&after), Some(before)) {
            let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
            errors.push(FieldError::forbidden(&Path::new("spec"), why));
        }
        errors
    }
}

// k8s: pkg/apis/apps/validation/validation.go validateRollingUpdateStatefulSet
fn update_strategy(errors: &mut Errors, spec: &Value, at: &Path) {
    let roll = spec.at(&["updateStrategy", "rollingUpdate"]);
    match (spec.str_at(&["updateStrategy", "type"]), roll) {
        ("OnDelete", Some(_)) => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::invalid(&at.child("rollingUpdate"), "{}", why));
        }
        ("RollingUpdate", Some(r)) => {
            let at = at.child("rollingUpdate");
            non_negative(errors, r, "partition", &at);
            let most = r.get("maxUnavailable");
            let at = at.child("maxUnavailable");
            rolling::count_or_percent(errors, most, &at);
            if most.is_some() && rolling::is_zero(most) {
                errors.push(FieldError::invalid(&at, printed(most), "cannot be 0"));
            }
            rolling::not_over_hundred(errors, most, &at);
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        (other, _) => {
            let why = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(at, quoted(other), why));
        }
    }
}

/// The spec as its pods get it: each claim template is a volume of its name, in the place of one that has the name
/// already.
// k8s: pkg/controller/statefulset/stateful_set_utils.go updateStorage
fn with_claims(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let claims: Vec<String> = names(&spec).map(str::to_owned).collect();
    if claims.is_empty() {
        return spec;
    }
    let template = &["template", "spec", "volumes"];
    let mut volumes: Vec<Value> = spec.list_at(template).to_vec();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (place, volume) in volumes.iter().enumerate() {
        places.entry(volume.str_at(&["name"]).to_owned()).or_insert(place);
    }
    for name in claims {
        let mut volume = defaults::empty_map();
        volume.set_at(&["persistentVolumeClaim", "claimName"], name.as_str());
        volume.set_at(&["name"], name.as_str());
        let place = *places.entry(name).or_insert(volumes.len());
        match volumes.get_mut(place) {
            Some(same) => *same = volume,
            None => volumes.push(volume),
        }
    }
    spec.set_at(template, volumes);
    spec
}

/// The names of claim templates that may be names of volumes.
fn names(spec: &Value) -> impl Iterator<Item = &str> {
    let all = spec.list_at(&["volumeClaimTemplates"]).iter().map(|c| c.str_at(&["metadata", "name"]));
    all.filter(|n| name::dns1123_label(n).is_empty())
}

fn claim_templates(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    let empty = defaults::empty_map();
    for (i, c) in spec.list_at(&["volumeClaimTemplates"]).iter().enumerate() {
        let at = path.index(i);
        let n = c.str_at(&["metadata", "name"]);
        let name_at = at.child("metadata").child("name");
        match n {
            "" => errors.push(FieldError::required(&name_at, "")),
            n => each(errors, &name_at, n, name::dns1123_label(n)),
        }
        if !n.is_empty() && !seen.insert(n) {
            errors.push(FieldError::duplicate(&name_at, quoted(n)));
        }
        validate_spec(errors, c.get("spec").unwrap_or(&empty), &at.child("spec"));
    }
}

// k8s: pkg/registry/apps/statefulset/strategy.go WarningsOnCreate, WarningsOnUpdate
fn warnings(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if !w.is_whole() {
        return out;
    }
    if w.changes(&["spec"]) {
        pod_spec::warnings::template(&mut out, w.new.at(&["spec", "template"]), "spec.template");
    }
    for (i, claim) in w.new.list_at(&["spec", "volumeClaimTemplates"]).iter().enumerate() {
        let path = Path::new("spec").child("volumeClaimTemplates").index(i);
        // Upstream's two ways of writing it.
        let path = if w.creates() { path } else { path.child("Spec") };
        if let Some(spec) = claim.get("spec") {
            pod_spec::warnings::claim(&mut out, spec, &path);
        }
    }
    if w.new.int_at(&["spec", "revisionHistoryLimit"]).is_some_and(|n| n < 0) {
        let why = "a negative value retains all historical revisions; a value >= 0 is recommended";
        out.push(format!("spec.revisionHistoryLimit: {why}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    /// A set whose template and claims vary.
    fn set(container: &str, volumes: &str, claims: &str) -> Value {
        let mut o = yaml(&format!(
            "metadata: {{name: s, namespace: n}}
spec:
  serviceName: s
  selector: {{matchLabels: {{a: b}}}}
  template:
    metadata: {{labels: {{a: b}}}}
    spec:
      containers: [{{name: c, image: i, {container}}}]
      volumes: [{volumes}]
  volumeClaimTemplates: [{claims}]"
        ));
        StatefulSetStrategy.default_fields(&mut o);
        o
    }

    fn claim(name: &str) -> String {
        let spec = "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";
        format!("{{metadata: {{name: {name}}}, spec: {spec}}}")
    }

    /// A change of the spec, and what is said about it.
    #[test]
    fn updates_claims_and_numbers_are_checked() {
        for (field, change, want) in [
            ("updateStrategy", "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 2}}", ""),
            ("updateStrategy", "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 10%}}", ""),
            (
                "updateStrategy",
                "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 0}}",
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
            ),
            (
                "updateStrategy",
                "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 101%}}",
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            ),
            (
                "persistentVolumeClaimRetentionPolicy",
                "{whenScaled: Keep}",
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Keep\": supported values: \"Retain\", \"Delete\"",
            ),
            (
                "ordinals",
                "{start: -1}",
                "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
            ),
            ("revisionHistoryLimit", "-1", ""),
        ] {
            let mut o = set("workingDir: /", "", "");
            let change = yaml(&format!("v: {change}"));
            o.set_at(&["spec", field], change.get("v").unwrap().clone());
            StatefulSetStrategy.default_fields(&mut o);
            assert_eq!(texts(&StatefulSetStrategy.validate(&o)).join("; "), want);
        }
        let most = &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"];
        assert_eq!(set("workingDir: /", "", "").int_at(most), Some(1));
    }

    #[test]
    fn a_template_may_use_its_claims_as_volumes() {
        let data = claim("data");
        let at = "spec.template.spec.containers[0]";
        for (container, volumes, claims, want) in [
            ("volumeMounts: [{name: data, mountPath: /d}]", "", &*data, vec![]),
            ("volumeDevices: [{name: data, devicePath: /d}]", "", &data, vec![]),
            ("volumeMounts: [{name: own, mountPath: /d}]", "{name: own, emptyDir: {}}", &data, vec![]),
            // The claim takes the place of the volume, which could not be a device.
            ("volumeDevices: [{name: data, devicePath: /d}]", "{name: data, emptyDir: {}}", &data, vec![]),
            (
                "volumeMounts: [{name: other, mountPath: /d}]",
                "",
                &data,
                vec![format!("{at}.volumeMounts[0].name: Not found: \"other\"")],
            ),
            (
                "volumeMounts: [{name: data, mountPath: /d}]",
                "",
                "",
                vec![format!("{at}.volumeMounts[0].name: Not found: \"data\"")],
            ),
            (
                "workingDir: /",
                "",
                &format!("{data}, {data}"),
                vec!["spec.volumeClaimTemplates[1].metadata.name: Duplicate value: \"data\"".to_owned()],
            ),
            (
                "workingDir: /",
                "",
                "{metadata: {name: x}, spec: {accessModes: [ReadWriteOnce]}}",
                vec!["spec.volumeClaimTemplates[0].spec.resources[storage]: Required value".to_owned()],
            ),
        ] {
            let o = set(container, volumes, claims);
            assert_eq!(texts(&StatefulSetStrategy.validate(&o)), want, "{container} {volumes} {claims}");
        }
    }
}
