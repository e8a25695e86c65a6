//! An object that managers write, one after the other.

use managedfields::{ApplyError, Engine, Versions};
use meta::Gvk;
use schema::{FieldValidation, HeldType, Map, Value, decode_json, decode_yaml_plain, encode_plain};

/// Every version has the same type.
pub struct Same(pub HeldType, pub &'static [&'static [&'static str]]);

impl Versions for Same {
    fn convert(&self, object: &Value, _from: &str, _to: &str) -> Option<(Value, HeldType)> {
        Some((object.clone(), self.0.clone()))
    }

    fn reset_fields(&self, _api_version: &str) -> &[&[&str]] {
        self.1
    }
}

pub struct Object {
    pub live: Value,
    pub versions: Same,
    pub subresource: &'static str,
    /// Minutes since the beginning, which is the time of the next write.
    pub minute: u32,
}

impl Object {
    pub fn new(ty: HeldType) -> Self {
        Object { live: Value::Map(Map::new()), versions: Same(ty, &[]), subresource: "", minute: 0 }
    }

    pub fn builtin(group: &str, version: &str, kind: &str) -> Self {
        let ty = schema::type_of(group, version, kind).expect("a built-in type");
        Object::new(HeldType::Builtin(ty))
    }

    fn write<T>(&mut self, gvk: &Gvk, f: impl FnOnce(&Engine<'_>, &Value) -> T) -> T {
        let now = format!("2026-01-01T00:{:02}:00Z", self.minute);
        self.minute += 1;
        let ty = self.versions.0.clone();
        let engine =
            Engine { ty: ty.get(), gvk, subresource: self.subresource, versions: &self.versions, now: &now };
        f(&engine, &self.live)
    }

    pub fn decode(&self, plain: &Value) -> Value {
        let bytes = encode_plain(plain);
        decode_json(&bytes, self.versions.0.get(), FieldValidation::Strict).expect("of the type").value
    }

    /// Replaces the object. What it does not say of managed fields stays.
    pub fn update(&mut self, text: &str, gvk: &Gvk, manager: &str) {
        let mut new = self.decode(&config(text, gvk));
        self.write(gvk, |engine, live| engine.update(live, &mut new, manager));
        self.live = new;
    }

    pub fn apply(&mut self, text: &str, gvk: &Gvk, manager: &str, force: bool) -> Result<bool, ApplyError> {
        let config = config(text, gvk);
        let applied = self.write(gvk, |engine, live| engine.apply(live, &config, manager, force))?;
        self.live = applied.object;
        Ok(applied.changed)
    }

    /// Managers with operation, subresource, time and fields.
    pub fn managers(&self) -> Vec<String> {
        let entries = self.live.list_at(&["metadata", "managedFields"]);
        let line = |e: &Value| {
            let text = |field| e.str_at(&[field]);
            format!(
                "{} {} {} {} {} {}",
                text("manager"),
                text("operation"),
                text("apiVersion"),
                text("subresource"),
                text("time").get(14..16).unwrap_or(""),
                text("fieldsV1")
            )
        };
        entries.iter().map(|e| line(e).split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}

/// YAML as a configuration of a kind.
pub fn config(text: &str, gvk: &Gvk) -> Value {
    let mut value = decode_yaml_plain(text.as_bytes()).expect("YAML");
    if value.is_null() {
        value = Value::Map(Map::new());
    }
    value.set_at(&["kind"], gvk.kind.to_string());
    value.set_at(&["apiVersion"], gvk.api_version());
    value
}
