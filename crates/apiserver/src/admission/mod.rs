//! Admission: what is put into or refused of a write besides what the kind's strategy says. Plugins are asked in
//! upstream's order, twice; between the two phases stand the server's own steps. Which plugins there are, and which of
//! them are on, is said in `list` alone.

mod known;
mod list;
mod plugins;
mod steps;

use kinds::Operation;
use meta::Status;
use schema::Value;
use store::{Guard, Hold, Txn};

use self::plugins::namespace_lifecycle as lifecycle;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Call, Plugin, Stages};

pub use self::list::Chosen;
pub(crate) use self::steps::allocator::{Allocator, Astray};
pub(crate) use self::steps::{Steps, addresses};

/// The plugins that are on, and the steps.
pub(crate) struct Admission {
    pub plugins: Vec<Box<dyn Plugin>>,
    /// Whether namespaces must be there, and open, for what is made in them.
    pub guards_namespaces: bool,
    pub steps: Steps,
}

impl Admission {
    /// With the plugins that were chosen.
    ///
    /// # Errors
    /// 500 with what is wrong with the choice.
    pub fn new(chosen: &Chosen, steps: Steps) -> Result<Self, Status> {
        let plugins = chosen.plugins().map_err(Status::internal)?;
        let guards_namespaces = plugins.iter().any(|p| p.name() == lifecycle::NAME);
        Ok(Admission { plugins, guards_namespaces, steps })
    }
}

impl Stages for Admission {
    fn plugins(&self) -> &[Box<dyn Plugin>] {
        &self.plugins
    }

    fn begin<'a>(
        &'a self,
        request: &'a mut AdmissionRequest<'_>,
        operation: Operation,
    ) -> Reply<'a, Result<Hold, Status>> {
        self.steps.begin(request, operation)
    }

    fn guard(&self, call: &Call<'_>) -> Result<Option<Guard>, Status> {
        if self.guards_namespaces { lifecycle::guard(call) } else { Ok(None) }
    }

    fn companions(&self, call: &Call<'_>, new: Option<&Value>, old: Option<&Value>) -> Result<Txn, Status> {
        addresses::companions(call, new, old)
    }

    fn recheck(&self, call: &Call<'_>, object: &Value) -> Result<(), Status> {
        if !self.guards_namespaces || !call.resource.kind.namespaced() {
            return Ok(());
        }
        lifecycle::open(call, object.str_at(&["metadata", "name"]))
    }
}
