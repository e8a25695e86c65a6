//! What every write has in common: preparing, validating, and the compare-and-set loop against the store.
//! It must never know a kind by name.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go

use bytes::Bytes;
use kinds::{Context, Operation};
use meta::{FieldError, Status};
use schema::Value;
use store::{Hold, Outcome, Txn};
use watchcache::Entry;

use super::{AdmissionRequest, Call, Op, Rules, object, peek};
use crate::registry::Resource;

/// How often a write that lost a race is tried again.
const TRIES: usize = 8;
/// How often a generated name that is taken is made anew.
const NAME_TRIES: usize = 8;

/// A finished write.
pub(crate) struct Written {
    /// The object with its resource version.
    pub object: Bytes,
    /// It was created.
    pub created: bool,
    pub warnings: Vec<String>,
}

impl Call<'_> {
    pub fn context(&self) -> Context {
        Context {
            now: object::rfc3339(self.now),
            namespace: self.namespace.to_owned(),
            user: self.user().name.clone(),
            user_uid: self.user().uid.clone(),
            groups: self.user().groups.clone(),
            extra: self.user().extra.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }

    pub fn invalid(&self, name: &str, errors: &[FieldError]) -> Status {
        Status::invalid(&self.resource.gvk, name, errors)
    }
}

/// A cached object as a value in served form, resource version included.
pub fn from_entry(resource: &Resource, entry: &Entry) -> Result<Value, Status> {
    resource.read(entry.object_bytes())
}

/// Creates an object from its decoded form.
pub async fn create(call: &Call<'_>, mut value: Value, dry_run: bool) -> Result<Written, Status> {
    let r = &call.resource;
    check_namespace(call, &value)?;
    if r.kind.namespaced() {
        value.set_at(&["metadata", "namespace"], call.namespace);
    }
    r.default(&mut value);
    let generated =
        object::text(&value, "name").is_empty() && !object::text(&value, "generateName").is_empty();
    let template = generated.then(|| value.clone());
    for attempt in 0..NAME_TRIES {
        let mut candidate = template.clone().unwrap_or_else(|| std::mem::take(&mut value));
        object::prepare_create(&mut candidate, call.namespace, call.now, &*call.state.entropy)?;
        let mut request = AdmissionRequest::new(Op::Create, call, &mut candidate, None, dry_run);
        request.mutate().await?;
        let hold = call.stages.begin(&mut request, Operation::Create).await?;
        prepare_create(&mut request)?;
        request.validate().await?;
        let warnings = request.into_warnings();
        match insert(call, &candidate, dry_run, hold).await {
            Ok(object) => return Ok(Written { object, created: true, warnings }),
            Err(e) if e.is("AlreadyExists") && template.is_some() && attempt + 1 < NAME_TRIES => {}
            Err(e) => return Err(e),
        }
    }
    Err(Status::internal("no free name was found"))
}

