//! Defaults must be what the schema allows, with nothing in them that would be dropped.
// k8s: apiextensions-apiserver pkg/apiserver/schema/defaulting/validation.go ValidateDefaults

use meta::{FieldError, Path};

use crate::metadata::printed;
use crate::structural::findings::Findings;
use crate::structural::node::Node;
use crate::structural::prune::{Dropped, prune};
use crate::structural::trail::Trail;
use crate::structural::{embedded, validate};
use crate::{Map, Value};

/// A step from an embedded object to a default in its metadata.
#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Item,
}

/// Where a default stands in an embedded object.
#[derive(Clone, Copy)]
struct Place<'a> {
    above: Option<&'a Place<'a>>,
    step: Step<'a>,
}

struct Around<'a> {
    /// The schema of the embedded object, or of the whole.
    root: &'a Node,
    place: Option<&'a Place<'a>>,
    inside_meta: bool,
}

pub fn check(node: &Node, at: &Trail<'_>, out: &mut Findings) {
    walk(node, true, &Around { root: node, place: None, inside_meta: false }, at, out);
}

fn walk(node: &Node, is_root: bool, around: &Around<'_>, at: &Trail<'_>, out: &mut Findings) {
    let own = Around { root: node, place: None, inside_meta: false };
    let has_meta = node.embedded || is_root;
    let around = if has_meta { &own } else { around };
    if let Some(default) = node.default.as_deref() {
        let at = at.child("default");
        if around.inside_meta {
            in_metadata(default, node, around, &at, out);
        } else {
            value(default, node, has_meta, &at, out);
        }
    }
    // Below additionalProperties defaults are forbidden.
    if let Some(items) = &node.items {
        let place = Place { above: around.place, step: Step::Item };
        let below = Around { place: Some(&place), ..*around };
        walk(items, false, &below, &at.child("items"), out);
    }
    for (name, property) in &node.properties {
        let place = Place { above: around.place, step: Step::Name(name) };
        let meta = has_meta && matches!(&**name, "metadata" | "apiVersion" | "kind");
        let below =
            Around { root: around.root, place: Some(&place), inside_meta: around.inside_meta || meta };
        walk(property, false, &below, &at.child("properties").key(name), out);
    }
}

fn value(default: &Value, node: &Node, has_meta: bool, at: &Trail<'_>, out: &mut Findings) {
    let mut pruned = default.clone();
    prune(&mut pruned, node, has_meta, &mut Dropped::new(false));
    if pruned != *default {
        let shown = printed(Some(default));
        out.push(FieldError::invalid(&at.path(), shown, "must not have unknown fields"));
    }
    let mut found = Findings::default();
    embedded::validate(default, node, has_meta, at, &mut found);
    if found.is_empty() {
        schema(default, node, at, &mut found);
    }
    out.append(found);
}

/// Complaints of the default's own schema, whose paths go on from where the default stands.
fn schema(default: &Value, node: &Node, at: &Trail<'_>, out: &mut Findings) {
    let mut found = Findings::default();
    let root = Path::default();
    validate::validate(default, node, None, &Trail::at(&root), &mut found);
    let base = at.path().to_string();
    for mut error in found.into_errors() {
        error.field = match error.field.as_str() {
            "<nil>" => base.clone(),
            field if field.starts_with('[') => format!("{base}{field}"),
            field => format!("{base}.{field}"),
        };
        out.push(error);
    }
}

fn in_metadata(default: &Value, node: &Node, around: &Around<'_>, at: &Trail<'_>, out: &mut Findings) {
    let mut object = default.clone();
    let mut place = around.place;
    while let Some(p) = place {
        object = match p.step {
            Step::Name(name) => Value::Map(Map(vec![(name.to_owned().into(), object)])),
            Step::Item => Value::List(vec![object]),
        };
        place = p.above;
    }
    if let Value::Map(map) = &mut object {
        for (name, text) in [("kind", "Validation"), ("apiVersion", "validation/v1")] {
            if map.get(name).is_none() {
                map.set(name, text);
            }
        }
    }
    let mut found = Findings::default();
    let root = Path::default();
    embedded::validate(&object, around.root, true, &Trail::at(&root), &mut found);
    if found.is_empty() {
        return schema(default, node, at, out);
    }
    let texts: Vec<String> = found.into_errors().iter().map(ToString::to_string).collect();
    let all = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
    let why = format!("must result in valid metadata: {all}");
    out.push(FieldError::invalid(&at.path(), printed(Some(default)), why));
}
