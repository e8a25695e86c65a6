//! IPAddress: an address that is taken, and by what.

use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{NAME, text};
use crate::kind::{Cell, Column, Kind, NameRule, Operation, Strategy};
use crate::rules::{Errors, each, immutable};
use crate::shape::{Check, Rule, rule};

/// `networking.k8s.io/v1` IPAddress.
pub static KIND: Kind =
    Kind::cluster_kind("networking.k8s.io", "v1", "IPAddress", "ipaddresses", "ipaddress")
        .with_short_names(&["ip"])
        .with_names(NameRule::Ip)
        .with_columns(COLUMNS)
        .with_strategy(&IpAddress)
        .with_rules(RULES);

// k8s: pkg/apis/networking/validation/validation.go ValidateIPAddress
const RULES: &[Rule] = &[
    rule("spec.parentRef", Check::Required("")),
    rule("spec.parentRef?.resource", Check::Required("")),
    rule("spec.parentRef?.name", Check::Required("")),
];

// k8s: pkg/printers/internalversion/printers.go printIPAddress. The age that upstream's rows carry has no column.
const COLUMNS: &[Column] =
    &[NAME, text("ParentRef", "The object that has the address.", |o, _| Cell::Text(parent(o)))];

fn parent(o: &Value) -> String {
    let r = |field: &str| o.str_at(&["spec", "parentRef", field]);
    if o.at(&["spec", "parentRef"]).is_none() {
        return "<none>".to_owned();
    }
    let mut text = r("resource").to_lowercase();
    for (mark, part) in [('.', r("group").to_lowercase()), ('/', r("namespace").to_owned())] {
        if !part.is_empty() {
            text.push(mark);
            text.push_str(&part);
        }
    }
    format!("{text}/{}", r("name"))
}

struct IpAddress;

impl Strategy for IpAddress {
    // k8s: pkg/apis/networking/validation/validation.go validateIPAddressParentReference
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("parentRef");
        for field in ["group", "resource", "name", "namespace"] {
            let text = o.str_at(&["spec", "parentRef", field]);
            if text.is_empty() {
                continue;
            }
            let complaints =
                if field == "group" { name::dns1123_subdomain(text) } else { name::path_segment(text) };
            each(&mut errors, &path.child(field), text, complaints);
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let at = ["spec", "parentRef"];
        immutable(&mut errors, new.at(&at), old.at(&at), &Path::new("spec").child("parentRef"));
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn the_parent_stays_and_is_shown() {
        let cases = [
            ("{spec: {parentRef: {resource: services, namespace: a, name: b}}}", "services/a/b", 0),
            ("{spec: {parentRef: {group: Ex.Com, resource: Things, name: b}}}", "things.ex.com/b", 1),
            ("{spec: {parentRef: {resource: a/b, name: '..'}}}", "a/b/..", 2),
            ("{}", "<none>", 0),
        ];
        for (object, shown, wrong) in cases {
            let object = yaml(object);
            assert_eq!(parent(&object), shown);
            assert_eq!(IpAddress.validate(&object).len(), wrong, "{shown}");
        }
        let (old, new) = (
            yaml("{spec: {parentRef: {resource: services, name: b}}}"),
            yaml("{spec: {parentRef: {resource: services, name: c}}}"),
        );
        assert_eq!(IpAddress.validate_update(&old, &old, Operation::Update).len(), 0);
        let said = texts(&IpAddress.validate_update(&new, &old, Operation::Update));
        assert!(said[0].starts_with("spec.parentRef: Invalid value: "), "{said:?}");
        assert!(said[0].ends_with("field is immutable"), "{said:?}");
    }
}
