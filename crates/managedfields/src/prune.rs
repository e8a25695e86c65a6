//! Fields that go because their manager no longer applies them: only those that it applied, and that nobody else owns.
//! It must never take an item that somebody owns part of.
// k8s: structured-merge-diff/merge/update.go prune, addBackOwnedItems, addBackDanglingItems

use schema::Value;

use crate::engine::{ApplyError, Engine, Held, Typed};
use crate::entry::Entry;
use crate::fields::fields_at;
use crate::merge::written;
use crate::place::Place;
use crate::remove::{remove_at, with_named_fields};
use crate::set::Set;

impl<'a> Engine<'a> {
    /// The merged object without what the manager applied `before` and nobody owns now; `None`: all of it stays.
    pub(crate) fn prune(
        &self,
        merged: &Value,
        entries: &[Entry],
        before: Option<Entry>,
    ) -> Result<Option<Value>, ApplyError> {
        let Some(before) = before.filter(|e| !e.fields().is_empty()) else { return Ok(None) };
        let own = self.gvk.api_version();
        let whole = Typed { value: merged.clone(), ty: Held::Given(self.ty), api_version: own.clone() };
        let Some(whole) = self.in_version(whole, &before.api_version)? else { return Ok(None) };
        let last = with_named_fields(before.fields(), Some(Place::root(whole.ty.get())));
        let pruned = remove_at(&whole.value, &last, Place::root(whole.ty.get()));
        let pruned = self.add_back_owned(&whole, pruned, entries)?;
        let left = add_back_dangling(&whole, &pruned, &last)?;
        let left = Typed { value: left, ty: whole.ty, api_version: whole.api_version };
        let back = self.in_version(left, &own)?;
        Ok(back.map(|typed| typed.value))
    }

    /// Adds back what was removed and is in somebody's entry, those of the object's version first.
    fn add_back_owned(
        &self,
        whole: &Typed<'a>,
        mut pruned: Value,
        entries: &[Entry],
    ) -> Result<Value, ApplyError> {
        let mut versions = vec![whole.api_version.clone()];
        for entry in entries {
            if !versions.contains(&entry.api_version) {
                versions.push(entry.api_version.clone());
            }
        }
        for version in versions {
            let of_version = entries.iter().filter(|e| e.api_version == version);
            let managed = of_version.fold(Set::new(), |all, e| all.union(e.fields()));
            if version == whole.api_version {
                pruned = add_back(&whole.value, &pruned, &managed, Place::root(whole.ty.get()))?;
                continue;
            }
            let copy = |value: Value| Typed {
                value,
                ty: Held::Given(self.ty),
                api_version: whole.api_version.clone(),
            };
            let (all, some) = (copy(whole.value.clone()), copy(pruned.clone()));
            let (Some(all), Some(some)) = (self.in_version(all, &version)?, self.in_version(some, &version)?)
            else {
                continue;
            };
            let value = add_back(&all.value, &some.value, &managed, Place::root(all.ty.get()))?;
            let back =
                self.in_version(Typed { value, ty: all.ty, api_version: version }, &whole.api_version)?;
            if let Some(back) = back {
                pruned = back.value;
            }
        }
        Ok(pruned)
    }

    /// The object in another version, with all that Go would write; `None` where that is not served.
    fn in_version(&self, object: Typed<'a>, to: &str) -> Result<Option<Typed<'a>>, ApplyError> {
        if object.api_version == to {
            return Ok(Some(object));
        }
        let typed = schema::decode_json(
            &schema::encode_plain(&object.value),
            object.ty.get(),
            schema::FieldValidation::Ignore,
        );
        let typed =
            typed.map_err(|e| ApplyError::Internal(format!("failed to convert merged object: {e}")))?;
        let Some((value, ty)) = self.versions.convert(&typed.value, &object.api_version, to) else {
            return Ok(None);
        };
        let value = written(&value, Place::root(ty.get()));
        Ok(Some(Typed { value, ty: Held::Own(ty), api_version: to.to_owned() }))
    }
}

/// The whole object without what is neither left nor managed.
fn add_back(whole: &Value, pruned: &Value, managed: &Set, place: Place<'_>) -> Result<Value, ApplyError> {
    let named = |set: &Set| with_named_fields(set, Some(place));
    let all =
        fields_at(whole, place).map_err(|e| format!("failed to create field set from merged object: {e}"))?;
    let left = fields_at(pruned, place)
        .map_err(|e| format!("failed to create field set from pruned object: {e}"))?;
    let stays = named(&left).union(&named(managed));
    Ok(remove_at(whole, &named(&all).difference(&stays), place))
}

/// The whole object without what is gone and was the manager's: what nobody owns stays.
fn add_back_dangling(whole: &Typed<'_>, pruned: &Value, last: &Set) -> Result<Value, ApplyError> {
    let place = Place::root(whole.ty.get());
    let named = |set: &Set| with_named_fields(set, Some(place));
    let left = fields_at(pruned, place)
        .map_err(|e| format!("failed to create field set from pruned object: {e}"))?;
    let all = fields_at(&whole.value, place)
        .map_err(|e| format!("failed to create field set from merged object: {e}"))?;
    Ok(remove_at(&whole.value, &named(&all).difference(&named(&left)).intersection(last), place))
}
