//! Certificate requests: who may approve and who may sign for a signer, and that nobody gets a certificate of
//! `system:masters` this way.
// k8s: plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinds::Operation;
use meta::Status;
use schema::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::authenticate::MASTERS;
use crate::authorize::{Attributes, What};
use crate::object;
use crate::server::Call;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Checks a request to be created.
pub(crate) fn create(call: &Call<'_>, new: &Value) -> Result<(), Status> {
    if new.str_at(&["spec", "signerName"]) != CLIENT_SIGNER {
        return Ok(());
    }
    let refuse = |why: &str| Err(Status::forbidden(&call.resource.gvr, object::text(new, "name"), why));
    let Some(groups) = groups(new.str_at(&["spec", "request"])) else {
        return refuse("unable to parse the certificate request");
    };
    if groups.iter().any(|g| g == MASTERS) {
        return refuse(&format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"));
    }
    Ok(())
}

/// The organizations of a request's subject.
fn groups(request: &str) -> Option<Vec<String>> {
    let pem = STANDARD.decode(request).ok()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let subject = &request.certification_request_info.subject;
    Some(subject.iter_organization().filter_map(|o| o.as_str().ok().map(str::to_owned)).collect())
}

/// Checks an approval (or denial), and a certificate that is put in.
pub(crate) fn update(call: &Call<'_>, new: &Value, old: &Value, op: Operation) -> Result<(), Status> {
    let changed = |field: &str| new.at(&["status", field]) != old.at(&["status", field]);
    let signer = old.str_at(&["spec", "signerName"]);
    let refuse = |what: &str| {
        let why = format!("user not permitted to {what} requests with signerName \"{signer}\"");
        Err(Status::forbidden(&call.resource.gvr, object::text(old, "name"), &why))
    };
    match op {
        Operation::UpdateSubresource("approval") if !may(call, "approve", signer) => refuse("approve"),
        Operation::UpdateStatus
            if (changed("certificate") || changed("conditions")) && !may(call, "sign", signer) =>
        {
            refuse("sign")
        }
        _ => Ok(()),
    }
}

/// Whether the user may do this for the signer, or for all signers of its domain.
// k8s: plugin/pkg/admission/certificates/util.go IsAuthorizedForSignerName
fn may(call: &Call<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        call.server
            .decide(&Attributes {
                user: call.user.clone(),
                verb: verb.to_owned(),
                target: What::Resource {
                    group: "certificates.k8s.io".to_owned(),
                    version: "*".to_owned(),
                    resource: "signers".to_owned(),
                    subresource: String::new(),
                    namespace: String::new(),
                    name,
                },
            })
            .allowed()
    })
}
