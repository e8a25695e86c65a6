//! get: one object, as the cached bytes.

use meta::{Response, Status};

use crate::content;
use crate::request::options;
use crate::storage::{Call, page};

/// Answers a get.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let consistency = options::get_consistency(&call.request.query)?;
    page::wait(call.state, consistency).await?;
    let entry = call.find(call.name)?;
    content::object(call, &accepted, 200, entry.object(), Vec::new())
}
