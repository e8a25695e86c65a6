//! What controllers may ask outside the API: a source of metrics, a cloud. A port answers questions; it must never
//! write to the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use meta::{BoxFuture, Status};

/// Somebody outside the API who answers questions.
pub trait Port: Send + Sync {
    /// The answer to a question, both JSON. An error means that it is not known now: the controller that asked
    /// decides what follows. A question may be asked any number of times.
    fn ask(&self, question: Bytes) -> BoxFuture<'_, Result<Bytes, Status>>;
}

/// The ports of a process by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Ports(BTreeMap<&'static str, Arc<dyn Port>>);

impl Ports {
    /// These and one more, under the name by which controllers ask it.
    #[must_use]
    pub fn with(mut self, name: &'static str, port: Arc<dyn Port>) -> Self {
        self.0.insert(name, port);
        self
    }

    /// Asks the port of that name.
    ///
    /// # Errors
    /// What the port says, or that there is none.
    pub async fn ask(&self, name: &str, question: Bytes) -> Result<Bytes, Status> {
        match self.0.get(name) {
            Some(port) => port.ask(question).await,
            None => Err(Status::unavailable(format!("nobody answers for {name:?} here"))),
        }
    }
}
