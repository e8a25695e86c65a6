//! Paths and operations of the routes.

use std::collections::BTreeMap;

use super::dialect::{Dialect, object, strings};
use super::names::{definition_name, group_title, title};
use super::route::Route;
use crate::{Map, Value};

const MEDIA: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const WATCH_MEDIA: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCH_MEDIA: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const META: &str = "meta.k8s.io/v1";

/// Query parameters: name and type.
type Parameters = &'static [(&'static str, &'static str)];
const LIST: Parameters = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE: Parameters = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCH: Parameters =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];
const DELETE: Parameters = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const DELETE_COLLECTION: Parameters = &[
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
];

/// How a verb looks in OpenAPI.
struct Form {
    verb: &'static str,
    method: &'static str,
    /// `x-kubernetes-action`.
    action: &'static str,
    /// First word of the operation's id.
    word: &'static str,
    parameters: Parameters,
    /// On the collection's path, not the object's.
    collection: bool,
}

const FORMS: [Form; 7] = [
    Form { verb: "list", method: "get", action: "list", word: "list", parameters: LIST, collection: true },
    Form {
        verb: "create",
        method: "post",
        action: "post",
        word: "create",
        parameters: WRITE,
        collection: true,
    },
    Form {
        verb: "deletecollection",
        method: "delete",
        action: "deletecollection",
        word: "delete",
        parameters: DELETE_COLLECTION,
        collection: true,
    },
    Form { verb: "get", method: "get", action: "get", word: "read", parameters: &[], collection: false },
    Form {
        verb: "update",
        method: "put",
        action: "put",
        word: "replace",
        parameters: WRITE,
        collection: false,
    },
    Form {
        verb: "patch",
        method: "patch",
        action: "patch",
        word: "patch",
        parameters: PATCH,
        collection: false,
    },
    Form {
        verb: "delete",
        method: "delete",
        action: "delete",
        word: "delete",
        parameters: DELETE,
        collection: false,
    },
];

/// All paths of the routes.
pub fn all(routes: &[&Route], dialect: Dialect) -> Value {
    let mut paths: BTreeMap<String, Map> = BTreeMap::new();
    for route in routes {
        for form in FORMS.iter().filter(|f| route.verbs.iter().any(|v| v == f.verb)) {
            let operation = Operation { route, form, dialect, everywhere: false };
            add(&mut paths, &operation);
            if form.verb == "list" && route.namespaced {
                add(&mut paths, &Operation { everywhere: true, ..operation });
            }
        }
    }
    Value::Map(Map(paths.into_iter().map(|(k, v)| (k.into(), Value::Map(v))).collect()))
}

fn add(paths: &mut BTreeMap<String, Map>, operation: &Operation<'_>) {
    let path = operation.path();
    let parameters = operation.path_parameters(&path);
    let item = paths.entry(path).or_default();
    item.set(operation.form.method, operation.build());
    item.set("parameters", parameters);
}

#[derive(Clone, Copy)]
struct Operation<'r> {
    route: &'r Route,
    form: &'r Form,
    dialect: Dialect,
    /// A list over all namespaces.
    everywhere: bool,
}

