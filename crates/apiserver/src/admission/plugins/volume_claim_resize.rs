//! PersistentVolumeClaimResize: a claim grows only when it is bound and its class lets it.
// k8s: plugin/pkg/admission/storage/persistentvolume/resize/admission.go

use kinds::core::persistent_volume_claim;
use kinds::core::pod_spec::quantity;
use kinds::storage::storage_class;
use meta::Status;
use schema::Value;
use serde::Deserialize;

use super::default_storage_class::CLASS;
use crate::admission::known;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

pub(in crate::admission) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_change = request.operation == Op::Update && request.is_whole(&persistent_volume_claim::KIND);
        match request.old.filter(|_| is_change) {
            Some(old) => Reply::now(check(request, old)),
            None => Reply::now(Ok(())),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Class {
    allow_volume_expansion: Option<bool>,
}

fn check(request: &AdmissionRequest<'_>, old: &Value) -> Result<(), Status> {
    let new = &*request.object;
    let size = |o: &Value| {
        o.at(&["spec", "resources", "requests", "storage"]).and_then(quantity).unwrap_or_default()
    };
    if size(new) <= size(old) {
        return Ok(());
    }
    if old.str_at(&["status", "phase"]) != "Bound" {
        return Err(request.forbidden("Only bound persistent volume claims can be expanded"));
    }
    let (before, after) = (class(old), class(new));
    let found = known::one::<Class>(request.call, &storage_class::KIND, "", after)?;
    let allowed = found.and_then(|class| class.allow_volume_expansion) == Some(true);
    if after.is_empty() || before != after || !allowed {
        return Err(request.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
             support resize",
        ));
    }
    Ok(())
}

/// The name of a claim's class; empty: none.
fn class(claim: &Value) -> &str {
    match claim.str_at(&["metadata", "annotations", CLASS]) {
        "" => claim.str_at(&["spec", "storageClassName"]),
        named => named,
    }
}
