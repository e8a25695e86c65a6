//! What the server itself does to a write, whichever plugins are on: in upstream's server these are parts of the
//! storage of single kinds. Each step is a file and says what it is about. It must never know a plugin.

pub(crate) mod addresses;
pub(super) mod allocator;
mod escalation;
mod pod_certificate;
mod service;
mod unenforced;

use std::sync::Arc;

use kinds::Operation;
use kinds::certificates::pod_certificate_request;
use kinds::networking::ip_address;
use meta::{BoxFuture, Status};
use store::Hold;

use self::allocator::Allocator;
use crate::authorize::AuthIndex;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op};

/// What the steps know besides the cache.
pub(crate) struct Steps {
    pub services: Arc<Allocator>,
    pub auth: Arc<AuthIndex>,
}

impl Steps {
    /// Does what there is to do; what it gives is held until the write is decided.
    pub fn begin<'a>(
        &'a self,
        request: &'a mut AdmissionRequest<'_>,
        operation: Operation,
    ) -> Reply<'a, Result<Hold, Status>> {
        let call = request.call;
        if operation == Operation::UpdateStatus && request.is_of(&pod_certificate_request::KIND) {
            let Some(old) = request.old else { return Reply::now(Ok(Box::new(()))) };
            let new = &*request.object;
            return held(Box::pin(async move { pod_certificate::check(call, new, old).await }));
        }
        if !matches!(operation, Operation::Create | Operation::Update) {
            return Reply::now(Ok(Box::new(())));
        }
        if let Some(warning) = unenforced::warning(&call.resource.gvr, request.object, request.old) {
            request.warn(warning);
        }
        if escalation::is_about(&call.resource.kind) {
            let (new, old) = (&*request.object, request.old);
            return held(Box::pin(async move { escalation::check(call, &self.auth, new, old).await }));
        }
        Reply::now(self.addresses(request))
    }

    /// Gives out what a Service needs, and keeps others from what an IPAddress names.
    fn addresses(&self, request: &mut AdmissionRequest<'_>) -> Result<Hold, Status> {
        let call = request.call;
        if request.is_of(&kinds::core::service::KIND) {
            let reservation = match request.old {
                None => service::create(call, &self.services, request.object)?,
                Some(old) => service::update(call, &self.services, request.object, old)?,
            };
            return Ok(Box::new(reservation));
        }
        if request.operation == Op::Create && request.is_of(&ip_address::KIND) {
            return Ok(Box::new(service::address_object(call, &self.services, request.object)?));
        }
        Ok(Box::new(()))
    }
}

/// A step that holds nothing.
fn held<'a>(step: BoxFuture<'a, Result<(), Status>>) -> Reply<'a, Result<Hold, Status>> {
    Reply::later(Box::pin(async move {
        step.await?;
        let nothing: Hold = Box::new(());
        Ok(nothing)
    }))
}
