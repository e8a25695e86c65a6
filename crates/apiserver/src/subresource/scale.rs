//! scale: the number of replicas of any kind that has one.

use kinds::{Kind, Operation};
use meta::{FieldError, Gvk, Path, Response, Status, Verb};
use schema::{TypeRef, Value};

use crate::content;
use crate::request::body;
use crate::request::options::WriteOptions;
use crate::storage::object::map;
use crate::storage::{Call, Rules, object, page, write};
use crate::verbs::{patch, update};

const SCALE: Gvk = Gvk::new("autoscaling", "v1", "Scale");

fn scale_type() -> Result<TypeRef<'static>, Status> {
    schema::type_of("autoscaling", "v1", "Scale").ok_or_else(|| Status::internal("no type for Scale"))
}

/// Answers get, update and patch.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, false)?;
    let ty = scale_type()?;
    let (object, warnings) = match call.request.verb {
        Verb::Get => {
            page::wait(call.state, crate::request::options::get_consistency(&call.request.query)?).await?;
            (write::from_entry(&call.resource, &*call.find(call.name)?)?, Vec::new())
        }
        verb => change(call, verb, ty).await?,
    };
    let scale = crate::codec::encode(&view(&call.resource.kind, &object)?, ty);
    let mut response = content::encoded(&accepted, 200, scale.into(), Some(ty))?;
    response.warnings = warnings;
    Ok(response)
}

async fn change(call: &Call<'_>, verb: Verb, ty: TypeRef<'static>) -> Result<(Value, Vec<String>), Status> {
    let options = WriteOptions::of(call.request)?;
    let mut warnings = Vec::new();
    let given = match verb {
        Verb::Update => {
            let decoded = body::decode(call.request, &SCALE, ty, options.field_validation)?;
            warnings = decoded.warnings;
            Some(update::named(call, decoded.value)?)
        }
        _ => None,
    };
    let form = if given.is_none() {
        Some(patch::kind_of(&call.request.content_type, &call.resource)?)
    } else {
        None
    };
    let rules = Rules::new(Operation::Update, options.dry_run);
    let written = write::update(call, call.name, &rules, &mut |old| {
        let scale = match (&given, form) {
            (Some(scale), _) => scale.clone(),
            (None, Some(form)) => {
                let before = view(&call.resource.kind, old)?;
                schema::patch::apply(&before, ty, form, &call.request.body, options.field_validation)?.value
            }
            (None, None) => view(&call.resource.kind, old)?,
        };
        with_replicas(call, old, &scale)
    })
    .await?;
    warnings.extend(written.warnings);
    let stored = call.resource.read(&written.object)?;
    Ok((stored, warnings))
}

fn with_replicas(call: &Call<'_>, old: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = scale.int_at(&["spec", "replicas"]).unwrap_or(0);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let why = "must be greater than or equal to 0";
        let e = FieldError::invalid(&path, replicas.to_string(), why);
        return Err(Status::invalid(&SCALE, call.name, &[e]));
    }
    let mut new = old.clone();
    match call.resource.kind.scale_paths() {
        Some(paths) => put(&mut new, &paths.spec_replicas, replicas),
        None => new.set_at(&["spec", "replicas"], replicas),
    }
    for field in ["resourceVersion", "uid"] {
        let given = object::text(scale, field);
        if !given.is_empty() {
            let given = given.to_owned();
            new.set_at(&["metadata", field], given);
        }
    }
    Ok(new)
}

/// Sets a number at a path of names.
fn put(object: &mut Value, path: &[String], number: i64) {
    let Some((first, rest)) = path.split_first() else {
        *object = Value::Int(number);
        return;
    };
    if object.as_map().is_none() {
        *object = map([]);
    }
    if let Some(m) = object.as_map_mut() {
        put(m.entry(first.clone(), || map([])), rest, number);
    }
}

/// The Scale of an object.
///
/// # Errors
/// 500 for an object of a defined kind that does not say how many there are to be.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/registry/customresource/etcd.go scaleFromCustomResource
fn view(kind: &Kind, object: &Value) -> Result<Value, Status> {
    let Some(paths) = kind.scale_paths() else {
        let number = |path: &[&str]| object.int_at(path).unwrap_or(0);
        let (wanted, there) = (number(&["spec", "replicas"]), number(&["status", "replicas"]));
        return Ok(scale_of(object, wanted, there, &selector_text(object)));
    };
    let at = |path: &[String]| object.at(&path.iter().map(String::as_str).collect::<Vec<_>>());
    let Some(wanted) = at(&paths.spec_replicas).and_then(Value::as_int) else {
        let path = format!(".{}", paths.spec_replicas.join("."));
        return Err(Status::internal(format!("the spec replicas field {path:?} does not exist")));
    };
    let there = at(&paths.status_replicas).and_then(Value::as_int).unwrap_or(0);
    let selector = paths.selector.as_deref().and_then(at).and_then(Value::as_str).unwrap_or("");
    Ok(scale_of(object, wanted, there, selector))
}

fn scale_of(object: &Value, wanted: i64, there: i64, selector: &str) -> Value {
    let mut metadata = map([]);
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let v = object::text(object, field);
        if !v.is_empty() {
            metadata.set_at(&[field], v.to_owned());
        }
    }
    let mut status = map([("replicas", there.into())]);
    if !selector.is_empty() {
        status.set_at(&["selector"], selector);
    }
    map([
        ("kind", "Scale".into()),
        ("apiVersion", "autoscaling/v1".into()),
        ("metadata", metadata),
        ("spec", map([("replicas", wanted.into())])),
        ("status", status),
    ])
}

fn selector_text(object: &Value) -> String {
    let selector = object.at(&["spec", "selector"]);
    if let Some(labels) =
        selector.filter(|s| s.get("matchLabels").is_none() && s.get("matchExpressions").is_none())
    {
        let pairs = labels.as_map().into_iter().flat_map(|m| m.iter());
        let pairs = pairs.map(|(k, v)| (k.to_owned(), v.as_str().unwrap_or("").to_owned()));
        return meta::labels::Selector::from_labels(pairs).to_string();
    }
    kinds::rules::selector_of(selector).map(|s| s.to_string()).unwrap_or_default()
}
