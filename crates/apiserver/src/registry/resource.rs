//! One served resource: its kind, its forms, its cache. It must never hold behaviour of a kind.

use std::sync::Arc;

use bytes::Bytes;
use kinds::{Kind, KindRef, Storage};
use meta::{Gvk, Gvr, Request, Status};
use schema::patch::PatchKind;
use schema::{FieldValidation, HeldType, TypeRef, Value};
use watchcache::{Entry, ResourceCache, ResourceSpec};

use super::Custom;
use crate::codec;
use crate::request::body::{self, Decoded};

/// How objects of a resource are read and written.
pub enum Form {
    /// By a field table; stored in this form or another.
    Table { ty: HeldType, stored_ty: HeldType },
    /// By the schemas of a definition.
    Custom(Custom),
}

/// One served resource.
pub struct Resource {
    pub kind: KindRef,
    pub gvr: Gvr,
    pub gvk: Gvk,
    form: Form,
    /// `/registry/.../`.
    pub prefix: String,
    /// What entries know of the stored object, in the order of their facts.
    pub paths: Vec<String>,
    /// The facts by which many watchers select.
    pub triggers: Vec<usize>,
    pub cache: Arc<ResourceCache>,
}

impl Resource {
    /// The resource of a kind whose objects the cache holds.
    #[must_use]
    pub fn new(kind: KindRef, form: Form, cache: Arc<ResourceCache>) -> Self {
        let paths = kind.storage_kind().selected_paths();
        Self::with_paths(kind, form, paths, cache)
    }

    /// The same where the cache knows of other paths too: those of all versions of the kind.
    #[must_use]
    pub fn with_paths(kind: KindRef, form: Form, paths: Vec<String>, cache: Arc<ResourceCache>) -> Self {
        let triggers = triggers(kind.storage_kind(), &paths);
        let (gvr, gvk, prefix) = (kind.gvr(), kind.gvk(), kind.prefix());
        Resource { kind, gvr, gvk, form, prefix, paths, triggers, cache }
    }

