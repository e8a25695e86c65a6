//! What is wrong with a CustomResourceDefinition.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;
use schema::jsonpath::JsonPath;
use schema::structural::Structural;

use crate::rules::{Errors, each, immutable, one_of, printed, required};

const CONVERTERS: [&str; 2] = ["None", "Webhook"];
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const LIMIT_DEPRECATION_CHARS: usize = 256;

/// A definition that is to be created, or the new form of one.
pub(super) fn definition(o: &Value) -> Errors {
    let mut errors = Errors::new();
    let spec = o.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let group = spec.str_at(&["group"]);
    let own = o.str_at(&["metadata", "name"]);
    if own != format!("{}.{group}", spec.str_at(&["names", "plural"])) {
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
    if spec.bool_at(&["preserveUnknownFields"]) == Some(true) {
        errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), "true", "must be false"));
    }
    versions(&mut errors, spec.list_at(&["versions"]), &path.child("versions"));
    let names_path = path.child("names");
    let given = spec.get("names").unwrap_or(&Value::Null);
    for field in ["plural", "singular", "kind", "listKind"] {
        let _ = required(&mut errors, given, field, &names_path);
    }
    names(&mut errors, given, &names_path);
    conversion(&mut errors, spec.get("conversion").unwrap_or(&Value::Null), &path.child("conversion"));
    errors
}

/// What else is wrong with a change.
pub(super) fn update(new: &Value, old: &Value) -> Errors {
    let mut errors = definition(new);
    let established = old
        .list_at(&["status", "conditions"])
        .iter()
        .any(|c| c.str_at(&["type"]) == "Established" && c.str_at(&["status"]) == "True");
    let mut keep = |names: &[&str]| {
        let at = names.iter().skip(1).fold(Path::new("spec"), |p, n| p.child(n));
        immutable(&mut errors, new.at(names), old.at(names), &at);
    };
    if established {
        keep(&["spec", "scope"]);
        keep(&["spec", "names", "kind"]);
    }
    keep(&["spec", "group"]);
    keep(&["spec", "names", "plural"]);
    let versions = new.list_at(&["spec", "versions"]);
    for (i, v) in old.list_at(&["status", "storedVersions"]).iter().filter_map(Value::as_str).enumerate() {
        if !versions.iter().any(|n| n.str_at(&["name"]) == v) {
            let why = format!(
                "missing from spec.versions; {v} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {v} and removes {v} from \
                 status.storedVersions"
            );
            let at = Path::new("status").child("storedVersions").index(i);
            errors.push(FieldError::invalid(&at, quoted(v), &why));
        }
    }
    errors
}

/// What is wrong with a new status.
pub(super) fn status(o: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status");
    let accepted = o.at(&["status", "acceptedNames"]).unwrap_or(&Value::Null);
    names(&mut errors, accepted, &path.child("acceptedNames"));
    let stored = o.list_at(&["status", "storedVersions"]);
    let at = path.child("storedVersions");
    if stored.is_empty() {
        errors.push(FieldError::invalid(&at, "[]", "must have at least one stored version"));
    }
    let storage = |v: &&Value| v.bool_at(&["storage"]) == Some(true);
    let storage = o.list_at(&["spec", "versions"]).iter().find(storage).map_or("", |v| v.str_at(&["name"]));
    if !stored.is_empty() && !stored.iter().any(|v| v.as_str() == Some(storage)) {
        let why = format!("must have the storage version {storage}");
        errors.push(FieldError::invalid(&at, printed(Some(&Value::List(stored.to_vec()))), &why));
    }
    errors
}

fn names(errors: &mut Errors, names: &Value, path: &Path) {
    let joined = |text: &str| name::dns1035_label(text).join(",");
    for field in ["plural", "singular", "kind", "listKind"] {
        let text = names.str_at(&[field]);
        let mixed = matches!(field, "kind" | "listKind");
        let why = if mixed { joined(&text.to_lowercase()) } else { joined(text) };
        if !text.is_empty() && !why.is_empty() {
            let prefix = if mixed { "may have mixed case, but should otherwise match: " } else { "" };
            errors.push(FieldError::invalid(&path.child(field), quoted(text), format!("{prefix}{why}")));
        }
    }
    for field in ["shortNames", "categories"] {
        for (i, text) in names.list_at(&[field]).iter().enumerate() {
            let text = text.as_str().unwrap_or("");
            let why = joined(text);
            if !why.is_empty() {
                errors.push(FieldError::invalid(&path.child(field).index(i), quoted(text), &why));
            }
        }
    }
    let kind = names.str_at(&["kind"]);
    if !kind.is_empty() && kind == names.str_at(&["listKind"]) {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), quoted(kind), why));
    }
}

