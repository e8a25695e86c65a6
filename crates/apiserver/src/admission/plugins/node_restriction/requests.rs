//! Certificates that kubelets ask for: their own, and those of pods that run on the node.
// k8s: plugin/pkg/admission/noderestriction/admission.go admitCSR, admitPodCertificateRequest

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::{Gvr, Status};
use schema::Value;
use serde::Deserialize;

use super::write::{NODES, PODS, Write, not_found};
use crate::authenticate::certificate;
use crate::authorize::node::MIRROR;
use crate::request::{Attributes, What};
use crate::storage::peek;

const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const SERVING: &str = "kubernetes.io/kubelet-serving";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const VERB: &str = "request-serviceaccounts-podcertificate-signer";

/// A CertificateSigningRequest for a node's signers must be in the name of the node that asks.
pub(super) fn certificate(w: &Write<'_>, new: &Value) -> Result<(), Status> {
    if !matches!(new.str_at(&["spec", "signerName"]), SERVING | CLIENT) {
        return Ok(());
    }
    let subject = STANDARD
        .decode(new.str_at(&["spec", "request"]))
        .map_err(|e| e.to_string())
        .and_then(|pem| certificate::subject_of_request(&pem));
    let subject = match subject {
        Ok(subject) => subject,
        Err(why) => return w.refuse(&format!("unable to parse csr: {why}")),
    };
    let wanted = format!("system:node:{}", w.node);
    if subject.common_name != wanted {
        return w.refuse(&format!("can only create a node CSR with CN={wanted}"));
    }
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    metadata: peek::Metadata,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    metadata: PodMetadata,
    spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodMetadata {
    uid: String,
    annotations: Option<std::collections::HashMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    service_account_name: String,
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Volume {
    projected: Option<Projected>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Projected {
    sources: Option<Vec<Source>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    pod_certificate: Option<PodCertificate>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodCertificate {
    signer_name: String,
}

/// A PodCertificateRequest must be for a pod that runs here, as the account that it runs as.
pub(super) async fn pod_certificate(w: &Write<'_>, new: &Value) -> Result<(), Status> {
    let field = |name: &str| new.str_at(&["spec", name]);
    let quoted = meta::field::quoted;
    let node = field("nodeName");
    if node != w.node {
        return w.refuse(&format!(
            "PodCertificateRequest.Spec.NodeName={}, which is not the requesting node {}",
            quoted(node),
            quoted(w.node)
        ));
    }
    let what = quoted(&format!("{}/{}", w.call.namespace, field("podName")));
    let missing = |kind: &str, name: &str, gvr: &Gvr, key: &str| {
        let why = not_found(gvr, key).message;
        Status::failure(
            500,
            "",
            format!("while retrieving {kind} {name} named in the PodCertificateRequest: {why}"),
        )
    };
    let Some(own) = w.stored::<Object>(&NODES, "", node)? else {
        return Err(missing("node", &quoted(node), &NODES, node));
    };
    let (given, actual) = (field("nodeUID"), &own.metadata.uid);
    if given != actual {
        return Err(Status::failure(
            500,
            "",
            format!(
                "PodCertificateRequest for pod {what} names node UID {}, inconsistent with the running node ({})",
                quoted(given),
                quoted(actual)
            ),
        ));
    }
    let name = field("podName");
    let Some(pod) = w.stored::<Pod>(&PODS, w.call.namespace, name)? else {
        return Err(missing("pod", &what, &PODS, name));
    };
    let (given, actual) = (field("podUID"), &pod.metadata.uid);
    if given != actual {
        return Err(Status::failure(
            500,
            "",
            format!(
                "PodCertificateRequest for pod {what} contains pod UID ({}) which differs from running pod {}",
                quoted(given),
                quoted(actual)
            ),
        ));
    }
    if pod.spec.node_name != node {
        return w.refuse(&format!(
            "pod {what} is not running on node {} named in the PodCertificateRequest",
            quoted(node)
        ));
    }
    if pod.metadata.annotations.iter().any(|a| a.contains_key(MIRROR)) {
        return w.refuse(&format!("pod {what} is a mirror pod"));
    }
    account(w, new, &pod, &what)?;
    signer(w, new, &pod, &what).await
}

fn account(w: &Write<'_>, new: &Value, pod: &Pod, what: &str) -> Result<(), Status> {
    let quoted = meta::field::quoted;
    let (given, actual) = (new.str_at(&["spec", "serviceAccountName"]), &pod.spec.service_account_name);
    if given != actual {
        return w.refuse(&format!(
            "PodCertificateRequest for pod {what} contains serviceAccountName ({}) that differs from running pod ({})",
            quoted(given),
            quoted(actual)
        ));
    }
    let shown = quoted(&format!("{}/{given}", w.call.namespace));
    let Some(stored) = w.stored::<Object>(&ACCOUNTS, w.call.namespace, given)? else {
        let why = not_found(&ACCOUNTS, given).message;
        return Err(Status::failure(
            500,
            "",
            format!("while retrieving service account {shown} named in the PodCertificateRequest: {why}"),
        ));
    };
    let (given, actual) = (new.str_at(&["spec", "serviceAccountUID"]), &stored.metadata.uid);
    if given != actual {
        return Err(Status::failure(
            500,
            "",
            format!(
                "PodCertificateRequest for pod {what} names service account UID {}, which differs from the running service account ({})",
                quoted(given),
                quoted(actual)
            ),
        ));
    }
    Ok(())
}

/// The pod asks for a certificate of this signer, or the node may ask for it.
async fn signer(w: &Write<'_>, new: &Value, pod: &Pod, what: &str) -> Result<(), Status> {
    let signer = new.str_at(&["spec", "signerName"]);
    let volumes = pod.spec.volumes.iter().flatten().filter_map(|v| v.projected.as_ref());
    let sources = volumes.flat_map(|p| p.sources.iter().flatten());
    if sources.filter_map(|s| s.pod_certificate.as_ref()).any(|c| c.signer_name == signer) {
        return Ok(());
    }
    let call = w.call;
    let question = Attributes {
        user: call.user().clone(),
        verb: VERB.to_owned(),
        target: What::Resource {
            group: call.resource.gvr.group.to_string(),
            version: call.resource.gvr.version.to_string(),
            // A resource has no slash.
            resource: signer.replace('/', ":"),
            subresource: String::new(),
            namespace: call.namespace.to_owned(),
            name: new.str_at(&["spec", "serviceAccountName"]).to_owned(),
        },
        ..Attributes::default()
    };
    if call.state.decide(&question).await.allowed() {
        return Ok(());
    }
    w.refuse(&format!(
        "pod {what} does not mount a podCertificate projected volume for signer {}",
        meta::field::quoted(signer)
    ))
}
