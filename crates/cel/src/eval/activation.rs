//! Where variables have their values from. It must never evaluate what is not asked for.

use crate::error::Error;
use crate::value::Value;
use std::collections::{BTreeMap, HashMap};

/// Gives variables their values when they are asked for.
pub trait Activation<'a> {
    /// `None` for what is no variable.
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>>;
}

/// No variables.
pub struct NoVariables;

impl<'a> Activation<'a> for NoVariables {
    fn get(&self, _: &str) -> Option<Result<Value<'a>, Error>> {
        None
    }
}

impl<'a> Activation<'a> for HashMap<String, Value<'a>> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        HashMap::get(self, name).cloned().map(Ok)
    }
}

impl<'a> Activation<'a> for BTreeMap<String, Value<'a>> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        BTreeMap::get(self, name).cloned().map(Ok)
    }
}

impl<'a, const N: usize> Activation<'a> for [(&str, Value<'a>); N] {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| Ok(v.clone()))
    }
}