fn versions(errors: &mut Errors, list: &[Value], path: &Path) {
    let mut seen = std::collections::BTreeSet::new();
    let (mut unique, mut stored) = (true, 0);
    for (i, v) in list.iter().enumerate() {
        stored += usize::from(v.bool_at(&["storage"]) == Some(true));
        unique &= seen.insert(v.str_at(&["name"]));
        version(errors, v, &path.index(i));
    }
    let shown = || printed(Some(&Value::List(list.to_vec())));
    if !unique {
        errors.push(FieldError::invalid(path, shown(), "must contain unique version names"));
    }
    if stored != 1 {
        errors.push(FieldError::invalid(
            path,
            shown(),
            "must have exactly one version marked as storage version",
        ));
    }
}

fn version(errors: &mut Errors, v: &Value, path: &Path) {
    let own = v.str_at(&["name"]);
    each(errors, &path.child("name"), own, name::dns1035_label(own));
    deprecation(errors, v, path);
    let schema_path = path.child("schema").child("openAPIV3Schema");
    let fields = v.list_at(&["selectableFields"]);
    let fields_path = path.child("selectableFields");
    match v.at(&["schema", "openAPIV3Schema"]) {
        None => errors.push(FieldError::required(&schema_path, "schemas are required")),
        Some(schema) => {
            let (structural, wrong) = Structural::compile(schema, false, &schema_path);
            if wrong.is_empty() {
                errors.extend(structural.check_selectable_fields(fields, &fields_path));
            }
            errors.extend(wrong);
            if v.at(&["subresources", "status"]).is_some() {
                errors.extend(Structural::check_status_root(schema, &schema_path));
            }
        }
    }
    subresources(errors, v.get("subresources").unwrap_or(&Value::Null), &path.child("subresources"));
    for (i, c) in v.list_at(&["additionalPrinterColumns"]).iter().enumerate() {
        column(errors, c, &path.child("additionalPrinterColumns").index(i));
    }
}

fn deprecation(errors: &mut Errors, v: &Value, path: &Path) {
    let Some(warning) = v.get("deprecationWarning").and_then(Value::as_str) else { return };
    let at = path.child("deprecationWarning");
    let mut wrong = |why: &str| errors.push(FieldError::invalid(&at, quoted(warning), why));
    if v.bool_at(&["deprecated"]) != Some(true) {
        wrong("can only be set for deprecated versions");
    }
    if warning.chars().count() > LIMIT_DEPRECATION_CHARS {
        wrong(&format!("must be <= {LIMIT_DEPRECATION_CHARS} characters long"));
    }
    if warning.is_empty() {
        wrong("must not be an empty string");
    }
    if let Some((i, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        wrong(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {i}"
        ));
    }
}

fn subresources(errors: &mut Errors, subresources: &Value, path: &Path) {
    let Some(scale) = subresources.get("scale") else { return };
    let scale_path = |errors: &mut Errors, field: &str, root: &str, needed: bool| {
        let at = path.child(&format!("scale.{field}"));
        let text = scale.str_at(&[field]);
        if text.is_empty() {
            if needed {
                errors.push(FieldError::required(&at, ""));
            }
        } else if !simple_path(errors, text, &at) && !text.starts_with(&format!(".{root}.")) {
            let why = format!("should be a json path under .{root}");
            errors.push(FieldError::invalid(&at, quoted(text), &why));
        }
    };
    scale_path(errors, "specReplicasPath", "spec", true);
    scale_path(errors, "statusReplicasPath", "status", true);
    // A selector may be in the spec too.
    if !scale.str_at(&["labelSelectorPath"]).starts_with(".spec.") {
        scale_path(errors, "labelSelectorPath", "status", false);
    }
}

/// Says whether something is wrong.
fn simple_path(errors: &mut Errors, text: &str, at: &Path) -> bool {
    if !text.starts_with('.') {
        errors.push(FieldError::invalid(at, quoted(text), "must be a simple json path starting with ."));
        return true;
    }
    if let Err(why) = JsonPath::parse(text) {
        errors.push(FieldError::invalid(at, quoted(text), format!("is an invalid JSONPath: {why}")));
        return true;
    }
    false
}

fn column(errors: &mut Errors, column: &Value, path: &Path) {
    let _ = required(errors, column, "name", path);
    one_of(errors, column, "type", path, &COLUMN_TYPES);
    let format = column.str_at(&["format"]);
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        errors.push(FieldError::not_supported(&path.child("format"), format, &COLUMN_FORMATS));
    }
    if let Some(text) = required(errors, column, "jsonPath", path) {
        simple_path(errors, text, &path.child("jsonPath"));
    }
}

