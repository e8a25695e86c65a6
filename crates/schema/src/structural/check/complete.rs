//! What junctors demand of a field or item must be of one that the structure has.
// k8s: apiextensions-apiserver pkg/apiserver/schema/complete.go

use meta::FieldError;

use crate::structural::findings::Findings;
use crate::structural::node::{Checks, Node};
use crate::structural::trail::Trail;

pub fn check(node: &Node, at: &Trail<'_>, out: &mut Findings) {
    junctors(node.checks(), node, at, at, out);
}

fn junctors(checks: &Checks, node: &Node, at: &Trail<'_>, said_at: &Trail<'_>, out: &mut Findings) {
    if let Some(n) = &checks.not {
        nested(n, Some(node), at, &said_at.child("not"), out);
    }
    let lists = [("allOf", &checks.all_of), ("anyOf", &checks.any_of), ("oneOf", &checks.one_of)];
    for (name, list) in lists {
        for (i, n) in list.iter().enumerate() {
            nested(n, Some(node), at, &said_at.child(name).index(i), out);
        }
    }
}

fn missing(at: &Trail<'_>, said_at: &Trail<'_>, out: &mut Findings) {
    out.push(FieldError::required(&at.path(), format!("because it is defined in {}", said_at.path())));
}

fn nested(said: &Node, node: Option<&Node>, at: &Trail<'_>, said_at: &Trail<'_>, out: &mut Findings) {
    let Some(node) = node else { return missing(at, said_at, out) };
    junctors(said.checks(), node, at, said_at, out);
    if let Some(items) = &said.items {
        nested(items, node.items.as_deref(), &at.child("items"), &said_at.child("items"), out);
    }
    for (name, property) in &said.properties {
        let (at, said_at) = (at.child("properties"), said_at.child("properties"));
        nested(property, node.property(name), &at.key(name), &said_at.key(name), out);
    }
}
