//! Rules and defaults that the four RBAC kinds share.
// k8s: pkg/apis/rbac/validation/validation.go, pkg/apis/rbac/v1/defaults.go

use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{AGE, NAME, text, wide};
use crate::defaults::{at, each, text as default_text};
use crate::kind::{Cell, Column, Context, Operation, Strategy};
use crate::rules::{self, Errors, printed, required, same};

/// The group of the kinds, and of users, groups and roles that they name.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// Role and ClusterRole.
pub struct RoleStrategy {
    pub namespaced: bool,
}

impl Strategy for RoleStrategy {
    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for (i, r) in o.list_at(&["rules"]).iter().enumerate() {
            policy_rule(&mut errors, r, self.namespaced, &Path::new("rules").index(i));
        }
        let path = Path::new("aggregationRule").child("clusterRoleSelectors");
        if let Some(aggregation) = o.get("aggregationRule") {
            let selectors = aggregation.list_at(&["clusterRoleSelectors"]);
            if selectors.is_empty() {
                let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
                errors.push(FieldError::required(&path, why));
            }
            for (i, s) in selectors.iter().enumerate() {
                rules::label_selector(&mut errors, Some(s), &path.index(i));
            }
        }
        errors
    }
}

fn policy_rule(errors: &mut Errors, r: &Value, namespaced: bool, path: &Path) {
    let any = |field: &str| !r.list_at(&[field]).is_empty();
    if !any("verbs") {
        errors.push(FieldError::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    if any("nonResourceURLs") {
        let at = path.child("nonResourceURLs");
        let shown = printed(r.get("nonResourceURLs"));
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&at, shown.clone(), why));
        }
        if any("apiGroups") || any("resources") || any("resourceNames") {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&at, shown, why));
        }
        return;
    }
    if !any("apiGroups") {
        let why = "resource rules must supply at least one api group";
        errors.push(FieldError::required(&path.child("apiGroups"), why));
    }
    if !any("resources") {
        let why = "resource rules must supply at least one resource";
        errors.push(FieldError::required(&path.child("resources"), why));
    }
}

/// RoleBinding and ClusterRoleBinding.
pub struct BindingStrategy {
    pub namespaced: bool,
}

impl Strategy for BindingStrategy {
    fn default_fields(&self, o: &mut Value) {
        at(o, &["roleRef"], |r| default_text(r, "apiGroup", GROUP));
        each(o, &["subjects"], |s| {
            if matches!(s.str_at(&["kind"]), "User" | "Group") {
                default_text(s, "apiGroup", GROUP);
            } else if s.get("apiGroup").is_some_and(|g| g.as_str() == Some("")) {
                s.remove_at(&["apiGroup"]);
            }
        });
    }

    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("roleRef");
        let group = o.str_at(&["roleRef", "apiGroup"]);
        if group != GROUP {
            errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
        }
        let kinds: &[&str] = if self.namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
        let kind = o.str_at(&["roleRef", "kind"]);
        if !kinds.contains(&kind) {
            errors.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
        }
        let role = o.str_at(&["roleRef", "name"]);
        if role.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else {
            rules::each(&mut errors, &path.child("name"), role, name::path_segment(role));
        }
        for (i, s) in o.list_at(&["subjects"]).iter().enumerate() {
            subject(&mut errors, s, self.namespaced, &Path::new("subjects").index(i));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        if !same(new.get("roleRef"), old.get("roleRef")) {
            let shown = printed(new.get("roleRef"));
            errors.push(FieldError::invalid(&Path::new("roleRef"), shown, "cannot change roleRef"));
        }
        errors
    }
}

fn subject(errors: &mut Errors, s: &Value, namespaced: bool, path: &Path) {
    required(errors, s, "name", path);
    let (kind, group) = (s.str_at(&["kind"]), s.str_at(&["apiGroup"]));
    let expected = match kind {
        "ServiceAccount" => {
            let n = s.str_at(&["name"]);
            if !n.is_empty() {
                rules::each(errors, &path.child("name"), n, name::dns1123_subdomain(n));
            }
            if !namespaced && s.str_at(&["namespace"]).is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
            ""
        }
        "User" | "Group" => GROUP,
        other => {
            let supported = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path.child("kind"), other, &supported));
            return;
        }
    };
    if group != expected {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[expected]));
    }
}

/// The table of bindings.
// k8s: pkg/printers/internalversion/printers.go printRoleBinding
pub const BINDING_COLUMNS: &[Column] = &[
    NAME,
    text("Role", "The role that is granted.", |o, _| {
        Cell::Text(format!("{}/{}", o.str_at(&["roleRef", "kind"]), o.str_at(&["roleRef", "name"])))
    }),
    AGE,
    wide("Users", "Users that get the role.", |o, _| Cell::Text(subjects(o, "User"))),
    wide("Groups", "Groups that get the role.", |o, _| Cell::Text(subjects(o, "Group"))),
    wide("ServiceAccounts", "Service accounts that get the role.", |o, _| {
        Cell::Text(subjects(o, "ServiceAccount"))
    }),
];

fn subjects(o: &Value, kind: &str) -> String {
    let shown = |s: &Value| {
        let name = s.str_at(&["name"]);
        if kind == "ServiceAccount" {
            format!("{}/{name}", s.str_at(&["namespace"]))
        } else {
            name.to_owned()
        }
    };
    let all: Vec<String> =
        o.list_at(&["subjects"]).iter().filter(|s| s.str_at(&["kind"]) == kind).map(shown).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn bindings() {
        let s = BindingStrategy { namespaced: true };
        let mut o = yaml(
            "{roleRef: {kind: Role, name: r}, subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: s, namespace: x}]}",
        );
        s.default_fields(&mut o);
        assert_eq!(texts(&s.validate(&o)), Vec::<String>::new());
        let mut bad = yaml("{roleRef: {kind: X}, subjects: [{kind: Robot, name: u}]}");
        s.default_fields(&mut bad);
        assert_eq!(
            texts(&s.validate(&bad)),
            [
                "roleRef.kind: Unsupported value: \"X\": supported values: \"Role\", \"ClusterRole\"",
                "roleRef.name: Required value",
                "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            ]
        );
        let e = texts(&s.validate_update(&bad, &o, Operation::Update));
        assert!(e.last().unwrap().ends_with("cannot change roleRef"), "{e:?}");
    }

    #[test]
    fn roles() {
        let s = RoleStrategy { namespaced: true };
        let o = yaml(
            "{rules: [{verbs: [get], apiGroups: [''], resources: [pods]}, {nonResourceURLs: [/x]}, {verbs: [get]}]}",
        );
        assert_eq!(
            texts(&s.validate(&o)),
            [
                "rules[1].verbs: Required value: verbs must contain at least one value",
                "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[2].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[2].resources: Required value: resource rules must supply at least one resource",
            ]
        );
    }
}
