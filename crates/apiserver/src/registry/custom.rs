//! Objects of kinds that were defined at run time: what the schemas of their definition make of bytes and bytes of
//! them. Schemas are compiled when they are first needed. It must never look at another object.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kinds::{Operation, Strategy};
use meta::{FieldError, Gvk, Path, Request, Status};
use schema::patch::PatchKind;
use schema::structural::Structural;
use schema::{DecodeError, FieldValidation, HeldType, TypeRef, Value};
use watchcache::Entry;

use crate::codec;
use crate::request::body::{self, Decoded};

/// Most unknown or repeated fields that one answer names.
const LIMIT_TOLD: usize = 64;

/// A definition of a kind: the schemas of its versions.
pub struct Definition {
    pub group: String,
    pub kind: String,
    versions: Vec<OneVersion>,
    storage: usize,
    /// Whether everything that is stored was written by the schemas as they are now.
    is_unchanged: bool,
    has_webhook: bool,
    /// Whether it is about to go, with all objects.
    pub is_terminating: bool,
    /// The stored definition, from which schemas are read.
    source: Arc<Entry>,
}

struct OneVersion {
    name: String,
    has_status: bool,
    compiled: OnceLock<Compiled>,
}

struct Compiled {
    structural: Structural,
    ty: HeldType,
}

/// One version of a defined kind.
#[derive(Clone)]
pub struct Custom {
    definition: Arc<Definition>,
    at: usize,
}

impl Definition {
    /// Of the stored form of a CustomResourceDefinition; `None` when it does not say which version is stored.
    #[must_use]
    pub fn new(object: &Value, source: Arc<Entry>) -> Option<Self> {
        let spec = object.get("spec")?;
        let versions = spec.list_at(&["versions"]);
        let storage = versions.iter().position(|v| v.bool_at(&["storage"]) == Some(true))?;
        let one = |v: &Value| OneVersion {
            name: v.str_at(&["name"]).to_owned(),
            has_status: v.at(&["subresources", "status"]).is_some(),
            compiled: OnceLock::new(),
        };
        Some(Definition {
            group: spec.str_at(&["group"]).to_owned(),
            kind: spec.str_at(&["names", "kind"]).to_owned(),
            versions: versions.iter().map(one).collect(),
            storage,
            is_unchanged: object.int_at(&["metadata", "generation"]) == Some(1),
            has_webhook: spec.str_at(&["conversion", "strategy"]) == "Webhook",
            is_terminating: object.at(&["metadata", "deletionTimestamp"]).is_some(),
            source,
        })
    }

    fn api_version(&self, at: usize) -> String {
        meta::gvr::api_version(&self.group, &self.versions[at].name)
    }

    fn compiled(&self, at: usize) -> &Compiled {
        self.versions[at].compiled.get_or_init(|| {
            let object = schema::decode_plain(self.source.object_bytes()).unwrap_or_default();
            let version = object.list_at(&["spec", "versions"]).get(at).cloned().unwrap_or_default();
            let schema = version.at(&["schema", "openAPIV3Schema"]).cloned().unwrap_or_default();
            // What is wrong with it was said when it was written.
            let (structural, _) = Structural::compile(&schema, false, &Path::new("schema"));
            let ty = structural.held(&self.group, &self.versions[at].name, &self.kind);
            Compiled { structural, ty }
        })
    }
}

impl Custom {
    /// The version of that name.
    #[must_use]
    pub fn of(definition: &Arc<Definition>, version: &str) -> Option<Self> {
        let at = definition.versions.iter().position(|v| v.name == version)?;
        Some(Custom { definition: definition.clone(), at })
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    fn structural(&self) -> &Structural {
        &self.definition.compiled(self.at).structural
    }

    /// The type that patches and field managers go by.
    #[must_use]
    pub fn ty(&self) -> TypeRef<'_> {
        self.definition.compiled(self.at).ty.get()
    }

