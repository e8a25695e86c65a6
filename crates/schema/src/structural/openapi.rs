//! OpenAPI of a defined kind and of its list, as upstream publishes them. In version 2 much cannot be said, and some
//! that can be said makes kubectl refuse good objects: that is left out there.
// k8s: apiextensions-apiserver pkg/controller/openapi/{builder/builder,v2/conversion}.go

use descriptions::Descriptions;

use super::Structural;
use super::node::{Additional, Checks, ListKind, Node, NodeType, is_integer_or_string};
use crate::json::encode_plain;
use crate::openapi::{Dialect, definition_name};
use crate::{Map, Value};

const OBJECT_META: &str = "meta.k8s.io/v1.ObjectMeta";
const LIST_META: &str = "meta.k8s.io/v1.ListMeta";
/// Its `kind` and `apiVersion` are described as those of every kind.
const A_KIND: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const CONVENTIONS: &str =
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";

/// How a defined kind is called.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    pub list_kind: &'a str,
    pub plural: &'a str,
}

/// The name of a definition: `com.example.v1.Widget`.
#[must_use]
pub fn model_name(group: &str, version: &str, kind: &str) -> String {
    let group: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", group.join("."))
}

/// The schema of the kind; without a structural one, that of any object. `selectable` are `selectableFields` as they
/// are written.
#[must_use]
pub fn kind_schema(
    schema: Option<&Structural>,
    dialect: Dialect,
    names: &Names<'_>,
    selectable: &[Value],
    texts: &Descriptions,
) -> Value {
    let v2 = dialect == Dialect::V2;
    let said = schema.filter(|s| !(v2 && (s.root.preserve_unknown_fields || s.preserve_unknown_fields)));
    let mut out = match said {
        None => Map(vec![("type".into(), "object".into())]),
        Some(s) => {
            let mut out = Writer { dialect }.structural(&s.root);
            let properties = out.entry("properties", || Value::Map(Map::new()));
            if let Value::Map(properties) = properties {
                properties.set("metadata", metadata(dialect, OBJECT_META, &object_words()));
                type_meta(properties, texts);
                sort(properties);
            }
            out
        }
    };
    extensions(&mut out, names, names.kind, selectable);
    Value::Map(out)
}

/// The schema of the kind's list.
#[must_use]
pub fn list_schema(dialect: Dialect, names: &Names<'_>, selectable: &[Value], texts: &Descriptions) -> Value {
    let item = dialect.reference(&model_name(names.group, names.version, names.kind));
    let mut items = Map::new();
    items.set("description", format!("List of {}. More info: {CONVENTIONS}", names.plural));
    items.set("type", "array");
    items.set("items", Map(vec![("$ref".into(), item.into())]));
    let mut properties = Map::new();
    properties.set("items", items);
    let words = format!("Standard list metadata. More info: {CONVENTIONS}#types-kinds");
    properties.set("metadata", metadata(dialect, LIST_META, &words));
    type_meta(&mut properties, texts);
    sort(&mut properties);
    let mut out = Map::new();
    out.set("description", format!("{} is a list of {}", names.list_kind, names.kind));
    out.set("type", "object");
    out.set("required", vec![Value::from("items")]);
    out.set("properties", properties);
    extensions(&mut out, names, names.list_kind, selectable);
    Value::Map(out)
}

fn object_words() -> String {
    format!("Standard object's metadata. More info: {CONVENTIONS}#metadata")
}

/// A described reference; in version 3 a reference stands alone.
fn metadata(dialect: Dialect, ty: &str, words: &str) -> Value {
    let target = dialect.reference(&definition_name(ty));
    let reference = ("$ref".into(), Value::from(target));
    let mut out = match dialect {
        Dialect::V2 => Map(vec![reference]),
        Dialect::V3 => Map(vec![("allOf".into(), vec![Value::Map(Map(vec![reference]))].into())]),
    };
    out.set("description", words);
    Value::Map(out)
}

fn type_meta(properties: &mut Map, texts: &Descriptions) {
    for name in ["apiVersion", "kind"] {
        let mut out = Map::new();
        if let Some(text) = texts.of_field(A_KIND, name) {
            out.set("description", text);
        }
        out.set("type", "string");
        properties.set(name, out);
    }
}

fn sort(map: &mut Map) {
    map.0.sort_by(|a, b| a.0.cmp(&b.0));
}

