//! Tokens that kubelets ask for: of the account of a pod that runs on the node, for an audience that the pod, or
//! the driver of one of its volumes, asks for itself.
// k8s: plugin/pkg/admission/noderestriction/admission.go admitServiceAccount, validateNodeServiceAccountAudience

use meta::{Gvr, Status};
use schema::Value;
use serde::Deserialize;

use super::write::{PODS, Pod, Write, not_found};
use crate::request::{Attributes, What};

const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
const DRIVERS: Gvr = Gvr::new("storage.k8s.io", "v1", "csidrivers");
const VERB: &str = "request-serviceaccounts-token-audience";

/// Checks a TokenRequest.
pub(super) async fn check(w: &Write<'_>, request: &Value) -> Result<(), Status> {
    let text = |field: &str| request.str_at(&["spec", "boundObjectRef", field]);
    let name = text("name");
    if text("apiVersion") != "v1" || text("kind") != "Pod" || name.is_empty() {
        return w.refuse("node requested token not bound to a pod");
    }
    let uid = text("uid");
    if uid.is_empty() {
        return w.refuse("node requested token with a pod binding without a uid");
    }
    let namespace = w.call.namespace;
    let Some(pod) = w.stored::<Pod>(&PODS, namespace, name)? else {
        return Err(not_found(&PODS, name));
    };
    if pod.metadata.uid != uid {
        return w.refuse(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        ));
    }
    if pod.spec.node_name != w.node {
        return w.refuse("node requested token bound to a pod scheduled on a different node");
    }
    let audiences: Vec<&str> =
        request.list_at(&["spec", "audiences"]).iter().filter_map(Value::as_str).collect();
    match audiences.as_slice() {
        [] => audience(w, name, "").await,
        [one] => audience(w, name, one).await,
        _ => w.refuse("node may only request 0 or 1 audiences"),
    }
}

