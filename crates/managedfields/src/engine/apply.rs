//! Server-side apply. It must never change what the configuration does not say, but for what its manager said before
//! and nobody else does.
// k8s: structured-merge-diff/merge/update.go Apply; managedfields/internal/structuredmerge.go, skipnonapplied.go

use schema::{FieldValidation, Value, decode_json, encode_plain};

use super::{Applied, ApplyError, Engine, managed_of, put, strip};
use crate::conflict::Conflicts;
use crate::element::same;
use crate::entry::{self, Entry, Identity, Operation};
use crate::fields::{fields_of, validate};
use crate::last_applied;
use crate::merge::{merge, written};
use crate::place::{Place, Zeros};

/// The manager of what an object had before it was first applied.
const BEFORE: &str = "before-first-apply";
/// The manager whose applies take over from client-side apply.
const KUBECTL: &str = "kubectl";

impl Engine<'_> {
    /// The object that comes of applying `config` (as it was given, without a type) to `live`, which has its
    /// defaults, and is empty where there is none yet.
    ///
    /// # Errors
    /// Conflicts unless `force`; a configuration that is not of the type.
    pub fn apply(
        &self,
        live: &Value,
        config: &Value,
        manager: &str,
        force: bool,
    ) -> Result<Applied, ApplyError> {
        let entries = entry::read(managed_of(live))
            .map_err(|e| ApplyError::Internal(format!("failed to decode managed fields: {e}")))?;
        self.check(config)?;
        let mut applied = match self.attempt(live, config, entries.clone(), manager, force) {
            Err(ApplyError::Conflicts(conflicts)) if manager == KUBECTL => {
                let allowed = last_applied::owned(live, self.ty, &self.api_version());
                let left = allowed.map_or_else(|| conflicts.clone(), |fields| conflicts.without(&fields));
                if !left.is_empty() {
                    return Err(ApplyError::Conflicts(left));
                }
                self.attempt(live, config, entries, manager, true)?
            }
            other => other?,
        };
        if manager == KUBECTL && last_applied::renew(&mut applied.object, config) {
            applied.changed = true;
        }
        Ok(applied)
    }

    fn check(&self, config: &Value) -> Result<(), ApplyError> {
        let kind = config.str_at(&["kind"]);
        let given = config.str_at(&["apiVersion"]);
        if kind != self.gvk.kind || given != self.api_version() {
            let (group, version) = meta::gvr::split_api_version(given);
            let message = format!("invalid object type: {group}/{version}, Kind={kind}");
            return Err(ApplyError::BadRequest(message));
        }
        if matches!(managed_of(config), Some(Value::List(_))) {
            return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
        }
        validate(config, self.ty).map_err(|why| {
            ApplyError::Internal(format!(
                "failed to create typed patch object ({}): {why}",
                self.name(config)
            ))
        })
    }

    /// As messages name an object: `namespace/name; group/version, Kind=kind`.
    fn name(&self, object: &Value) -> String {
        let (namespace, name) =
            (object.str_at(&["metadata", "namespace"]), object.str_at(&["metadata", "name"]));
        format!("{namespace}/{name}; {}/{}, Kind={}", self.gvk.group, self.gvk.version, self.gvk.kind)
    }

    fn attempt(
        &self,
        live: &Value,
        config: &Value,
        mut entries: Vec<Entry>,
        manager: &str,
        force: bool,
    ) -> Result<Applied, ApplyError> {
        if entries.is_empty() {
            let empty = Value::Map(schema::Map::new());
            self.track(&empty, live, &mut entries, BEFORE)
                .map_err(|e| format!("failed to create manager for existing fields: {e}"))?;
        }
        let mut old = written(live, Place::root(self.ty));
        old.remove_at(&["metadata", "managedFields"]);
        let merged = merge(&old, config, self.ty).map_err(|e| format!("failed to merge config: {e}"))?;
        let mut set = fields_of(config, self.ty).map_err(|e| format!("failed to get field set: {e}"))?;
        let version = self.api_version();
        for path in self.versions.reset_fields(&version) {
            set.remove_below(path);
        }
        let id = Identity::new(manager, Operation::Apply, "", self.subresource);
        let before = entries.iter().position(|e| e.id == id).map(|at| entries.remove(at));
        let time = before.as_ref().and_then(|e| e.time.clone());
        entries.push(Entry::new(id.clone(), &version, time, set));
        let seen = self.seen(&old, &merged, Zeros::AsIs, &entries)?;
        Self::reconcile(&mut entries, &seen);
        let new = self.prune(&merged, &entries, before)?;
        let new = new.unwrap_or(merged);
        let seen = self.seen(&old, &new, Zeros::AsIs, &entries)?;
        self.settle(&mut entries, &seen, Some(&id), force).map_err(ApplyError::Conflicts)?;
        let changed = !same(&old, &new);
        self.finish(live, new, entries, &id, changed)
    }

    fn finish(
        &self,
        live: &Value,
        new: Value,
        mut entries: Vec<Entry>,
        id: &Identity,
        changed: bool,
    ) -> Result<Applied, ApplyError> {
        let mut object = if changed { self.typed(&new)? } else { live.clone() };
        for entry in entries.iter_mut().filter(|e| e.id == *id) {
            let mut set = entry.fields().clone();
            strip(&mut set);
            entry.set_fields(set);
            if changed {
                entry.time = Some(self.now.into());
            }
        }
        entries.retain(|e| !e.fields().is_empty());
        put(&mut object, entry::write(entries));
        Ok(Applied { object, changed })
    }

    /// An object as it was put together, decoded by its type.
    pub(crate) fn typed(&self, plain: &Value) -> Result<Value, ApplyError> {
        let decoded = decode_json(&encode_plain(plain), self.ty, FieldValidation::Ignore);
        decoded.map(|d| d.value).map_err(|e| {
            let name = self.name(plain);
            ApplyError::Internal(format!("failed to convert new typed object ({name}) to object: {e}"))
        })
    }
}

impl From<Conflicts> for ApplyError {
    fn from(conflicts: Conflicts) -> Self {
        ApplyError::Conflicts(conflicts)
    }
}
