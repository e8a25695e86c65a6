//! Fills in a schema's defaults. A null stands for nothing where the schema does not allow null.
// k8s: apiextensions-apiserver pkg/apiserver/schema/defaulting/{algorithm,prunenulls}.go

use std::collections::HashSet;

use super::node::{Additional, Node};
use super::prune;
use crate::{Map, Value};

/// Above this many entries a set is made to look them up.
const FEW: usize = 16;

/// Drops nulls from objects where the schema neither allows null nor has a default.
pub fn drop_nulls(value: &mut Value, node: Option<&Node>) {
    match value {
        Value::Map(map) => map.0.retain_mut(|(name, v)| {
            let schema = node.and_then(|n| n.entry(name));
            if v.is_null() && schema.is_some_and(|s| s.drops_null() && s.default.is_none()) {
                return false;
            }
            drop_nulls(v, schema);
            true
        }),
        Value::List(list) => {
            let items = node.and_then(|n| n.items.as_deref());
            for v in list {
                drop_nulls(v, items);
            }
        }
        _ => {}
    }
}

/// Puts defaults where a property is not there, or is null and may not be.
pub fn fill(value: &mut Value, node: &Node) {
    match value {
        Value::Map(map) => {
            absent(map, node);
            for (name, v) in map.iter_mut() {
                let Some(schema) = node.entry(name) else { continue };
                replace_null(v, schema);
                fill(v, schema);
            }
        }
        Value::List(list) => {
            let Some(items) = node.items.as_deref() else { return };
            for v in list {
                replace_null(v, items);
                fill(v, items);
            }
        }
        _ => {}
    }
}

fn replace_null(v: &mut Value, schema: &Node) {
    if v.is_null()
        && schema.drops_null()
        && let Some(default) = &schema.default
    {
        *v = Value::clone(default);
    }
}

fn absent(map: &mut Map, node: &Node) {
    let mut defaults = node.properties.iter().filter(|(_, p)| p.default.is_some()).peekable();
    if defaults.peek().is_none() {
        return;
    }
    let there: Option<HashSet<String>> =
        (map.len() > FEW).then(|| map.iter().map(|(k, _)| k.to_owned()).collect());
    for (name, property) in defaults {
        let found = there.as_ref().map_or_else(|| map.get(name).is_some(), |t| t.contains(name.as_ref()));
        if let Some(default) = property.default.as_deref().filter(|_| !found) {
            map.0.push((name.to_string().into(), default.clone()));
        }
    }
}

/// Brings defaults themselves to the form in which they are put in: pruned, without nulls that stand for nothing, so
/// that what was filled in once stays as it is.
// k8s: apiextensions-apiserver pkg/apiserver/schema/defaulting/prune.go PruneDefaults
pub fn tidy(node: &mut Node) {
    let mut default = node.default.take();
    if let Some(value) = default.as_deref_mut() {
        prune::prune(value, node, node.embedded, &mut prune::Dropped::new(false));
        drop_nulls(value, Some(node));
    }
    node.default = default;
    let Node { properties, additional, items, .. } = node;
    properties.iter_mut().for_each(|(_, p)| tidy(p));
    if let Additional::Schema(schema) = additional {
        tidy(schema);
    }
    if let Some(items) = items {
        tidy(items);
    }
}
