//! ClusterTrustBundleAttest: who may say whom to trust for a signer.
// k8s: plugin/pkg/admission/certificates/ctbattest/admission.go

use kinds::certificates::cluster_trust_bundle;
use meta::Status;

use super::signers::may;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin, object};

pub(in crate::admission) struct ClusterTrustBundleAttest;

impl Plugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_write = request.operation != Op::Delete && request.is_whole(&cluster_trust_bundle::KIND);
        let signer = request.object.str_at(&["spec", "signerName"]);
        if !is_write || signer.is_empty() {
            return Reply::now(Ok(()));
        }
        if request.old.is_some_and(|old| object::is_only_for_deletion(request.object, old)) {
            return Reply::now(Ok(()));
        }
        Reply::later(Box::pin(async move {
            if may(request.call, "attest", signer).await {
                return Ok(());
            }
            let why = format!("user not permitted to attest for signerName \"{signer}\"");
            Err(request.forbidden(&why))
        }))
    }
}
