//! scale: the number of replicas of any kind that has one.

use kinds::Operation;
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
    let scale = crate::codec::encode(&view(&object), ty);
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
    let form = if given.is_none() { Some(patch::kind_of(&call.request.content_type)?) } else { None };
    let rules = Rules::new(Operation::Update, options.dry_run);
    let written = write::update(call, call.name, &rules, &mut |old| {
        let scale = match (&given, form) {
            (Some(scale), _) => scale.clone(),
            (None, Some(form)) => {
                let before = view(old);
                schema::patch::apply(&before, ty, form, &call.request.body, options.field_validation)?.value
            }
            (None, None) => view(old),
        };
        with_replicas(call, old, &scale)
    })
    .await?;
    warnings.extend(written.warnings);
    let stored = crate::codec::stored(&written.object, call.resource.stored_ty())?;
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
    new.set_at(&["spec", "replicas"], replicas);
    for field in ["resourceVersion", "uid"] {
        let given = object::text(scale, field);
        if !given.is_empty() {
            let given = given.to_owned();
            new.set_at(&["metadata", field], given);
        }
    }
    Ok(new)
}

/// The Scale of an object.
fn view(object: &Value) -> Value {
    let mut metadata = map([]);
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let v = object::text(object, field);
        if !v.is_empty() {
            metadata.set_at(&[field], v.to_owned());
        }
    }
    let number = |path: &[&str]| Value::Int(object.int_at(path).unwrap_or(0));
    let mut status = map([("replicas", number(&["status", "replicas"]))]);
    let selector = selector_text(object);
    if !selector.is_empty() {
        status.set_at(&["selector"], selector);
    }
    map([
        ("kind", "Scale".into()),
        ("apiVersion", "autoscaling/v1".into()),
        ("metadata", metadata),
        ("spec", map([("replicas", number(&["spec", "replicas"]))])),
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
