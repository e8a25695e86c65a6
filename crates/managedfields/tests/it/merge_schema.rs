//! The field table says of every built-in type what upstream's schema of server-side apply says: what is a unit, how
//! elements of lists are found, what key fields default to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use flate2::read::GzDecoder;
use schema::table::{Type, builtin};
use schema::{FieldRef, ListType, Shape, TypeRef, Value, decode_yaml_plain};

/// Upstream's package of a type, as our table names it: `io.k8s.api.apps.v1.Deployment` is `apps/v1.Deployment`.
fn ours(name: &str) -> Option<String> {
    let (package, kind) = name.rsplit_once('.')?;
    let (package, version) = package.rsplit_once('.')?;
    let group = match package {
        "io.k8s.api.core" => return Some(format!("{version}.{kind}")),
        "io.k8s.apimachinery.pkg.apis.meta" => "meta.k8s.io".to_owned(),
        other => {
            let short = other.strip_prefix("io.k8s.api.")?;
            match short {
                "apps" | "autoscaling" | "batch" | "policy" => short.to_owned(),
                "rbac" => "rbac.authorization.k8s.io".to_owned(),
                "admissionregistration"
                | "authentication"
                | "authorization"
                | "certificates"
                | "coordination"
                | "discovery"
                | "events"
                | "networking"
                | "node"
                | "resource"
                | "scheduling"
                | "storage"
                | "storagemigration" => format!("{short}.k8s.io"),
                "flowcontrol" => "flowcontrol.apiserver.k8s.io".to_owned(),
                _ => return None,
            }
        }
    };
    Some(format!("{group}/{version}.{kind}"))
}

/// What a field is, in words that both sides can be put into.
fn theirs<'v>(field: &'v Value, types: &BTreeMap<&'v str, &'v Value>) -> String {
    let ty = field.get("type").unwrap_or(&Value::Null);
    let named = ty.str_at(&["namedType"]);
    let resolved = types.get(named).copied().unwrap_or(ty);
    let relationship = ty.str_at(&["elementRelationship"]);
    if named == "__untyped_atomic_" {
        return "anything as one".to_owned();
    }
    let is_any = resolved.get("scalar").is_some() && resolved.get("map").is_some();
    if is_any
        || resolved.at(&["map", "elementType", "scalar"]).is_some()
            && resolved.at(&["map", "elementType", "map"]).is_some()
    {
        return "anything".to_owned();
    }
    if let Some(list) = resolved.get("list") {
        let keys: Vec<&str> = list.list_at(&["keys"]).iter().filter_map(Value::as_str).collect();
        return match (list.str_at(&["elementRelationship"]), keys.as_slice()) {
            ("associative", []) => "set".to_owned(),
            ("associative", keys) => format!("list by {}", keys.join(",")),
            (other, _) => format!("{other} list"),
        };
    }
    if let Some(map) = resolved.get("map") {
        let own = map.str_at(&["elementRelationship"]);
        let how = if relationship.is_empty() { own } else { relationship };
        return if how == "atomic" { "atomic".to_owned() } else { "granular".to_owned() };
    }
    resolved.str_at(&["scalar"]).to_owned()
}

fn of_table(field: FieldRef<'_>) -> String {
    match field.ty().shape() {
        Shape::Struct | Shape::Map(_) if field.is_atomic() => "atomic".to_owned(),
        Shape::Struct if field.ty().fields().next().is_none() => "anything".to_owned(),
        Shape::Struct | Shape::Map(_) => "granular".to_owned(),
        Shape::List(_) => match field.list_type() {
            Some(ListType::Set) => "set".to_owned(),
            Some(ListType::Map) => format!("list by {}", field.list_keys().join(",")),
            Some(ListType::Atomic) | None => "atomic list".to_owned(),
        },
        Shape::Scalar => match field.ty().scalar() {
            Type::Bool => "boolean",
            Type::Int32 | Type::Int64 | Type::Float => "numeric",
            Type::String | Type::Named(_) | Type::Bytes | Type::Duration => "string",
            Type::RawExtension => "anything as one",
            Type::Json | Type::Any | Type::FieldsV1 => "anything",
            _ => "untyped",
        }
        .to_owned(),
    }
}

fn table_type(name: &str) -> Option<TypeRef<'static>> {
    let (gv, kind) = name.rsplit_once('.')?;
    let _ = builtin();
    schema::type_named(gv, kind).filter(|ty| ty.full_name() == name)
}

#[test]
fn as_upstream() {
    let Some(packed) = reference::read("k8s-api/v1.37/merge-schema.yaml.gz") else { return };
    let mut text = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut text).expect("gzip");
    let doc = decode_yaml_plain(&text).expect("YAML");
    let all = doc.list_at(&["types"]);
    let types: BTreeMap<&str, &Value> = all.iter().map(|t| (t.str_at(&["name"]), t)).collect();
    let (mut compared, mut differ) = (0, BTreeSet::new());
    for ty in all {
        let Some(name) = ours(ty.str_at(&["name"])) else { continue };
        let Some(table) = table_type(&name) else { continue };
        for field in ty.list_at(&["map", "fields"]) {
            let json = field.str_at(&["name"]);
            let want = theirs(field, &types);
            let Some(found) = table.field(json) else {
                differ.insert(format!("{name}.{json}: {want}, not in the table"));
                continue;
            };
            let got = of_table(found);
            compared += 1;
            if got != want {
                differ.insert(format!("{name}.{json}: {want}, in the table {got}"));
            }
            let default = field.get("default").filter(|d| !matches!(d, Value::Map(_) | Value::List(_)));
            let ours = found.default_json().map(|json| schema::decode_plain(json.as_bytes()).expect("JSON"));
            let ours = ours.or_else(|| found.written_zero().filter(|z| !z.is_null()).cloned());
            let ours = ours.filter(|d| !matches!(d, Value::Map(_) | Value::List(_)));
            // An int-or-string is never a key.
            let is_key = want != "untyped"
                && (json == "protocol" || json == "name" || json == "port" || json == "type");
            if is_key && ours.as_ref() != default {
                differ.insert(format!("{name}.{json}: default {default:?}, in the table {ours:?}"));
            }
        }
    }
    assert!(compared > 2000, "only {compared} fields were compared");
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ.into_iter().collect::<Vec<_>>().join("\n")
    );
}
