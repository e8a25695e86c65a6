//! What of the API a pod stands on: a pod that a node makes may stand on nothing.
// k8s: pkg/api/pod/util.go HasAPIObjectReference

use meta::Status;
use schema::Value;

use super::references::{Kind, Pod, Projected, Volume, all};

/// What [`api_reference`] has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The first reference, as upstream words it.
    pub what: Option<&'static str>,
    pub secrets: bool,
    pub account_tokens: bool,
}

/// Looks for references to API objects in a pod.
///
/// # Errors
/// 400 when it does not have the form of a pod.
pub(crate) fn api_reference(pod: &Value) -> Result<Found, Status> {
    let pod = serde_json::from_slice::<Pod>(&schema::encode_plain(pod))
        .map_err(|e| Status::bad_request(format!("the pod cannot be read: {e}")))?;
    let references = pod.references("");
    let refers = |kind: Kind| references.iter().any(|(k, _)| *k == kind);
    let what = if refers(Kind::Account) {
        Some("serviceaccounts")
    } else if refers(Kind::Secret) {
        Some("secrets")
    } else if refers(Kind::ConfigMap) {
        Some("configmaps")
    } else if all(&pod.spec.resource_claims).next().is_some() {
        Some("resourceclaims")
    } else {
        all(&pod.spec.volumes).find_map(volume)
    };
    let sources = all(&pod.spec.volumes).filter_map(|v| v.projected.as_ref()).flat_map(|p| all(&p.sources));
    let account_tokens = sources.into_iter().any(|s| s.service_account_token.is_some());
    Ok(Found { what, secrets: refers(Kind::Secret), account_tokens })
}

fn volume(v: &Volume) -> Option<&'static str> {
    if v.config_map.is_some() {
        return Some("configmaps (via configmap volumes)");
    }
    if v.secret.is_some() {
        return Some("secrets (via secret volumes)");
    }
    if v.csi.is_some() {
        return Some("csidrivers (via CSI volumes)");
    }
    if v.glusterfs.is_some() {
        return Some("endpoints (via glusterFS volumes)");
    }
    if v.persistent_volume_claim.is_some() {
        return Some("persistentvolumeclaims");
    }
    if v.ephemeral.is_some() {
        return Some("persistentvolumeclaims (via ephemeral volumes)");
    }
    if v.azure_file.is_some() {
        return Some("secrets (via azureFile volumes)");
    }
    v.projected.as_ref().and_then(projected)
}

fn projected(p: &Projected) -> Option<&'static str> {
    all(&p.sources).find_map(|s| {
        if s.config_map.is_some() {
            return Some("configmaps (via projected volumes)");
        }
        if s.secret.is_some() {
            return Some("secrets (via projected volumes)");
        }
        if s.service_account_token.is_some() {
            return Some("serviceaccounts (via projected volumes)");
        }
        if s.cluster_trust_bundle.is_some() {
            return Some("clustertrustbundles");
        }
        s.pod_certificate.is_some().then_some("podcertificates")
    })
}
