//! CertificateSubjectRestriction: nobody gets a certificate of `system:masters` by asking for it.
// k8s: plugin/pkg/admission/certificates/subjectrestriction/admission.go

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinds::certificates::certificate_signing_request;
use meta::Status;

use crate::authenticate::certificate;
use crate::request::{MASTERS, Reply};
use crate::storage::{AdmissionRequest, Op, Plugin};

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(in crate::admission) struct CertificateSubjectRestriction;

impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_new = request.operation == Op::Create && request.is_whole(&certificate_signing_request::KIND);
        if !is_new || request.object.str_at(&["spec", "signerName"]) != CLIENT_SIGNER {
            return Reply::now(Ok(()));
        }
        Reply::now(check(request))
    }
}

fn check(request: &AdmissionRequest<'_>) -> Result<(), Status> {
    let subject = STANDARD
        .decode(request.object.str_at(&["spec", "request"]))
        .map_err(|e| e.to_string())
        .and_then(|pem| certificate::subject_of_request(&pem));
    let subject = match subject {
        Ok(subject) => subject,
        Err(why) => return Err(request.forbidden(&format!("failed to parse CSR: {why}"))),
    };
    if subject.organizations.iter().any(|g| g == MASTERS) {
        return Err(
            request.forbidden(&format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"))
        );
    }
    Ok(())
}
