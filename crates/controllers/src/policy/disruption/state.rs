//! What a decision of the disruption controller is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::scale::Wanted;
use super::types::Budget;
use crate::core::pod::Pod;

/// What a decision depends on.
#[derive(Clone, Debug)]
pub enum State {
    Budget(Covered),
    /// A pod that is said to be a disruption's target.
    Target(Arc<Pod>),
}

/// A budget and what it is about.
#[derive(Clone, Debug, Default)]
pub struct Covered {
    pub budget: Arc<Budget>,
    /// The pods that it selects.
    pub pods: Vec<Arc<Pod>>,
    /// What is known of the pods' managing owners, by UID. Empty where the budget does not ask.
    pub owners: BTreeMap<Arc<str>, Wanted>,
    /// Those of the pods that other budgets select too, if this one is the first of them by name.
    pub shared: Vec<Arc<Pod>>,
    /// Whether pods may be there that the caches have not seen: the budget is of a newer revision.
    pub lagging: bool,
}

/// The UIDs of pods with several budgets that were told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told(pub(super) BTreeSet<Arc<str>>);
