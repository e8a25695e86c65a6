//! Who may do what for a signer. It must never know what for.
// k8s: plugin/pkg/admission/certificates/util.go

use crate::request::{Attributes, What};
use crate::storage::Call;

/// Whether the user may do this for the signer, or for all signers of its domain.
// k8s: plugin/pkg/admission/certificates/util.go IsAuthorizedForSignerName
pub(in crate::admission) async fn may(call: &Call<'_>, verb: &str, signer: &str) -> bool {
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
