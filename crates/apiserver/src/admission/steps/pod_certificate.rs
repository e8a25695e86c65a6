//! Answers to pods' certificate requests: whoever writes one stands for the signer, and begins its time now.
// k8s: pkg/registry/certificates/podcertificaterequest/strategy.go StatusStrategy.ValidateUpdate

use kinds::certificates::pod_certificate_status;
use meta::field::quoted;
use meta::{FieldError, Path, Status};
use schema::Value;

use crate::admission::plugins::signers::may;
use crate::storage::{Call, object};

/// Checks the new status of a request.
pub(super) async fn check(call: &Call<'_>, new: &Value, old: &Value) -> Result<(), Status> {
    let signer = old.str_at(&["spec", "signerName"]);
    if new.get("status") == old.get("status") {
        return Ok(());
    }
    let mut errors = pod_certificate_status::begins_now(new, old, call.now);
    if !may(call, "sign", signer).await {
        let user = quoted(&call.user().name);
        let why = format!("User {user} is not permitted to \"sign\" for signer {}", quoted(signer));
        errors = vec![FieldError::forbidden(&Path::new("spec").child("signerName"), why)];
    }
    if errors.is_empty() { Ok(()) } else { Err(call.invalid(object::text(old, "name"), &errors)) }
}
