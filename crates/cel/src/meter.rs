//! What an evaluation has cost and what it may still cost, and the regular expressions it has compiled.
//! It must never let anything go on when what there was is used up.
// k8s: github.com/google/cel-go interpreter/runtimecost.go

use crate::error::Error;
use crate::re2;
use regex::Regex;
use std::collections::HashMap;

/// The account of one evaluation.
pub struct Meter<'p> {
    cost: u64,
    budget: u64,
    /// What comparing and making may still do; it is bounded even where it costs little.
    pub(crate) work: u64,
    regexes: Vec<(String, Regex)>,
    /// Those that the program has anyway.
    program: &'p HashMap<String, Regex>,
}

/// How much comparing a unit of cost pays for, and what is free.
const WORK_PER_COST: u64 = 20;
const FREE_WORK: u64 = 1_000_000;
/// Strings longer than this are made by nobody.
const MAX_VALUE_BYTES: usize = 64 << 20;
/// How many regular expressions are kept in an evaluation, and what compiling one takes.
const MAX_REGEXES: usize = 32;
const REGEX_WORK: u64 = 1000;

impl<'p> Meter<'p> {
    pub(crate) fn new(budget: u64, program: &'p HashMap<String, Regex>) -> Self {
        let work = budget.saturating_mul(WORK_PER_COST).saturating_add(FREE_WORK);
        Meter { cost: 0, budget, work, regexes: Vec::new(), program }
    }

    /// Takes what one step of a library's function is worth.
    ///
    /// # Errors
    /// When there is nothing left.
    pub fn step(&mut self) -> Result<(), Error> {
        self.work = self.work.checked_sub(1).ok_or(Error::over_budget())?;
        Ok(())
    }

    /// Takes what making so many bytes is worth.
    ///
    /// # Errors
    /// When there is nothing left, or no value may be as large.
    pub fn allocate(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes > MAX_VALUE_BYTES {
            return Err(Error::over_budget());
        }
        self.work = self.work.checked_sub(bytes as u64 / 64).ok_or(Error::over_budget())?;
        Ok(())
    }

    /// A regular expression, compiled once in an evaluation.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn regex(&mut self, pattern: &str) -> Result<Regex, Error> {
        let known = self
            .program
            .get(pattern)
            .or_else(|| self.regexes.iter().find(|(p, _)| p == pattern).map(|(_, regex)| regex));
        if let Some(regex) = known {
            return Ok(regex.clone());
        }
        // What compiling costs is more than what the language counts for it.
        self.work = self.work.checked_sub(REGEX_WORK).ok_or(Error::over_budget())?;
        let regex = re2::compile(pattern)?;
        if self.regexes.len() >= MAX_REGEXES {
            self.regexes.remove(0);
        }
        self.regexes.push((pattern.to_owned(), regex.clone()));
        Ok(regex)
    }

    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Takes from the budget.
    ///
    /// # Errors
    /// When it is used up.
    pub fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.budget { Err(Error::over_budget()) } else { Ok(()) }
    }
}
