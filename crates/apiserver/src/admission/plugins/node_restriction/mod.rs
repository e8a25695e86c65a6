//! NodeRestriction: a kubelet writes its own node, the status of the pods that run there, and what belongs to
//! them. The authorizer has decided what can be decided without a body; this must never widen that.
// k8s: plugin/pkg/admission/noderestriction/admission.go

mod own_node;
mod pod;
mod requests;
mod token;
mod write;

use kinds::certificates::{certificate_signing_request, pod_certificate_request};
use kinds::coordination::lease;
use kinds::core::{node, persistent_volume_claim, service_account};
use kinds::resource::resource_slice;
use kinds::storage::csi_node;
use meta::Status;
use schema::Value;

use self::write::{PODS, Pod, Write, not_found};
use crate::authorize::node::{LEASES, node_name};
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

pub(in crate::admission) struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let request = &*request;
        let Some(node) = node_name(request.call.user()) else { return Reply::now(Ok(())) };
        let w = Write { call: request.call, node, name: request.name() };
        if node.is_empty() {
            let user = meta::field::quoted(&w.call.user().name);
            return Reply::now(w.refuse(&format!("could not determine node from user {user}")));
        }
        let part = w.call.subresource;
        let is_create = request.operation == Op::Create;
        if is_create && request.is_of(&service_account::KIND) && part == "token" {
            return Reply::later(Box::pin(async move { token::check(&w, request.object).await }));
        }
        if is_create && request.is_whole(&pod_certificate_request::KIND) {
            return Reply::later(Box::pin(
                async move { requests::pod_certificate(&w, request.object).await },
            ));
        }
        Reply::now(check(&w, request))
    }
}

/// What can be said without asking anybody.
fn check(w: &Write<'_>, request: &AdmissionRequest<'_>) -> Result<(), Status> {
    let op = request.operation;
    let new = &*request.object;
    let old = request.old.unwrap_or(&Value::Null);
    if request.is_of(&kinds::core::pod::KIND) {
        return match w.call.subresource {
            "" => whole_pod(w, op, new, old),
            "status" => pod::status(w, new, old),
            "eviction" => evict(w),
            other => w.refuse(&format!(
                "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
                meta::field::quoted(other)
            )),
        };
    }
    if request.is_of(&node::KIND) {
        return match op {
            Op::Create => own_node::create(w, new),
            Op::Update => own_node::update(w, new, old),
            Op::Delete => own_node::named(w),
        };
    }
    if request.is_of(&persistent_volume_claim::KIND) {
        return match (op, w.call.subresource) {
            (Op::Update, "status") => pod::claim_status(w, new, old),
            _ => w.refuse("may only update PVC status"),
        };
    }
    if request.is_of(&lease::KIND) {
        return own_lease(w);
    }
    if request.is_of(&csi_node::KIND) {
        return own_csi_node(w);
    }
    if request.is_of(&resource_slice::KIND) {
        let slice = if op == Op::Delete { old } else { new };
        if op != Op::Update && slice.str_at(&["spec", "nodeName"]) != w.node {
            return w.refuse("can only create ResourceSlice with the same NodeName as the requesting node");
        }
        return Ok(());
    }
    if request.is_of(&certificate_signing_request::KIND) && op == Op::Create {
        return requests::certificate(w, new);
    }
    if request.is_of(&pod_certificate_request::KIND) && op != Op::Create {
        let told = if op == Op::Update { "UPDATE" } else { "DELETE" };
        return w.refuse(&format!("unexpected operation {told}"));
    }
    Ok(())
}

fn whole_pod(w: &Write<'_>, op: Op, new: &Value, old: &Value) -> Result<(), Status> {
    match op {
        Op::Create => pod::create(w, new),
        Op::Update => {
            let why = "unexpected operation \"UPDATE\"";
            w.refuse(&format!("{why}, node \"{}\" can only create and delete mirror pods", w.node))
        }
        Op::Delete if old.str_at(&["spec", "nodeName"]) != w.node => {
            w.refuse(&format!("node \"{}\" can only delete pods with spec.nodeName set to itself", w.node))
        }
        Op::Delete => Ok(()),
    }
}

/// A kubelet evicts what runs on its node.
// k8s: plugin/pkg/admission/noderestriction/admission.go admitPodEviction
fn evict(w: &Write<'_>) -> Result<(), Status> {
    let Some(pod) = w.stored::<Pod>(&PODS, w.call.namespace, w.name)? else {
        return Err(not_found(&PODS, w.name));
    };
    if pod.spec.node_name != w.node {
        return w.refuse(&format!("node {} can only evict pods with spec.nodeName set to itself", w.node));
    }
    Ok(())
}

fn own_lease(w: &Write<'_>) -> Result<(), Status> {
    if w.call.namespace != LEASES {
        return w.refuse(&format!("can only access leases in the \"{LEASES}\" system namespace"));
    }
    if w.name != w.node {
        return w.refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn own_csi_node(w: &Write<'_>) -> Result<(), Status> {
    if w.name != w.node {
        return w.refuse("can only access CSINode with the same name as the requesting node");
    }
    if w.call.subresource == "status" {
        return w.refuse("CSIVolumeHealth feature gate is disabled");
    }
    Ok(())
}
