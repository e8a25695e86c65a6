//! Certificate requests: who may approve and who may sign for a signer, and that nobody gets a certificate of
//! `system:masters` this way; who may answer a pod's request; who may say whom to trust for a signer.
// k8s: plugin/pkg/admission/certificates/{approval,ctbattest,signing,subjectrestriction}

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinds::Operation;
use kinds::certificates::pod_certificate_status;
use meta::field::quoted;
use meta::{FieldError, Path, Status};
use schema::Value;

use crate::authenticate::certificate;
use crate::request::{Attributes, MASTERS, What};
use crate::storage::{Call, object};

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Checks a request to be created.
pub(crate) fn create(call: &Call<'_>, new: &Value) -> Result<(), Status> {
    if new.str_at(&["spec", "signerName"]) != CLIENT_SIGNER {
        return Ok(());
    }
    let refuse = |why: &str| Err(Status::forbidden(&call.resource.gvr, object::text(new, "name"), why));
    let subject = STANDARD
        .decode(new.str_at(&["spec", "request"]))
        .map_err(|e| e.to_string())
        .and_then(|pem| certificate::subject_of_request(&pem));
    let subject = match subject {
        Ok(subject) => subject,
        Err(why) => return refuse(&format!("failed to parse CSR: {why}")),
    };
    if subject.organizations.iter().any(|g| g == MASTERS) {
        return refuse(&format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"));
    }
    Ok(())
}

/// Checks an approval (or denial), and a certificate that is put in.
pub(crate) async fn update(call: &Call<'_>, new: &Value, old: &Value, op: Operation) -> Result<(), Status> {
    let changed = |field: &str| new.at(&["status", field]) != old.at(&["status", field]);
    let signer = old.str_at(&["spec", "signerName"]);
    let verb = match op {
        Operation::UpdateSubresource("approval") => "approve",
        Operation::UpdateStatus if changed("certificate") || changed("conditions") => "sign",
        _ => return Ok(()),
    };
    if may(call, verb, signer).await {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName \"{signer}\"");
    Err(Status::forbidden(&call.resource.gvr, object::text(old, "name"), &why))
}

/// Checks the answer to a pod's request: whoever writes a status stands for the signer. Also what takes a clock.
// k8s: pkg/registry/certificates/podcertificaterequest/strategy.go StatusStrategy.ValidateUpdate
pub(crate) async fn pod(call: &Call<'_>, new: &Value, old: &Value, op: Operation) -> Result<(), Status> {
    let signer = old.str_at(&["spec", "signerName"]);
    if op != Operation::UpdateStatus || new.get("status") == old.get("status") {
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

/// Checks a ClusterTrustBundle that is written.
pub(crate) async fn attest(call: &Call<'_>, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let signer = new.str_at(&["spec", "signerName"]);
    let is_same = old.is_some_and(|old| object::is_only_for_deletion(new, old));
    if signer.is_empty() || is_same || may(call, "attest", signer).await {
        return Ok(());
    }
    let why = format!("user not permitted to attest for signerName \"{signer}\"");
    Err(Status::forbidden(&call.resource.gvr, object::text(new, "name"), &why))
}

/// Whether the user may do this for the signer, or for all signers of its domain.
// k8s: plugin/pkg/admission/certificates/util.go IsAuthorizedForSignerName
async fn may(call: &Call<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let question = Attributes {
            user: call.user().clone(),
            verb: verb.to_owned(),
            target: What::Resource {
                group: "certificates.k8s.io".to_owned(),
                version: "*".to_owned(),
                resource: "signers".to_owned(),
                subresource: String::new(),
                namespace: String::new(),
                name,
            },
            ..Attributes::default()
        };
        if call.state.decide(&question).await.allowed() {
            return true;
        }
    }
    false
}
