//! Schemas of kinds that users define (`openAPIV3Schema` of a CustomResourceDefinition): read once, and then asked to
//! prune, to fill in defaults, to validate, and for the type and the OpenAPI of the kind.
//! It must never do I/O, never know what a kind means, and never recurse deeper than `read::MAX_DEPTH` schemas.
//! Rules in CEL are found here, and evaluated elsewhere.

mod check;
mod default;
mod embedded;
mod field_path;
mod findings;
mod format;
mod format_net;
mod held;
mod lists;
mod node;
mod number;
pub mod openapi;
mod pattern;
mod prune;
mod ratchet;
mod read;
mod rules;
mod selectable;
mod trail;
mod validate;

use meta::{FieldError, Path};

use crate::{HeldType, Value};
use findings::Findings;
use trail::Trail;

pub use node::{Additional, Checks, ListKind, Node, NodeType, Words};
pub use pattern::Pattern;
pub use read::MAX_DEPTH;
pub use rules::{Site, Step};
pub use selectable::MAX_SELECTABLE_FIELDS;

/// The schema of one version of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Structural {
    root: Node,
    preserve_unknown_fields: bool,
}

impl Structural {
    /// Reads a schema (`JSONSchemaProps`) that stands at `base`, and complains of all that is wrong with it. What
    /// comes back with complaints must not serve. With `preserve_unknown_fields` nothing is pruned.
    // k8s: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go
    #[must_use]
    pub fn compile(
        schema: &Value,
        preserve_unknown_fields: bool,
        base: &Path,
    ) -> (Structural, Vec<FieldError>) {
        if read::is_too_deep(schema) {
            let why = format!("must not have schemas nested deeper than {MAX_DEPTH}");
            let empty = Structural { root: Node::default(), preserve_unknown_fields };
            return (empty, vec![FieldError::forbidden(base, why)]);
        }
        let root = read::node(schema, &mut pattern::Patterns::default());
        let errors = check::schema(schema, &root, &Trail::at(base)).into_errors();
        let mut structural = Structural { root, preserve_unknown_fields };
        if errors.is_empty() {
            default::tidy(&mut structural.root);
        }
        (structural, errors)
    }

    /// What is wrong with the root of a schema whose version has the status subresource.
    #[must_use]
    pub fn check_status_root(schema: &Value, base: &Path) -> Option<FieldError> {
        check::status_root(schema, &Trail::at(base))
    }

    /// Complains of `selectableFields` that lead nowhere, or to what cannot be selected by.
    #[must_use]
    pub fn check_selectable_fields(&self, fields: &[Value], base: &Path) -> Vec<FieldError> {
        selectable::check(&self.root, fields, &Trail::at(base)).into_errors()
    }

    /// The type by which objects are decoded, merged and written.
    #[must_use]
    pub fn held(&self, group: &str, version: &str, kind: &str) -> HeldType {
        held::held(&self.root, group, version, kind)
    }

    /// Drops what the schema does not say, and brings metadata of embedded objects to its form. Gives the paths of
    /// what is gone, sorted: `spec.a[0].b`. Kind, apiVersion and metadata of the whole stay as they are.
    // k8s: apiextensions-apiserver pkg/apiserver/customresource_handler.go unstructuredSchemaCoercer
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut dropped = prune::Dropped::new(true);
        if !self.preserve_unknown_fields {
            prune::prune(object, &self.root, true, &mut dropped);
        }
        let base = Path::default();
        embedded::coerce(object, &self.root, false, &Trail::at(&base), &mut dropped);
        dropped.into_paths()
    }

    /// Drops nulls that stand for nothing, and puts defaults where nothing is.
    pub fn default(&self, object: &mut Value) {
        if !self.preserve_unknown_fields {
            default::drop_nulls(object, Some(&self.root));
        }
        default::fill(object, &self.root);
    }

    /// Complains of what the schema does not allow, and of malformed embedded objects and lists with elements twice.
    /// With `old`, what did not change is let be. Rules in CEL are not looked at.
    // k8s: apiextensions-apiserver pkg/registry/customresource/strategy.go Validate, ValidateUpdate
    #[must_use]
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let base = Path::default();
        let at = Trail::at(&base);
        let mut out = Findings::default();
        let pair = old.map(|old| ratchet::Pair { new: object, old, node: &self.root });
        validate::validate(object, &self.root, pair.as_ref(), &at, &mut out);
        embedded::validate(object, &self.root, false, &at, &mut out);
        let mut before = Findings::default();
        if let Some(old) = old {
            lists::validate(old, &self.root, &at, &mut before);
        }
        if before.is_empty() {
            lists::validate(object, &self.root, &at, &mut out);
        }
        out.into_errors()
    }

    /// Every part of the schema that has rules in CEL.
    #[must_use]
    pub fn rules(&self) -> Vec<Site<'_>> {
        rules::sites(&self.root)
    }

    /// The place and the schema that a path such as `.spec.color` leads to; `brackets` allows `['a.b']`.
    ///
    /// # Errors
    /// Why it leads nowhere.
    pub fn field(&self, path: &str, brackets: bool) -> Result<(Path, &Node), String> {
        field_path::find(path, &self.root, brackets)
    }

    /// The schema itself.
    #[must_use]
    pub const fn root(&self) -> &Node {
        &self.root
    }
}
