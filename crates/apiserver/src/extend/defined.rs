//! The kinds that a CustomResourceDefinition defines: one for each version that is served.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go getOrCreateServingInfoFor

use std::collections::HashMap;
use std::sync::Arc;

use kinds::columns::PathColumn;
use kinds::kind::{SCALE, Subresource, WITH_SCALE, WITH_STATUS};
use kinds::{Kind, KindRef, Own, ScalePaths, Scope};
use meta::Gvk;
use parking_lot::Mutex;
use schema::Value;
use schema::jsonpath::JsonPath;
use watchcache::ResourceCache;

use crate::registry::{Custom, Definition, Form, Resource, Served};

/// What the age is called in the tables of kinds without columns of their own.
const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const ONLY_SCALE: &[Subresource] = &[SCALE];

/// What is served of one definition.
pub struct Known {
    /// Of the stored definition.
    pub revision: u64,
    pub paths: Vec<String>,
    pub served: Vec<Served>,
}

/// What is served of all definitions, by name.
#[derive(Default)]
pub struct Definitions(pub Mutex<HashMap<String, Known>>);

/// Where objects of a definition are in the store.
#[must_use]
pub fn prefix(object: &Value) -> String {
    format!(
        "/registry/{}/{}/",
        object.str_at(&["spec", "group"]),
        object.str_at(&["spec", "names", "plural"])
    )
}

/// The paths by which objects of any version are selected, each once.
#[must_use]
pub fn selected_paths(object: &Value) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for path in object.list_at(&["spec", "versions"]).iter().flat_map(selectable) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

fn selectable(version: &Value) -> Vec<String> {
    let fields = version.list_at(&["selectableFields"]).iter();
    let path =
        |f: &Value| JsonPath::parse(f.str_at(&["jsonPath"])).ok()?.fields().map(|names| names.join("."));
    fields.filter_map(path).collect()
}

/// The served versions of a definition whose objects the cache holds.
#[must_use]
pub fn served(object: &Value, definition: &Arc<Definition>, cache: &Arc<ResourceCache>) -> Vec<Served> {
    let versions = object.list_at(&["spec", "versions"]).iter();
    let served = versions.filter(|v| v.bool_at(&["served"]) == Some(true));
    let one = |version: &Value| {
        let custom = Custom::of(definition, version.str_at(&["name"]))?;
        let kind = KindRef::Defined(Arc::new(kind(object, version, &custom)));
        let paths = selected_paths(object);
        let resource = Resource::with_paths(kind.clone(), Form::Custom(custom), paths, cache.clone());
        Some(Served { kind, resource: Some(Arc::new(resource)) })
    };
    served.filter_map(one).collect()
}

fn kind(object: &Value, version: &Value, custom: &Custom) -> Kind {
    let accepted = object.at(&["status", "acceptedNames"]).unwrap_or(&Value::Null);
    let text = |field: &str| match accepted.str_at(&[field]) {
        "" => object.str_at(&["spec", "names", field]).to_owned(),
        name => name.to_owned(),
    };
    let gvk = Gvk {
        group: object.str_at(&["spec", "group"]).to_owned().into(),
        version: version.str_at(&["name"]).to_owned().into(),
        kind: text("kind").into(),
    };
    let scope = match object.str_at(&["spec", "scope"]) {
        "Cluster" => Scope::Cluster,
        _ => Scope::Namespaced,
    };
    let scale = version.at(&["subresources", "scale"]).and_then(scale_paths);
    let has_status = version.at(&["subresources", "status"]).is_some();
    let subresources = match (has_status, scale.is_some()) {
        (true, true) => WITH_SCALE,
        (true, false) => WITH_STATUS,
        (false, true) => ONLY_SCALE,
        (false, false) => &[],
    };
    let own = Own {
        short_names: texts(accepted.list_at(&["shortNames"])),
        categories: texts(accepted.list_at(&["categories"])),
        strategy: custom.strategy(),
        columns: columns(version.list_at(&["additionalPrinterColumns"])),
        selectable: selectable(version),
        scale,
        deprecation: deprecation(version, &gvk),
    };
    Kind::defined(gvk, text("plural"), text("singular"), scope, own).with_subresources(subresources)
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn scale_paths(scale: &Value) -> Option<ScalePaths> {
    let path = |field: &str| -> Option<Vec<String>> {
        let path = JsonPath::parse(scale.str_at(&[field])).ok()?;
        let names = path.fields().filter(|names| !names.is_empty())?;
        Some(names.into_iter().map(str::to_owned).collect())
    };
    Some(ScalePaths {
        spec_replicas: path("specReplicasPath")?,
        status_replicas: path("statusReplicasPath")?,
        selector: path("labelSelectorPath"),
    })
}

fn columns(wanted: &[Value]) -> Vec<PathColumn> {
    let column = |name: &str, kind: &str, format: &str, description: &str, priority: i64, path: &str| {
        Some(PathColumn {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: format.to_owned(),
            description: description.to_owned(),
            priority,
            path: JsonPath::parse(path).ok()?,
        })
    };
    let name = column("Name", "string", "name", NAME, 0, ".metadata.name");
    let own = wanted.iter().filter_map(|c| {
        let text = |field: &str| c.str_at(&[field]);
        let priority = c.int_at(&["priority"]).unwrap_or(0);
        // A description that is missing is made of the path.
        let description = match text("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {}", text("jsonPath")),
            given => given.to_owned(),
        };
        column(text("name"), text("type"), text("format"), &description, priority, text("jsonPath"))
    });
    let age = wanted.is_empty().then(|| column("Age", "date", "", AGE, 0, ".metadata.creationTimestamp"));
    name.into_iter().chain(own).chain(age.flatten()).collect()
}

fn deprecation(version: &Value, gvk: &Gvk) -> String {
    match (version.bool_at(&["deprecated"]), version.str_at(&["deprecationWarning"])) {
        (Some(true), "") => format!("{}/{} {} is deprecated", gvk.group, gvk.version, gvk.kind),
        (Some(true), warning) => warning.to_owned(),
        _ => String::new(),
    }
}
