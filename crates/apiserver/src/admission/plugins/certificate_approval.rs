//! CertificateApproval: who may approve and deny requests for a signer.
// k8s: plugin/pkg/admission/certificates/approval/admission.go

use kinds::certificates::certificate_signing_request;
use meta::Status;

use super::signers::may;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

pub(in crate::admission) struct CertificateApproval;

impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_approval = request.call.subresource == "approval" && request.operation == Op::Update;
        let Some(old) = request.old.filter(|_| is_approval) else { return Reply::now(Ok(())) };
        if !request.is_of(&certificate_signing_request::KIND) {
            return Reply::now(Ok(()));
        }
        Reply::later(Box::pin(async move {
            let signer = old.str_at(&["spec", "signerName"]);
            if may(request.call, "approve", signer).await {
                return Ok(());
            }
            let why = format!("user not permitted to approve requests with signerName \"{signer}\"");
            Err(request.forbidden(&why))
        }))
    }
}