fn extensions(out: &mut Map, names: &Names<'_>, kind: &str, selectable: &[Value]) {
    let gvk = [("group", names.group), ("kind", kind), ("version", names.version)];
    let gvk = Map(gvk.into_iter().map(|(k, v)| (k.into(), Value::from(v))).collect());
    out.set("x-kubernetes-group-version-kind", vec![Value::Map(gvk)]);
    if selectable.is_empty() {
        return;
    }
    let field = |f: &Value| {
        let path = f.str_at(&["jsonPath"]);
        Value::Map(Map(vec![("fieldPath".into(), path.strip_prefix('.').unwrap_or(path).into())]))
    };
    let fields: Vec<Value> = selectable.iter().map(field).collect();
    out.set("x-kubernetes-selectable-fields", fields);
}

struct Writer {
    dialect: Dialect,
}

impl Writer {
    /// A schema that gives structure.
    fn structural(&self, node: &Node) -> Map {
        let v2 = self.dialect == Dialect::V2;
        // In version 2 what may be null, or anything, has neither type nor parts.
        let bare = v2 && (node.nullable || node.preserve_unknown_fields);
        let items = node.items.as_deref().filter(|_| !bare);
        let properties = if bare { &[][..] } else { &node.properties };
        let typed = !(v2
            && (node.nullable
                || (items.is_none() && node.ty == NodeType::Array)
                || (node.preserve_unknown_fields && node.ty == NodeType::Object)));
        let mut out = Map::new();
        words(node, &mut out);
        if typed && node.ty.is_set() {
            out.set("type", node.ty.as_str());
        }
        if node.nullable && !v2 {
            out.set("nullable", true);
        }
        if let Some(default) = node.default.as_deref() {
            out.set("default", default.clone());
        }
        if let Some(items) = items {
            out.set("items", self.structural(items));
        }
        let mut written = Map::new();
        for (name, property) in properties {
            written.0.push((name.to_string().into(), Value::Map(self.structural(property))));
        }
        let mut more: Vec<Value> = Vec::new();
        if node.embedded && !(v2 && node.preserve_unknown_fields) {
            self.embedded(&mut written);
            more = ["kind", "apiVersion"].map(Value::from).into();
        }
        if !written.is_empty() {
            out.set("properties", written);
        }
        match &node.additional {
            Additional::Unset => {}
            Additional::Bool(allowed) => out.set("additionalProperties", *allowed),
            Additional::Schema(schema) => out.set("additionalProperties", self.structural(schema)),
        }
        self.checks(node, properties, &mut out);
        let required = out.remove("required");
        let mut required = required.and_then(|mut r| r.as_list_mut().map(std::mem::take)).unwrap_or_default();
        more.retain(|m| !required.contains(m));
        required.extend(more);
        if !required.is_empty() {
            out.set("required", required);
        }
        structure(node, &mut out);
        out
    }

    /// What every embedded object has.
    fn embedded(&self, properties: &mut Map) {
        let words = [
            (
                "apiVersion",
                "apiVersion defines the versioned schema of this representation of an object.",
                "resources",
            ),
            (
                "kind",
                "kind is a string value representing the type of this object. In CamelCase.",
                "types-kinds",
            ),
        ];
        for (name, text, anchor) in words {
            let mut out = Map::new();
            out.set("description", format!("{text} More info: {CONVENTIONS}#{anchor}"));
            out.set("type", "string");
            properties.set(name, out);
        }
        properties.set("metadata", metadata(self.dialect, OBJECT_META, &object_words()));
        sort(properties);
    }

    fn checks(&self, node: &Node, properties: &[(Box<str>, Node)], out: &mut Map) {
        let none = Checks::default();
        let checks = node.checks.as_deref().unwrap_or(&none);
        plain_checks(checks, out);
        if self.dialect == Dialect::V2 {
            let nullable = |name: &str| properties.iter().any(|(n, p)| **n == *name && p.nullable);
            let drop_all = node.additional.schema().is_some_and(|s| s.nullable);
            if let Some(required) = out.get_mut("required").and_then(Value::as_list_mut) {
                required.retain(|r| !drop_all && !r.as_str().is_some_and(nullable));
            }
            return;
        }
        junctors(checks, out);
        // An integer or a string: said in words that readers of OpenAPI know, unless it is already.
        if node.int_or_string
            && !is_integer_or_string(&checks.any_of)
            && !checks.all_of.first().is_some_and(|f| is_integer_or_string(&f.checks().any_of))
        {
            let ty = |t: &str| Value::Map(Map(vec![("type".into(), t.into())]));
            let any_of: Value = vec![ty("integer"), ty("string")].into();
            if checks.any_of.is_empty() {
                out.set("anyOf", any_of);
            } else {
                let first = Value::Map(Map(vec![("anyOf".into(), any_of)]));
                let all_of = out.entry("allOf", || Value::List(Vec::new()));
                if let Value::List(l) = all_of {
                    l.insert(0, first);
                }
            }
        }
    }
}