// k8s: validateCustomResourceConversion
fn conversion(errors: &mut Errors, conversion: &Value, path: &Path) {
    one_of(errors, conversion, "strategy", path, &CONVERTERS);
    let webhook = conversion.get("webhook");
    let client = webhook.and_then(|w| w.get("clientConfig"));
    let versions = webhook.map_or(&[][..], |w| w.list_at(&["conversionReviewVersions"]));
    let (client_path, versions_path) =
        (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    if conversion.str_at(&["strategy"]) != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        if client.is_some() {
            errors.push(FieldError::forbidden(&client_path, why));
        }
        if !versions.is_empty() {
            errors.push(FieldError::forbidden(&versions_path, why));
        }
        return;
    }
    match client {
        None => {
            let why = "required when strategy is set to Webhook";
            errors.push(FieldError::required(&client_path, why));
        }
        Some(client) if client.get("url").is_some() == client.get("service").is_some() => {
            errors.push(FieldError::required(&client_path, "exactly one of url or service is required"));
        }
        Some(_) => {}
    }
    if versions.is_empty() {
        errors.push(FieldError::required(&versions_path, ""));
        return;
    }
    let known = versions.iter().filter_map(Value::as_str).any(|v| matches!(v, "v1" | "v1beta1"));
    if !known {
        let shown = printed(Some(&Value::List(versions.to_vec())));
        let why = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(&versions_path, shown, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    const GOOD: &str = "metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  conversion: {strategy: None}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {color: {type: string}}}}}}}]";

    fn complaints(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut o = yaml(GOOD);
        change(&mut o);
        texts(&definition(&o))
    }

    fn in_version(fields: &str) -> Vec<String> {
        complaints(|o| {
            let mut version = o.list_at(&["spec", "versions"])[0].clone();
            for (key, v) in yaml(fields).as_map().unwrap().iter() {
                version.as_map_mut().unwrap().set(key.to_owned(), v.clone());
            }
            o.set_at(&["spec", "versions"], vec![version]);
        })
    }

    #[test]
    fn what_is_good() {
        assert_eq!(complaints(|_| {}), Vec::<String>::new());
        for good in [
            "additionalPrinterColumns: [{name: A, type: string, jsonPath: '.status.conditions[?(@.type==\"Ready\")].status'}]",
            "selectableFields: [{jsonPath: .spec.color}]",
            "subresources: {status: {}, scale: {specReplicasPath: .spec.n, statusReplicasPath: .status.n}}",
            "{deprecated: true, deprecationWarning: use another}",
        ] {
            assert_eq!(in_version(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_version() {
        for (fields, want) in [
            (
                "deprecationWarning: x",
                "spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions",
            ),
            ("schema: null", "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
            (
                "additionalPrinterColumns: [{name: A, type: text, jsonPath: .a}]",
                "spec.versions[0].additionalPrinterColumns[0].type: Unsupported value: \"text\": supported values: \"boolean\", \"date\", \"integer\", \"number\", \"string\"",
            ),
            (
                "additionalPrinterColumns: [{name: A, type: string, jsonPath: a}]",
                "spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value: \"a\": must be a simple json path starting with .",
            ),
            (
                "selectableFields: [{jsonPath: .spec.size}]",
                "spec.versions[0].selectableFields[0].jsonPath: Invalid value: \".spec.size\": is an invalid path: does not refer to a valid field",
            ),
            (
                "subresources: {scale: {specReplicasPath: .x.n, statusReplicasPath: .status.n}}",
                "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".x.n\": should be a json path under .spec",
            ),
            (
                "name: V1",
                "spec.versions[0].name: Invalid value: \"V1\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ),
        ] {
            assert_eq!(in_version(fields), [want], "{fields}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_rest() {
        for (path, value, want) in [
            (
                &["metadata", "name"][..],
                "x",
                "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group",
            ),
            (
                &["spec", "scope"],
                "Everywhere",
                "spec.scope: Unsupported value: \"Everywhere\": supported values: \"Cluster\", \"Namespaced\"",
            ),
            (
                &["spec", "names", "listKind"],
                "Widget",
                "spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same",
            ),
            (
                &["spec", "conversion", "strategy"],
                "Magic",
                "spec.conversion.strategy: Unsupported value: \"Magic\": supported values: \"None\", \"Webhook\"",
            ),
        ] {
            let path: Vec<&'static str> = path.to_vec();
            assert_eq!(complaints(|o| o.set_at(&path, value)), [want]);
        }
        let webhook = complaints(|o| o.set_at(&["spec", "conversion", "strategy"], "Webhook"));
        assert_eq!(
            webhook,
            [
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ]
        );
    }

    #[test]
    fn what_may_not_change() {
        let mut old = yaml(GOOD);
        old.set_at(&["status", "storedVersions"], vec![Value::from("v0"), Value::from("v1")]);
        let mut new = old.clone();
        new.set_at(&["spec", "scope"], "Cluster");
        assert_eq!(
            texts(&update(&new, &old)).len(),
            1,
            "only the stored version is missed before names are accepted"
        );
        old.set_at(&["status", "conditions"], vec![yaml("{type: Established, status: 'True'}")]);
        let found = texts(&update(&new, &old));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("spec.scope: Invalid value: \"Cluster\": field is immutable"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("status.storedVersions[0]: Invalid value: \"v0\": missing from"),
            "{found:?}"
        );
    }
}