    /// Whether stored bytes are what this version shows.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        self.definition.is_unchanged && self.at == self.definition.storage
    }

    /// The value of stored bytes in this version: pruned and defaulted by the schema of the version that they are in.
    ///
    /// # Errors
    /// 500 when they cannot be read, or only a webhook could convert them.
    pub fn read(&self, stored: &[u8]) -> Result<Value, Status> {
        let broken = |e: DecodeError| Status::internal(format!("a stored object cannot be read: {e}"));
        let mut value = schema::decode_plain(stored).map_err(broken)?;
        let api_version = value.str_at(&["apiVersion"]).to_owned();
        let found =
            (0..self.definition.versions.len()).find(|at| self.definition.api_version(*at) == api_version);
        if let Some(at) = found {
            let schema = &self.definition.compiled(at).structural;
            let _ = schema.prune(&mut value);
            schema.default(&mut value);
        }
        if found != Some(self.at) {
            self.convert(&mut value, &api_version)?;
        }
        Ok(value)
    }

    fn convert(&self, value: &mut Value, from: &str) -> Result<(), Status> {
        let to = self.definition.api_version(self.at);
        if self.definition.has_webhook {
            return Err(Status::internal(format!(
                "conversion of {} from {from} to {to} needs a webhook, which this server does not call yet",
                self.definition.kind
            )));
        }
        value.set_at(&["apiVersion"], to);
        let _ = self.structural().prune(value);
        Ok(())
    }

    /// The bytes to be stored, in the version in which objects of the kind are stored.
    ///
    /// # Errors
    /// 500 when only a webhook could convert them.
    pub fn stored(&self, value: &Value) -> Result<Vec<u8>, Status> {
        let storage = Custom { definition: self.definition.clone(), at: self.definition.storage };
        if storage.at == self.at {
            return Ok(encode(value));
        }
        let mut value = value.clone();
        storage.convert(&mut value, &self.definition.api_version(self.at))?;
        storage.structural().default(&mut value);
        Ok(encode(&value))
    }

    /// The form in which stored bytes are shown.
    ///
    /// # Errors
    /// As of [`Custom::read`].
    pub fn served(&self, stored: Bytes) -> Result<Bytes, Status> {
        if self.is_verbatim() {
            return Ok(stored);
        }
        self.read(&stored).map(|value| encode(&value).into())
    }

    /// A request's body.
    ///
    /// # Errors
    /// 400 for what is no object of the kind, 415 for a media type without schemas.
    pub fn body(
        &self,
        request: &Request,
        expected: &Gvk,
        validation: FieldValidation,
    ) -> Result<Decoded, Status> {
        let api_version = expected.api_version();
        let refuse =
            |e: &DecodeError, format| codec::refuse(e, &request.body, format, &expected.kind, &api_version);
        let format = body::plain_format(&request.content_type)?;
        let (value, repeated) = codec::plain(&request.body, format).map_err(|e| refuse(&e, format))?;
        let (mut value, warnings) =
            self.finish(value, repeated, validation).map_err(|e| refuse(&e, format))?;
        body::check_kind(&mut value, expected)?;
        Ok(Decoded { value, warnings })
    }

    /// The object with a patch applied.
    ///
    /// # Errors
    /// 415 for a patch that needs a type, and as of patches of other kinds.
    pub fn patched(
        &self,
        old: &Value,
        form: PatchKind,
        patch: &[u8],
        validation: FieldValidation,
    ) -> Result<(Value, Vec<String>), Status> {
        let patched = schema::patch::apply_plain(old, form, patch)?;
        self.finish(patched, Vec::new(), validation).map_err(|error| {
            let shown = String::new();
            Status::from(schema::patch::PatchError::Decode { error, patched: shown })
        })
    }

    /// Reads the metadata by its type and drops what the schema does not know.
    fn finish(
        &self,
        mut value: Value,
        repeated: Vec<String>,
        validation: FieldValidation,
    ) -> Result<(Value, Vec<String>), DecodeError> {
        let mut told: Vec<String> = repeated.iter().map(|p| format!("duplicate field {p:?}")).collect();
        told.extend(coerce_metadata(&mut value)?);
        told.extend(self.structural().prune(&mut value).iter().map(|p| format!("unknown field {p:?}")));
        told.truncate(LIMIT_TOLD);
        match validation {
            FieldValidation::Strict if !told.is_empty() => Err(DecodeError::Strict(told)),
            FieldValidation::Warn => Ok((value, told)),
            _ => Ok((value, Vec::new())),
        }
    }

    /// Puts in all defaults.
    pub fn default(&self, value: &mut Value) {
        self.structural().default(value);
    }

    /// What objects of it are checked for.
    #[must_use]
    pub fn strategy(&self) -> Box<dyn Strategy> {
        Box::new(ByDefinition(self.clone()))
    }
}