async fn audience(w: &Write<'_>, pod: &str, audience: &str) -> Result<(), Status> {
    let volumes = w.stored::<WithVolumes>(&PODS, w.call.namespace, pod)?.unwrap_or_default().spec.volumes;
    match asks_for(w, pod, &volumes.unwrap_or_default(), audience)? {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(why) => {
            let shown = meta::field::quoted(audience);
            return w.refuse(&format!("error validating audience {shown}: {why}"));
        }
    }
    let call = w.call;
    let question = Attributes {
        user: call.user().clone(),
        verb: VERB.to_owned(),
        target: What::Resource {
            group: call.resource.gvr.group.to_string(),
            version: call.resource.gvr.version.to_string(),
            resource: audience.to_owned(),
            subresource: String::new(),
            namespace: call.namespace.to_owned(),
            name: call.name.to_owned(),
        },
        ..Attributes::default()
    };
    if call.state.decide(&question).await.allowed() {
        return Ok(());
    }
    let shown = meta::field::quoted(audience);
    w.refuse(&format!("{} is not authorized to request tokens for audience {shown}", call.user().name))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WithVolumes {
    spec: Volumes,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Volumes {
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    projected: Option<Projected>,
    ephemeral: Option<serde::de::IgnoredAny>,
    persistent_volume_claim: Option<Claim>,
    csi: Option<Csi>,
    #[serde(flatten)]
    in_tree: InTree,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Projected {
    sources: Option<Vec<Source>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    service_account_token: Option<Token>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Token {
    audience: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Claim {
    claim_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Csi {
    driver: String,
}

/// Volumes of the tree's own drivers, which a CSI driver serves today.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct InTree {
    aws_elastic_block_store: Option<serde::de::IgnoredAny>,
    azure_disk: Option<serde::de::IgnoredAny>,
    azure_file: Option<serde::de::IgnoredAny>,
    cinder: Option<serde::de::IgnoredAny>,
    gce_persistent_disk: Option<serde::de::IgnoredAny>,
    portworx_volume: Option<serde::de::IgnoredAny>,
    vsphere_volume: Option<serde::de::IgnoredAny>,
}

impl InTree {
    // k8s: staging/src/k8s.io/csi-translation-lib/plugins
    fn driver(&self) -> Option<&'static str> {
        let drivers = [
            (&self.aws_elastic_block_store, "ebs.csi.aws.com"),
            (&self.azure_disk, "disk.csi.azure.com"),
            (&self.azure_file, "file.csi.azure.com"),
            (&self.cinder, "cinder.csi.openstack.org"),
            (&self.gce_persistent_disk, "pd.csi.storage.gke.io"),
            (&self.portworx_volume, "pxd.portworx.com"),
            (&self.vsphere_volume, "csi.vsphere.vmware.com"),
        ];
        drivers.into_iter().find_map(|(volume, driver)| volume.as_ref().map(|_| driver))
    }
}

/// Whether the pod or a driver of its volumes asks for the audience. The inner error says what could not be found.
fn asks_for(
    w: &Write<'_>,
    pod: &str,
    volumes: &[Volume],
    audience: &str,
) -> Result<Result<bool, String>, Status> {
    let mut errors = Vec::new();
    for v in volumes {
        let sources = v.projected.iter().flat_map(|p| p.sources.iter().flatten());
        let mut tokens = sources.filter_map(|s| s.service_account_token.as_ref());
        if tokens.any(|t| t.audience == audience) {
            return Ok(Ok(true));
        }
        let driver = match (v, &v.persistent_volume_claim, &v.csi) {
            (Volume { ephemeral: Some(_), .. }, ..) => driver_of(w, &format!("{pod}-{}", v.name))?,
            (_, Some(claim), _) => driver_of(w, &claim.claim_name)?,
            (_, _, Some(csi)) => Ok(Some(csi.driver.clone())),
            _ => Ok(v.in_tree.driver().map(str::to_owned)),
        };
        match driver {
            Ok(None) => {}
            Ok(Some(driver)) => match w.stored::<Driver>(&DRIVERS, "", &driver)? {
                Some(d) if d.spec.token_requests.iter().flatten().any(|t| t.audience == audience) => {
                    return Ok(Ok(true));
                }
                Some(_) => {}
                None => errors.push(not_found(&DRIVERS, &driver).message),
            },
            Err(why) => errors.push(why),
        }
    }
    // k8s: staging/src/k8s.io/apimachinery/pkg/util/errors/errors.go Error: each text once.
    let mut once: Vec<String> = Vec::new();
    for error in errors {
        if !once.contains(&error) {
            once.push(error);
        }
    }
    match once.as_slice() {
        [] => Ok(Ok(false)),
        [one] => Ok(Err(one.clone())),
        several => Ok(Err(format!("[{}]", several.join(", ")))),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Driver {
    spec: DriverSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DriverSpec {
    token_requests: Option<Vec<Token>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BoundClaim {
    spec: BoundClaimSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BoundClaimSpec {
    volume_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PersistentVolume {
    spec: PersistentVolumeSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PersistentVolumeSpec {
    csi: Option<Csi>,
    #[serde(flatten)]
    in_tree: InTree,
}

/// The CSI driver of the volume that a claim is bound to.
fn driver_of(w: &Write<'_>, claim: &str) -> Result<Result<Option<String>, String>, Status> {
    let Some(bound) = w.stored::<BoundClaim>(&CLAIMS, w.call.namespace, claim)? else {
        return Ok(Err(not_found(&CLAIMS, claim).message));
    };
    let name = bound.spec.volume_name;
    let Some(volume) = w.stored::<PersistentVolume>(&VOLUMES, "", &name)? else {
        return Ok(Err(not_found(&VOLUMES, &name).message));
    };
    let spec = volume.spec;
    Ok(Ok(spec.csi.map(|c| c.driver).or_else(|| spec.in_tree.driver().map(str::to_owned))))
}
