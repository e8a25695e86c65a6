//! CustomResourceDefinition: a kind that users add.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::defaults::{at, each as each_of, empty_map, text, value, with_map};
use crate::kind::{Context, Kind, Operation, Strategy, WITH_STATUS};
use crate::rules::{Errors, each, immutable, one_of, required};

/// `apiextensions.k8s.io/v1` CustomResourceDefinition.
pub static KIND: Kind = Kind::cluster_kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
)
.with_short_names(&["crd", "crds"])
.with_categories(&["api-extensions"])
.with_subresources(WITH_STATUS)
.with_strategy(&DefinitionStrategy)
.with_status_keeping(crate::kind::USER_METADATA)
.with_generation();

struct DefinitionStrategy;

impl Strategy for DefinitionStrategy {
    // k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/defaults.go
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            with_map(spec, "names", |names| {
                let kind = names.str_at(&["kind"]).to_owned();
                if !kind.is_empty() {
                    text(names, "singular", &kind.to_lowercase());
                    text(names, "listKind", &format!("{kind}List"));
                }
            });
            with_map(spec, "conversion", |c| text(c, "strategy", "None"));
            at(spec, &["conversion", "webhook", "clientConfig", "service"], |s| value(s, "port", 443));
            each_of(spec, &["versions"], |v| value(v, "served", false));
        });
    }

    fn prepare_for_create(&self, o: &mut Value, _cx: &Context) {
        o.set_at(&["status"], empty_map());
        let versions = o.list_at(&["spec", "versions"]);
        let stored = versions.iter().find(|v| v.bool_at(&["storage"]) == Some(true));
        let stored: Vec<Value> = stored.iter().map(|v| Value::from(v.str_at(&["name"]))).collect();
        o.set_at(&["status", "conditions"], Vec::<Value>::new());
        o.set_at(&["status", "acceptedNames", "plural"], "");
        o.set_at(&["status", "acceptedNames", "kind"], "");
        o.set_at(&["status", "storedVersions"], stored);
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let empty = empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        let path = Path::new("spec");
        let group = spec.str_at(&["group"]);
        let plural = spec.str_at(&["names", "plural"]);
        let own = o.str_at(&["metadata", "name"]);
        let wanted = format!("{plural}.{group}");
        if own != wanted {
            let why = "must be spec.names.plural+\".\"+spec.group";
            errors.push(FieldError::invalid(&Path::new("metadata").child("name"), quoted(own), why));
        }
        if let Some(group) = required(&mut errors, spec, "group", &path) {
            each(&mut errors, &path.child("group"), group, name::dns1123_subdomain(group));
            if !group.contains('.') {
                let why = "should be a domain with at least one dot";
                errors.push(FieldError::invalid(&path.child("group"), quoted(group), why));
            }
        }
        one_of(&mut errors, spec, "scope", &path, &["Cluster", "Namespaced"]);
        names(&mut errors, spec.get("names").unwrap_or(&empty), &path.child("names"));
        versions(&mut errors, spec.list_at(&["versions"]), &path.child("versions"));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return Vec::new();
        }
        let mut errors = self.validate(new);
        for names in [&["group"][..], &["names", "plural"], &["scope"], &["names", "kind"]] {
            let full: Vec<&str> = std::iter::once("spec").chain(names.iter().copied()).collect();
            let at = full.iter().skip(1).fold(Path::new("spec"), |p, n| p.child(n));
            immutable(&mut errors, new.at(&full), old.at(&full), &at);
        }
        let stored = old.list_at(&["status", "storedVersions"]);
        for (i, v) in stored.iter().filter_map(Value::as_str).enumerate() {
            if !new.list_at(&["spec", "versions"]).iter().any(|n| n.str_at(&["name"]) == v) {
                let why = "missing from spec.versions; ".to_owned()
                    + v
                    + " was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in "
                    + v
                    + " and removes "
                    + v
                    + " from status.storedVersions";
                let at = Path::new("status").child("storedVersions").index(i);
                errors.push(FieldError::invalid(&at, quoted(v), why));
            }
        }
        errors
    }
}

fn names(errors: &mut Errors, names: &Value, path: &Path) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let Some(v) = required(errors, names, field, path) else { continue };
        let lower = v.to_lowercase();
        let complaints = name::dns1035_label(if matches!(field, "kind" | "listKind") { &lower } else { v });
        each(errors, &path.child(field), v, complaints);
    }
    for (i, s) in names.list_at(&["shortNames"]).iter().enumerate() {
        let s = s.as_str().unwrap_or("");
        each(errors, &path.child("shortNames").index(i), s, name::dns1035_label(s));
    }
    if !names.str_at(&["kind"]).is_empty() && names.str_at(&["kind"]) == names.str_at(&["listKind"]) {
        let why = "kind and listKind may not be the same";
        let shown = quoted(names.str_at(&["listKind"]));
        errors.push(FieldError::invalid(&path.child("listKind"), shown, why));
    }
}

fn versions(errors: &mut Errors, list: &[Value], path: &Path) {
    let mut seen = Vec::new();
    let mut stored = 0;
    for (i, v) in list.iter().enumerate() {
        let at = path.index(i);
        let n = v.str_at(&["name"]);
        each(errors, &at.child("name"), n, name::dns1035_label(n));
        if seen.contains(&n) {
            errors.push(FieldError::duplicate(&at.child("name"), quoted(n)));
        }
        seen.push(n);
        stored += usize::from(v.bool_at(&["storage"]) == Some(true));
        let schema = &["schema", "openAPIV3Schema"];
        if v.at(schema).is_none() {
            let at = at.child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(&at, "schemas are required"));
        } else if v.at(schema).is_some_and(|s| s.str_at(&["type"]) != "object") {
            let at = at.child("schema").child("openAPIV3Schema").child("type");
            let shown = quoted(v.at(schema).map_or("", |s| s.str_at(&["type"])));
            errors.push(FieldError::invalid(&at, shown, "must be object at the root"));
        }
    }
    if stored != 1 {
        let shown = crate::rules::printed(Some(&Value::List(list.to_vec())));
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, shown, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn a_plain_definition() {
        let mut o = yaml(
            "metadata: {name: widgets.example.com}\nspec: {group: example.com, scope: Namespaced, names: {plural: widgets, kind: Widget}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}",
        );
        DefinitionStrategy.default_fields(&mut o);
        DefinitionStrategy.prepare_for_create(&mut o, &Context::default());
        assert_eq!(texts(&DefinitionStrategy.validate(&o)), Vec::<String>::new());
        assert_eq!(o.str_at(&["spec", "names", "listKind"]), "WidgetList");
        assert_eq!(o.str_at(&["spec", "conversion", "strategy"]), "None");
        assert_eq!(o.list_at(&["status", "storedVersions"]), [Value::from("v1")]);
        let mut bad = o.clone();
        bad.set_at(&["metadata", "name"], "x");
        bad.set_at(&["spec", "scope"], "Everywhere");
        assert_eq!(
            texts(&DefinitionStrategy.validate(&bad)),
            [
                "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group",
                "spec.scope: Unsupported value: \"Everywhere\": supported values: \"Cluster\", \"Namespaced\"",
            ]
        );
    }
}