/// Makes what the type of metadata makes of it; says which fields it does not have.
fn coerce_metadata(value: &mut Value) -> Result<Vec<String>, DecodeError> {
    let Some(map) = value.as_map_mut() else { return Ok(Vec::new()) };
    let ty = schema::type_of("meta.k8s.io", "v1", "PartialObjectMetadata").expect("a built-in type");
    let given = map.remove("metadata").unwrap_or_default();
    let mut alone = schema::Map::new();
    alone.set("metadata", given);
    let json = schema::encode_plain(&Value::Map(alone));
    let decoded = schema::decode_json(&json, ty, FieldValidation::Warn)?;
    let metadata = decoded.value.get("metadata").cloned().unwrap_or(Value::Map(schema::Map::new()));
    map.set("metadata", metadata);
    Ok(decoded.warnings)
}

/// The canonical bytes: what says what it is, the metadata by its type, and the rest by the order of its keys.
fn encode(value: &Value) -> Vec<u8> {
    const FIRST: [&str; 3] = ["apiVersion", "kind", "metadata"];
    let ty = schema::type_of("meta.k8s.io", "v1", "ObjectMeta").expect("a built-in type");
    let mut out = b"{".to_vec();
    let mut field = |key: &str, write: &mut dyn FnMut(&mut Vec<u8>)| {
        if out.len() > 1 {
            out.push(b',');
        }
        schema::write_json_string(&mut out, key);
        out.push(b':');
        write(&mut out);
    };
    for key in FIRST {
        if let Some(v) = value.get(key) {
            field(key, &mut |out| match key {
                "metadata" => schema::encode_json_into(out, v, ty),
                _ => schema::encode_sorted_into(out, v),
            });
        }
    }
    let mut rest: Vec<(&str, &Value)> = value.as_map().into_iter().flat_map(|m| m.iter()).collect();
    rest.retain(|(key, _)| !FIRST.contains(key));
    rest.sort_by_key(|(key, _)| *key);
    for (key, v) in rest {
        field(key, &mut |out| schema::encode_sorted_into(out, v));
    }
    out.push(b'}');
    out
}

/// The strategy of a defined kind.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/registry/customresource/{strategy,status_strategy}.go
struct ByDefinition(Custom);

impl ByDefinition {
    fn has_status(&self) -> bool {
        self.0.definition.versions[self.0.at].has_status
    }
}

impl Strategy for ByDefinition {
    fn prepare_for_create(&self, object: &mut Value, _cx: &kinds::Context) {
        if self.has_status() {
            kinds::kind::clear_status(object);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &kinds::Context) {
        if self.has_status() {
            kinds::kind::keep_other_half(new, old, op);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        self.0.structural().validate(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        self.0.structural().validate(new, Some(old))
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        let counted = |o: &'_ Value| -> Vec<(String, Value)> {
            let fields = o.as_map().into_iter().flat_map(|m| m.iter());
            let status = self.has_status();
            let mut out: Vec<(String, Value)> = fields
                .filter(|(k, _)| *k != "metadata" && !(status && *k == "status"))
                .map(|(k, v)| (k.to_owned(), v.clone()))
                .collect();
            out.sort_by(|a, b| a.0.cmp(&b.0));
            out
        };
        counted(new) != counted(old)
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}
