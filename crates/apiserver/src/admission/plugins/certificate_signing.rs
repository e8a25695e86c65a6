//! CertificateSigning: who may put a certificate, or its failure, into a request for a signer.
// k8s: plugin/pkg/admission/certificates/signing/admission.go

use kinds::certificates::certificate_signing_request;
use meta::Status;

use super::signers::may;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

pub(in crate::admission) struct CertificateSigning;

impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_status = request.call.subresource == "status" && request.operation == Op::Update;
        let Some(old) = request.old.filter(|_| is_status) else { return Reply::now(Ok(())) };
        let changed = |field: &str| request.object.at(&["status", field]) != old.at(&["status", field]);
        if !request.is_of(&certificate_signing_request::KIND)
            || !changed("certificate") && !changed("conditions")
        {
            return Reply::now(Ok(()));
        }
        Reply::later(Box::pin(async move {
            let signer = old.str_at(&["spec", "signerName"]);
            if may(request.call, "sign", signer).await {
                return Ok(());
            }
            let why = format!("user not permitted to sign requests with signerName \"{signer}\"");
            Err(request.forbidden(&why))
        }))
    }
}
