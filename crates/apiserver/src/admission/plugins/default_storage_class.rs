//! DefaultStorageClass: a claim that names no class gets the default one.
// k8s: plugin/pkg/admission/storage/storageclass/setdefault/admission.go

use kinds::core::persistent_volume_claim;
use kinds::storage::storage_class;
use meta::Status;

use super::default_class::default_of;
use crate::admission::known;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// Names the class of a claim in place of the field.
pub(super) const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(in crate::admission) struct DefaultStorageClass;

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_new = request.operation == Op::Create && request.is_whole(&persistent_volume_claim::KIND);
        Reply::now(if is_new { complete(request) } else { Ok(()) })
    }
}

fn complete(request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
    let named = [&["metadata", "annotations", CLASS][..], &["spec", "storageClassName"]];
    if named.iter().any(|path| request.object.at(path).is_some()) {
        return Ok(());
    }
    let classes = known::all(request.call, &storage_class::KIND, "")?;
    if let Some(name) = default_of(classes, &DEFAULT) {
        request.object.set_at(&["spec", "storageClassName"], name);
    }
    Ok(())
}
