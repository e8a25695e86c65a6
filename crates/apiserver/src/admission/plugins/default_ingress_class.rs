//! DefaultIngressClass: an Ingress that names no class gets the default one.
// k8s: plugin/pkg/admission/network/defaultingressclass/admission.go

use kinds::networking::{ingress, ingress_class};
use meta::Status;

use super::default_class::default_of;
use crate::admission::known;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

const DEFAULT: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
/// Names the class of an Ingress in place of the field.
const CLASS: &str = "kubernetes.io/ingress.class";

pub(in crate::admission) struct DefaultIngressClass;

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_new = request.operation == Op::Create && request.is_whole(&ingress::KIND);
        Reply::now(if is_new { complete(request) } else { Ok(()) })
    }
}

fn complete(request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
    let named = [&["metadata", "annotations", CLASS][..], &["spec", "ingressClassName"]];
    if named.iter().any(|path| request.object.at(path).is_some()) {
        return Ok(());
    }
    let classes = known::all(request.call, &ingress_class::KIND, "")?;
    if let Some(name) = default_of(classes, &DEFAULT) {
        request.object.set_at(&["spec", "ingressClassName"], name);
    }
    Ok(())
}