    /// The type of the served form.
    #[must_use]
    pub fn ty(&self) -> TypeRef<'_> {
        match &self.form {
            Form::Table { ty, .. } => ty.get(),
            Form::Custom(custom) => custom.ty(),
        }
    }

    /// The type of the served form where that is all there is to know to read one.
    #[must_use]
    pub fn table_ty(&self) -> Option<TypeRef<'_>> {
        match &self.form {
            Form::Table { ty, .. } => Some(ty.get()),
            Form::Custom(_) => None,
        }
    }

    /// The type of lists, where they have one in the field table.
    #[must_use]
    pub fn list_ty(&self) -> Option<TypeRef<'static>> {
        match &self.form {
            Form::Table { ty: HeldType::Builtin(_), .. } => {
                schema::type_of(&self.gvr.group, &self.gvr.version, &format!("{}List", self.kind.kind))
            }
            _ => None,
        }
    }

    /// Whether objects have a protobuf form.
    #[must_use]
    pub fn has_protobuf(&self) -> bool {
        self.table_ty().is_some_and(TypeRef::has_protobuf)
    }

    /// The definition, of a kind that was defined at run time.
    #[must_use]
    pub fn custom(&self) -> Option<&Custom> {
        match &self.form {
            Form::Table { .. } => None,
            Form::Custom(custom) => Some(custom),
        }
    }

    /// The store's key of an object.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.kind.namespaced() {
            format!("{}{namespace}/{name}", self.prefix)
        } else {
            format!("{}{name}", self.prefix)
        }
    }

    /// Index of a path of the stored object among the facts of entries.
    #[must_use]
    pub fn fact(&self, path: &str) -> Option<usize> {
        self.paths.iter().position(|p| p == path)
    }

    /// Whether the bytes that are stored are the served ones.
    #[must_use]
    pub fn is_own_storage(&self) -> bool {
        match &self.form {
            Form::Table { .. } => matches!(self.kind.storage, Storage::Stored),
            Form::Custom(custom) => custom.is_verbatim(),
        }
    }

    /// Stored bytes as a value in the served form.
    ///
    /// # Errors
    /// 500 when they cannot be read.
    pub fn read(&self, stored: &[u8]) -> Result<Value, Status> {
        match &self.form {
            Form::Custom(custom) => custom.read(stored),
            Form::Table { stored_ty, .. } => {
                let value = codec::stored(stored, stored_ty.get())?;
                Ok(match self.kind.storage {
                    Storage::As(conversion) => (conversion.from_storage)(value),
                    _ => value,
                })
            }
        }
    }

    /// The bytes to be stored of a value in the served form.
    ///
    /// # Errors
    /// 500 when it cannot be brought into the stored form.
    pub fn stored(&self, value: &Value) -> Result<Vec<u8>, Status> {
        match &self.form {
            Form::Custom(custom) => custom.stored(value),
            Form::Table { ty, stored_ty } => Ok(match self.kind.storage {
                Storage::As(conversion) => {
                    codec::encode(&(conversion.to_storage)(value.clone()), stored_ty.get())
                }
                _ => codec::encode(value, ty.get()),
            }),
        }
    }

    /// Stored bytes, resource version included, in the served form.
    ///
    /// # Errors
    /// 500 when they cannot be read.
    pub fn served(&self, stored: Bytes) -> Result<Bytes, Status> {
        match (&self.form, self.kind.storage) {
            (Form::Custom(custom), _) => custom.served(stored),
            (Form::Table { ty, .. }, Storage::As(_)) => {
                self.read(&stored).map(|value| codec::encode(&value, ty.get()).into())
            }
            (Form::Table { .. }, _) => Ok(stored),
        }
    }

    /// An object as it stands in a list, without the brace that opens it. Where lists have no type of their own, each
    /// object says what it is.
    ///
    /// # Errors
    /// 500 when the stored bytes cannot be read.
    pub fn item(&self, entry: &Entry) -> Result<Bytes, Status> {
        match (&self.form, self.is_own_storage()) {
            (Form::Table { .. }, true) => Ok(entry.item_tail()),
            (Form::Custom(_), _) => self.served(entry.object()).map(|object| object.slice(1..)),
            (Form::Table { .. }, false) => {
                let served = self.served(entry.object())?;
                let at = find(&served, b"\"metadata\":").unwrap_or(1);
                Ok(served.slice(at..))
            }
        }
    }

    /// The request's body as an object of the resource.
    ///
    /// # Errors
    /// 400 for what is not such an object, 415 for a media type that it does not have.
    pub fn body(&self, request: &Request, validation: FieldValidation) -> Result<Decoded, Status> {
        match &self.form {
            Form::Table { ty, .. } => body::decode(request, &self.gvk, ty.get(), validation),
            Form::Custom(custom) => custom.body(request, &self.gvk, validation),
        }
    }

    /// An object with a patch applied, and what to warn about.
    ///
    /// # Errors
    /// When the patch is malformed, does not apply, or leads to something that is not of the kind.
    pub fn patched(
        &self,
        old: &Value,
        form: PatchKind,
        patch: &[u8],
        validation: FieldValidation,
    ) -> Result<(Value, Vec<String>), Status> {
        match &self.form {
            Form::Custom(custom) => custom.patched(old, form, patch, validation),
            Form::Table { ty, .. } => {
                let decoded = schema::patch::apply(old, ty.get(), form, patch, validation)?;
                Ok((decoded.value, decoded.warnings))
            }
        }
    }

    /// Puts in all defaults.
    pub fn default(&self, value: &mut Value) {
        match &self.form {
            Form::Custom(custom) => custom.default(value),
            Form::Table { ty, .. } => schema::apply_defaults(value, ty.get()),
        }
        self.kind.strategy().default_fields(value);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// What the cache must know of a kind's stored objects.
pub fn spec(stored: &Kind, prefix: &str) -> ResourceSpec {
    let paths = stored.selected_paths();
    let borrowed: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut spec = ResourceSpec::scanned(prefix, &borrowed);
    spec.triggers = triggers(stored, &paths);
    spec
}

fn triggers(kind: &Kind, paths: &[String]) -> Vec<usize> {
    let indexed: Vec<&str> = kind.selectable_fields().filter(|f| f.indexed).map(|f| f.path).collect();
    paths.iter().enumerate().filter(|(_, path)| indexed.contains(&path.as_str())).map(|(at, _)| at).collect()
}
