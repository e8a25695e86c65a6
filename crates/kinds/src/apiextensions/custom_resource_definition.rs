//! CustomResourceDefinition: a kind that users add.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/strategy.go

use meta::FieldError;
use schema::Value;

use super::{approval, validation};
use crate::defaults::{at, each as each_of, empty_map, text, value, with_map};
use crate::kind::{Context, Kind, Operation, Strategy, WITH_STATUS, keep_other_half};

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

/// What a definition has from the moment its deletion begins, until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

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
        o.set_at(&["status", "conditions"], Vec::<Value>::new());
        o.set_at(&["status", "acceptedNames", "plural"], "");
        o.set_at(&["status", "acceptedNames", "kind"], "");
        o.set_at(&["status", "storedVersions"], Vec::<Value>::new());
        remember_stored(o);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &Context) {
        keep_other_half(new, old, op);
        if op == Operation::Update {
            remember_stored(new);
        }
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = validation::definition(o);
        errors.extend(approval::missing(o));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return validation::status(new);
        }
        let mut errors = validation::update(new, old);
        if approval::of(new) != approval::of(old)
            || new.str_at(&["spec", "group"]) != old.str_at(&["spec", "group"])
        {
            errors.extend(approval::missing(new));
        }
        errors
    }

    fn deletion_finalizer(&self) -> Option<&'static str> {
        Some(CLEANUP_FINALIZER)
    }

    // k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/etcd.go Delete
    fn mark_deleted(&self, o: &mut Value, cx: &Context) {
        let mut condition = empty_map();
        condition.set_at(&["type"], "Terminating");
        condition.set_at(&["status"], "True");
        condition.set_at(&["lastTransitionTime"], cx.now.as_str());
        condition.set_at(&["reason"], "InstanceDeletionPending");
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        condition.set_at(&["message"], message);
        let mut conditions = o.list_at(&["status", "conditions"]).to_vec();
        conditions.retain(|c| c.str_at(&["type"]) != "Terminating");
        conditions.push(condition);
        o.set_at(&["status", "conditions"], conditions);
    }
}

/// The version in which objects are stored from now on is one of those in which objects are stored.
fn remember_stored(o: &mut Value) {
    let versions = o.list_at(&["spec", "versions"]);
    let Some(storage) = versions.iter().find(|v| v.bool_at(&["storage"]) == Some(true)) else { return };
    let name = Value::from(storage.str_at(&["name"]));
    let mut stored = o.list_at(&["status", "storedVersions"]).to_vec();
    if !stored.contains(&name) {
        stored.push(name);
        o.set_at(&["status", "storedVersions"], stored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::yaml;

    fn plain() -> Value {
        let mut o = yaml(
            "metadata: {name: widgets.example.com}\nspec: {group: example.com, scope: Namespaced, names: {plural: widgets, kind: Widget}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}",
        );
        DefinitionStrategy.default_fields(&mut o);
        DefinitionStrategy.prepare_for_create(&mut o, &Context::default());
        o
    }

    #[test]
    fn a_plain_definition() {
        let o = plain();
        assert_eq!(DefinitionStrategy.validate(&o), []);
        assert_eq!(o.str_at(&["spec", "names", "listKind"]), "WidgetList");
        assert_eq!(o.str_at(&["spec", "names", "singular"]), "widget");
        assert_eq!(o.str_at(&["spec", "conversion", "strategy"]), "None");
        assert_eq!(o.list_at(&["status", "storedVersions"]), [Value::from("v1")]);
    }

    #[test]
    fn another_version_to_store_is_remembered_beside_the_first() {
        let old = plain();
        let mut new = old.clone();
        new.set_at(
            &["spec", "versions"],
            yaml("v: [{name: v1, served: true, storage: false}, {name: v2, served: true, storage: true}]")
                .list_at(&["v"])
                .to_vec(),
        );
        DefinitionStrategy.prepare_for_update(&mut new, &old, Operation::Update, &Context::default());
        assert_eq!(new.list_at(&["status", "storedVersions"]), [Value::from("v1"), Value::from("v2")]);
    }

    #[test]
    fn a_deletion_is_told_once() {
        let mut o = plain();
        let cx = Context { now: "2026-01-02T03:04:05Z".to_owned(), ..Context::default() };
        DefinitionStrategy.mark_deleted(&mut o, &cx);
        DefinitionStrategy.mark_deleted(&mut o, &cx);
        let conditions = o.list_at(&["status", "conditions"]);
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].str_at(&["reason"]), "InstanceDeletionPending");
    }
}