fn check_namespace(call: &Call<'_>, value: &Value) -> Result<(), Status> {
    let given = object::text(value, "namespace");
    if !given.is_empty() && given != call.namespace && call.resource.kind.namespaced() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// What the kind puts into a new object and refuses of it.
fn prepare_create(request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
    let call = request.call;
    let kind = &call.resource.kind;
    let strategy = kind.strategy();
    strategy.prepare_for_create(request.object, &call.context());
    let carried = strategy.carry_over(request.object);
    if kind.generation {
        request.object.set_at(&["metadata", "generation"], 1i64);
    }
    let value = &*request.object;
    let mut errors = kinds::metadata::validate_create(kind, value);
    errors.extend(kinds::shape::check(kind.rules, value));
    errors.extend(strategy.validate(value));
    if !errors.is_empty() {
        return Err(call.invalid(object::text(value, "name"), &errors));
    }
    let told = kind.warnings_of(value, None, Operation::Create);
    request.warnings.get_mut().extend(carried.into_iter().chain(told));
    Ok(())
}

async fn insert(call: &Call<'_>, value: &Value, dry_run: bool, hold: Hold) -> Result<Bytes, Status> {
    let r = &call.resource;
    let name = object::text(value, "name");
    let key = r.key(call.namespace, name);
    let bytes = r.stored(value)?;
    if dry_run {
        if r.cache.get(&key).is_some() {
            return Err(Status::already_exists(&r.gvr, name));
        }
        return Ok(bytes.into());
    }
    let txn = Txn::create(key, bytes.clone()).guarded(call.stages.guard(call)?);
    let txn = txn.and(call.stages.companions(call, Some(value), None)?);
    match commit_holding(call, txn, hold).await? {
        Outcome::Committed { revision } => Ok(watchcache::splice_revision(&bytes, revision)),
        Outcome::Conflict { current } if is_terminating(&current) => {
            let mut s = Status::already_exists(&r.gvr, name);
            s.message = format!("object is being deleted: {}", s.message);
            Err(s)
        }
        Outcome::Conflict { current } if current.first().is_some_and(Option::is_some) => {
            Err(Status::already_exists(&r.gvr, name))
        }
        // The namespace, or what goes with the object, was not as it was when the object was admitted.
        Outcome::Conflict { .. } => {
            call.stages.recheck(call, value)?;
            Err(Status::unavailable("what the object needs was changed while it was created, try again"))
        }
    }
}

fn is_terminating(current: &[Option<store::Entry>]) -> bool {
    let Some(Some(entry)) = current.first() else { return false };
    peek::metadata(&entry.value).deletion_timestamp.is_some()
}

/// Runs a transaction.
pub async fn commit(call: &Call<'_>, txn: Txn) -> Result<Outcome, Status> {
    commit_holding(call, txn, Box::new(())).await
}

/// Runs a transaction; the hold lasts until it is decided, even when the caller does not wait for that.
async fn commit_holding(call: &Call<'_>, txn: Txn, hold: Hold) -> Result<Outcome, Status> {
    call.state.store.txn_holding(txn, hold).await.map_err(|e| match e {
        store::Error::OverLimit { limit, .. } => Status::too_large(limit),
        store::Error::Overloaded { .. } => Status::too_many_requests(e.to_string(), 1),
        store::Error::NoSpace { .. } | store::Error::Closed | store::Error::SinkFailed { .. } => {
            Status::unavailable(e.to_string())
        }
        other => Status::internal(other.to_string()),
    })
}

/// Changes an object: reads it, lets `change` make the new form of it, checks and writes; again when another
/// write came first.
pub async fn update(
    call: &Call<'_>,
    name: &str,
    rules: &Rules,
    change: &mut (dyn FnMut(&Value) -> Result<Value, Status> + Send),
) -> Result<Written, Status> {
    let r = call.resource.clone();
    let key = r.key(call.namespace, name);
    for _ in 0..TRIES {
        let entry = r.cache.get(&key).ok_or_else(|| Status::not_found(&r.gvr, name))?;
        let mut old = from_entry(&r, &entry)?;
        // Stored objects are defaulted too, so that both sides of a comparison are.
        r.default(&mut old);
        let mut new = change(&old)?;
        check_version(call, &new, &old, name)?;
        let (hold, warnings) = prepare_update(call, &mut new, &old, rules).await?;
        new.remove_at(&["metadata", "resourceVersion"]);
        let bytes = r.stored(&new)?;
        if bytes == entry.stored() {
            let object = entry.object();
            return Ok(Written { object, created: false, warnings });
        }
        if rules.dry_run {
            let object = watchcache::splice_revision(&bytes, entry.mod_revision());
            return Ok(Written { object, created: false, warnings });
        }
        let gone = is_finished(&r.kind, &new);
        let txn = if gone {
            Txn::delete(key.as_str(), entry.mod_revision())
        } else {
            Txn::update(key.as_str(), entry.mod_revision(), bytes.clone())
        };
        let left = (!gone).then_some(&new);
        let txn = txn.and(call.stages.companions(call, left, Some(&old))?);
        if let Outcome::Committed { revision } = commit_holding(call, txn, hold).await? {
            let object = watchcache::splice_revision(&bytes, revision);
            return Ok(Written { object, created: false, warnings });
        }
    }
    Err(Status::stale(&r.gvr, name))
}

/// An object that was only kept by finalizers and has none left.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go ShouldDeleteDuringUpdate
fn is_finished(kind: &kinds::Kind, new: &Value) -> bool {
    object::is_terminating(new)
        && object::finalizers(new).is_empty()
        && new.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0
        && !kind.is_kept_by_spec(new)
}

/// The uid and resource version that the new object brings must be the current ones.
fn check_version(call: &Call<'_>, new: &Value, old: &Value, name: &str) -> Result<(), Status> {
    let r = &call.resource;
    let (given, actual) = (object::text(new, "uid"), object::text(old, "uid"));
    if !given.is_empty() && given != actual {
        let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {actual}");
        return Err(Status::conflict(&r.gvr, name, &why));
    }
    let (given, current) = (object::text(new, "resourceVersion"), object::text(old, "resourceVersion"));
    // k8s: version 0 is no version.
    if matches!(given, "" | "0") {
        if r.kind.strategy().allow_unconditional_update() {
            return Ok(());
        }
        let path = meta::Path::new("metadata").child("resourceVersion");
        let e = FieldError::invalid(&path, "0x0", "must be specified for an update");
        return Err(call.invalid(name, &[e]));
    }
    if given.parse::<u64>().is_err() {
        let path = meta::Path::new("metadata").child("resourceVersion");
        let e = FieldError::invalid(&path, meta::field::quoted(given), "must be an integer");
        return Err(call.invalid(name, &[e]));
    }
    if given != current { Err(Status::stale(&r.gvr, name)) } else { Ok(()) }
}

/// Puts what this write may not change back to what it was, and asks everybody who may complete or refuse it.
async fn prepare_update(
    call: &Call<'_>,
    new: &mut Value,
    old: &Value,
    rules: &Rules,
) -> Result<(Hold, Vec<String>), Status> {
    let r = &call.resource;
    if r.kind.namespaced() && object::text(new, "namespace").is_empty() {
        new.set_at(&["metadata", "namespace"], call.namespace);
    }
    r.default(new);
    let new_uid = object::text(new, "uid").to_owned();
    object::carry_system_metadata(new, old);
    debug_assert!(new_uid.is_empty() || new_uid == object::text(old, "uid"));
    let mut request = AdmissionRequest::new(Op::Update, call, new, Some(old), rules.dry_run);
    if !rules.skips_admission {
        request.mutate().await?;
    }
    let hold = call.stages.begin(&mut request, rules.operation).await?;
    complete_update(&mut request, old, rules)?;
    if !rules.skips_admission {
        request.validate().await?;
    }
    Ok((hold, request.into_warnings()))
}

/// What the kind keeps of the old object and refuses of the new one.
fn complete_update(request: &mut AdmissionRequest<'_>, old: &Value, rules: &Rules) -> Result<(), Status> {
    let call = request.call;
    let kind = &call.resource.kind;
    let strategy = kind.strategy();
    let new = &mut *request.object;
    strategy.prepare_for_update(new, old, rules.operation, &call.context());
    object::carry_system_metadata(new, old);
    if rules.operation == Operation::UpdateStatus {
        object::carry_metadata(new, old, kind.status_keeps);
    }
    if !rules.keeps_generation
        && rules.operation != Operation::UpdateStatus
        && kind.generation
        && strategy.generation_changes(new, old)
    {
        let next = old.int_at(&["metadata", "generation"]).unwrap_or(0) + 1;
        new.set_at(&["metadata", "generation"], next);
    }
    let mut errors = kinds::metadata::validate_update(kind, new, old);
    if rules.operation == Operation::Update {
        errors.extend(kinds::shape::check(kind.rules, new));
    }
    errors.extend(strategy.validate_update(new, old, rules.operation));
    if !errors.is_empty() {
        return Err(call.invalid(object::text(old, "name"), &errors));
    }
    let told = kind.warnings_of(new, Some(old), rules.operation);
    request.warnings.get_mut().extend(told);
    Ok(())
}
