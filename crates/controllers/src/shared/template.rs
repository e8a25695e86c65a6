//! A pod template, and pods made of it.
// k8s: pkg/controller/controller_utils.go GetPodFromTemplate

use reconcile::{ObjectMeta, StrMap};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The label that tells the pods of a deployment's replica sets apart.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// A pod template, kept as the bytes that it came as, with its labels.
#[derive(Clone, Debug)]
pub struct Template {
    raw: Box<RawValue>,
    pub labels: StrMap,
}

impl Template {
    /// As a value.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(self.raw.get()).unwrap_or(Value::Null)
    }

    /// A part of it, read as a `T`; the default when it cannot be read.
    #[must_use]
    pub fn read<'a, T: Deserialize<'a> + Default>(&'a self) -> T {
        meta::json::read(self.raw.get().as_bytes()).unwrap_or_default()
    }

    /// As a value without the hash label: what is compared.
    #[must_use]
    pub fn bare(&self) -> Value {
        let mut v = self.value();
        if let Some(labels) = v.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(POD_TEMPLATE_HASH);
            if labels.is_empty()
                && let Some(m) = v.pointer_mut("/metadata").and_then(Value::as_object_mut)
            {
                m.remove("labels");
            }
        }
        if let Some(m) = v.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            m.retain(|_, v| !v.is_null());
        }
        v
    }

    /// A pod of it that `owner` manages by that reference. It has no name yet.
    #[must_use]
    pub fn pod(&self, owner: &ObjectMeta, reference: Value) -> Value {
        let mut template = self.value();
        let spec = template.get_mut("spec").map(Value::take).unwrap_or_default();
        let mut metadata = json!({
            "namespace": owner.namespace, "generateName": format!("{}-", owner.name),
        });
        for field in ["labels", "annotations", "finalizers"] {
            if let Some(v) = template.pointer_mut(&format!("/metadata/{field}")).map(Value::take)
                && !v.is_null()
            {
                metadata[field] = v;
            }
        }
        metadata["ownerReferences"] = json!([reference]);
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec})
    }
}

impl Default for Template {
    fn default() -> Self {
        let raw = RawValue::from_string("{}".to_owned()).expect("braces are JSON");
        Template { raw, labels: StrMap::default() }
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.raw.get() == other.raw.get()
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Head {
            metadata: HeadMeta,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct HeadMeta {
            labels: StrMap,
        }
        let raw = Box::<RawValue>::deserialize(d)?;
        let head: Head = meta::json::read(raw.get().as_bytes()).map_err(serde::de::Error::custom)?;
        Ok(Template { raw, labels: head.metadata.labels })
    }
}

impl TryFrom<&Value> for Template {
    type Error = serde_json::Error;

    fn try_from(v: &Value) -> Result<Self, Self::Error> {
        meta::json::read(v.to_string().as_bytes())
    }
}
