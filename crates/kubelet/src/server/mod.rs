//! The agent's HTTPS server on port 10250.

use std::sync::Arc;

use crate::error::Result;
use crate::run::Shared;

/// Serves until the agent stops.
pub(crate) async fn run(shared: Arc<Shared>) -> Result<()> {
    shared.ctx.stop.cancelled().await;
    Ok(())
}