fn words(node: &Node, out: &mut Map) {
    let Some(words) = node.words.as_deref() else { return };
    if !words.description.is_empty() {
        out.set("description", &*words.description);
    }
    if !words.title.is_empty() {
        out.set("title", &*words.title);
    }
    if let Some(docs) = &words.external_docs {
        out.set("externalDocs", docs.clone());
    }
    if let Some(example) = &words.example {
        out.set("example", example.clone());
    }
}

/// Extensions, which both versions can say.
fn structure(node: &Node, out: &mut Map) {
    let flags = [
        ("x-kubernetes-preserve-unknown-fields", node.preserve_unknown_fields),
        ("x-kubernetes-embedded-resource", node.embedded),
        ("x-kubernetes-int-or-string", node.int_or_string),
    ];
    for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
        out.set(name, true);
    }
    if !node.list_map_keys.is_empty() {
        out.set("x-kubernetes-list-map-keys", texts(&node.list_map_keys));
    }
    let kind = node.list_kind.as_ref().map(|k| match k {
        ListKind::Atomic => "atomic",
        ListKind::Set => "set",
        ListKind::Map => "map",
        ListKind::Other(other) => other,
    });
    if let Some(kind) = kind {
        out.set("x-kubernetes-list-type", kind);
    }
    if let Some(kind) = node.map_kind.as_deref() {
        out.set("x-kubernetes-map-type", kind);
    }
    if !node.rules.is_empty() {
        out.set("x-kubernetes-validations", node.rules.clone());
    }
}

fn texts(list: &[Box<str>]) -> Value {
    Value::List(list.iter().map(|s| Value::from(&**s)).collect())
}

/// A float as JSON has it: whole ones without a point.
fn number(f: f64) -> Value {
    crate::decode_plain(&encode_plain(&Value::Float(f))).unwrap_or(Value::Float(f))
}

fn plain_checks(checks: &Checks, out: &mut Map) {
    if !checks.format.is_empty() {
        out.set("format", &*checks.format);
    }
    let numbers =
        [("maximum", checks.maximum), ("minimum", checks.minimum), ("multipleOf", checks.multiple_of)];
    for (name, n) in numbers {
        if let Some(n) = n {
            out.set(name, number(n));
        }
    }
    let flags = [
        ("exclusiveMaximum", checks.exclusive_maximum),
        ("exclusiveMinimum", checks.exclusive_minimum),
        ("uniqueItems", checks.unique_items),
    ];
    for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
        out.set(name, true);
    }
    let sizes = [
        ("maxLength", checks.max_length),
        ("minLength", checks.min_length),
        ("maxItems", checks.max_items),
        ("minItems", checks.min_items),
        ("maxProperties", checks.max_properties),
        ("minProperties", checks.min_properties),
    ];
    for (name, n) in sizes {
        if let Some(n) = n {
            out.set(name, n);
        }
    }
    if let Some(pattern) = &checks.pattern {
        out.set("pattern", pattern.as_str());
    }
    if !checks.enum_values.is_empty() {
        out.set("enum", checks.enum_values.clone());
    }
    if !checks.required.is_empty() {
        out.set("required", texts(&checks.required));
    }
}

fn junctors(checks: &Checks, out: &mut Map) {
    let lists = [("allOf", &checks.all_of), ("oneOf", &checks.one_of), ("anyOf", &checks.any_of)];
    for (name, list) in lists {
        if !list.is_empty() {
            let list: Vec<Value> = list.iter().map(|n| Value::Map(nested(n))).collect();
            out.set(name, list);
        }
    }
    if let Some(not) = &checks.not {
        out.set("not", nested(not));
    }
}

/// A schema below a junctor.
fn nested(node: &Node) -> Map {
    let mut out = Map::new();
    if node.ty.is_set() {
        out.set("type", node.ty.as_str());
    }
    plain_checks(node.checks(), &mut out);
    junctors(node.checks(), &mut out);
    if let Some(items) = &node.items {
        out.set("items", nested(items));
    }
    if !node.properties.is_empty() {
        let properties = node.properties.iter();
        let properties = properties.map(|(n, p)| (n.to_string().into(), Value::Map(nested(p)))).collect();
        out.set("properties", Map(properties));
    }
    out
}