impl Operation<'_> {
    fn path(&self) -> String {
        let r = self.route;
        let mut path = match r.group.as_str() {
            "" => format!("/api/{}", r.version),
            group => format!("/apis/{group}/{}", r.version),
        };
        if r.namespaced && !self.everywhere {
            path.push_str("/namespaces/{namespace}");
        }
        path = format!("{path}/{}", r.plural);
        if !r.subresource.is_empty() {
            return format!("{path}/{{name}}/{}", r.subresource);
        }
        if self.form.collection { path } else { format!("{path}/{{name}}") }
    }

    fn path_parameters(&self, path: &str) -> Value {
        let mut out = Vec::new();
        if path.contains("{name}") {
            out.push(self.parameter("name", "string", "path"));
        }
        if path.contains("{namespace}") {
            out.push(self.parameter("namespace", "string", "path"));
        }
        out.push(self.parameter("pretty", "string", "query"));
        Value::List(out)
    }

    fn parameter(&self, name: &str, ty: &'static str, place: &'static str) -> Value {
        let mut out = Map::new();
        out.set("name", name);
        out.set("in", place);
        if place == "path" {
            out.set("required", true);
        }
        match self.dialect {
            Dialect::V2 => {
                out.set("type", ty);
                out.set("uniqueItems", true);
            }
            Dialect::V3 => {
                out.set("schema", object([("type", ty.into()), ("uniqueItems", true.into())]));
            }
        }
        Value::Map(out)
    }

    /// A subresource that opens a connection (`exec`, `proxy`) has options for an object.
    fn is_connect(&self) -> bool {
        !self.route.subresource.is_empty() && self.route.object.kind.ends_with("Options")
    }

    fn id(&self) -> String {
        let r = self.route;
        let group = format!("{}{}", group_title(&r.group), title(&r.version));
        let namespaced = if r.namespaced && !self.everywhere { "Namespaced" } else { "" };
        let sub: String = r.subresource.split(['/', '-']).map(title).collect();
        let kind = format!("{namespaced}{}{sub}", r.kind);
        if self.is_connect() {
            return format!("connect{group}{}{kind}", title(self.form.method));
        }
        let collection = if self.form.verb == "deletecollection" { "Collection" } else { "" };
        let everywhere = if self.everywhere { "ForAllNamespaces" } else { "" };
        format!("{}{group}{collection}{kind}{everywhere}", self.form.word)
    }

    fn tag(&self) -> String {
        let group = self.route.group.strip_suffix(".k8s.io").unwrap_or(&self.route.group);
        let group: Vec<String> = group.split(['.', '-']).map(title).collect();
        let group = group.concat();
        let group = if group.is_empty() { "core".to_owned() } else { lower_first(&group) };
        format!("{group}_{}", self.route.version)
    }

    fn build(&self) -> Value {
        let connect = self.is_connect();
        let mut out = Map::new();
        out.set("operationId", self.id());
        out.set("tags", strings([self.tag().as_str()]));
        let parameters = if connect { &[][..] } else { self.form.parameters };
        let mut list: Vec<Value> = parameters.iter().map(|(n, t)| self.parameter(n, t, "query")).collect();
        if !connect && let Some((schema, required)) = self.body() {
            match self.dialect {
                Dialect::V2 => list.insert(0, body_v2(schema, required)),
                Dialect::V3 => out.set("requestBody", self.body_v3(schema, required)),
            }
        }
        if self.dialect == Dialect::V2 {
            let patch = self.form.verb == "patch" && !connect;
            out.set("consumes", if patch { strings(PATCH_MEDIA) } else { strings(["*/*"]) });
            out.set("produces", if connect { strings(["*/*"]) } else { strings(self.produces()) });
            out.set("schemes", strings(["https"]));
        }
        if !list.is_empty() {
            out.set("parameters", Value::List(list));
        }
        out.set("responses", self.responses(connect));
        out.set("x-kubernetes-action", if connect { "connect" } else { self.form.action });
        let (group, version, kind) = if self.route.subresource.is_empty() {
            (self.route.group.as_str(), self.route.version.as_str(), self.route.kind.as_str())
        } else {
            let o = &self.route.object;
            (o.group.as_ref(), o.version.as_ref(), o.kind.as_ref())
        };
        out.set(
            "x-kubernetes-group-version-kind",
            object([("group", group.into()), ("kind", kind.into()), ("version", version.into())]),
        );
        Value::Map(out)
    }

    fn produces(&self) -> Vec<&'static str> {
        let watch: &[&str] = if self.form.verb == "list" { &WATCH_MEDIA } else { &[] };
        MEDIA.iter().chain(watch).copied().collect()
    }

    /// The type of the request's body and whether it must be there.
    fn body(&self) -> Option<(Value, bool)> {
        match self.form.verb {
            "create" | "update" => Some((self.refer(&self.object_name("")), true)),
            "patch" => Some((self.refer(&format!("{META}.Patch")), true)),
            "delete" | "deletecollection" => Some((self.refer(&format!("{META}.DeleteOptions")), false)),
            _ => None,
        }
    }

    fn body_v3(&self, schema: Value, required: bool) -> Value {
        let media: &[&str] = if self.form.verb == "patch" { &PATCH_MEDIA } else { &["*/*"] };
        let mut out = Map::new();
        out.set("content", content(media, &schema));
        if required {
            out.set("required", true);
        }
        Value::Map(out)
    }

    /// The table's name of what goes in and out.
    fn object_name(&self, suffix: &str) -> String {
        let o = &self.route.object;
        let name = format!("{}{suffix}", o.kind);
        match crate::type_of(&o.group, &o.version, &name) {
            Some(ty) => ty.full_name().to_owned(),
            None => format!("{META}.Status"),
        }
    }

    fn refer(&self, full_name: &str) -> Value {
        object([("$ref", self.dialect.reference(&definition_name(full_name)).into())])
    }

    fn responses(&self, connect: bool) -> Value {
        let mut out = Map::new();
        let schema = if connect || self.route.subresource == "log" {
            object([("type", "string".into())])
        } else {
            match self.form.verb {
                "list" => self.refer(&self.object_name("List")),
                "delete" if self.route.returns_deleted => self.refer(&self.object_name("")),
                "delete" | "deletecollection" => self.refer(&format!("{META}.Status")),
                _ => self.refer(&self.object_name("")),
            }
        };
        let codes: &[(&'static str, &str)] = match self.form.verb {
            _ if connect => &[("200", "OK")],
            "create" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
            "update" | "patch" => &[("200", "OK"), ("201", "Created")],
            "delete" => &[("200", "OK"), ("202", "Accepted")],
            _ => &[("200", "OK")],
        };
        for (code, text) in codes {
            let mut response = Map::new();
            response.set("description", *text);
            match self.dialect {
                Dialect::V2 => response.set("schema", schema.clone()),
                Dialect::V3 if connect => response.set("content", content(&["*/*"], &schema)),
                Dialect::V3 => response.set("content", content(&self.produces(), &schema)),
            }
            out.set(*code, response);
        }
        out.set("401", object([("description", "Unauthorized".into())]));
        Value::Map(out)
    }
}

fn lower_first(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + chars.as_str(),
        None => String::new(),
    }
}

fn body_v2(schema: Value, required: bool) -> Value {
    let mut out = Map::new();
    out.set("name", "body");
    out.set("in", "body");
    if required {
        out.set("required", true);
    }
    out.set("schema", schema);
    Value::Map(out)
}

fn content(media: &[&str], schema: &Value) -> Value {
    let mut out = Map::new();
    for m in media {
        out.set((*m).to_owned(), object([("schema", schema.clone())]));
    }
    Value::Map(out)
}
