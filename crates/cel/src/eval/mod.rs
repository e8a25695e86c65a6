//! Programs: checked expressions made ready to run, and their evaluation against a budget.
//! It must never do more than the budget pays for, whatever the data.
// k8s: github.com/google/cel-go interpreter

mod activation;
mod attribute;
mod call;
mod fold;
mod node;
mod plan;
mod run;

pub use activation::{Activation, NoVariables};

use crate::check::Checked;
use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::Value;
use node::Node;
use regex::Regex;
use run::Run;
use std::collections::HashMap;

/// A checked expression made ready to run.
pub struct Program {
    root: Node,
    ty: Type,
    regexes: HashMap<String, Regex>,
}

/// What came of an evaluation, and what it cost.
#[derive(Debug)]
pub struct Evaluated<'a> {
    pub result: Result<Value<'a>, Error>,
    pub cost: u64,
}

impl Program {
    /// Makes a checked expression ready to run; what is constant is evaluated here.
    ///
    /// # Errors
    /// That a constant part has no value.
    pub fn new(checked: &Checked) -> Result<Program, Error> {
        let (root, regexes) = plan::plan(checked)?;
        Ok(Program { root, ty: checked.ty().clone(), regexes })
    }

    /// The type that the checker found.
    #[must_use]
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// Evaluates with variables; what it costs above `budget` is an error.
    pub fn eval<'a>(&'a self, variables: &dyn Activation<'a>, budget: u64) -> Evaluated<'a> {
        let mut run = Run::new(variables, Meter::new(budget, &self.regexes));
        let result = run.exec(&self.root);
        Evaluated { result, cost: run.meter.cost() }
    }
}
