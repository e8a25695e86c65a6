//! How many pods the managing owner of a pod wants: the caches say it of the kinds that are known here, the owner's
//! `scale` of every other kind.
// k8s: pkg/controller/disruption/disruption.go finders

use std::sync::Arc;

use meta::Gvr;
use reconcile::{Answer, Answers, Caches, ObjectMeta, OwnerReference, Projection as _};
use serde::Deserialize;

use crate::apps::statefulset::StatefulSet;
use crate::apps::types::{Deployment, ReplicaSet};
use crate::core::replicationcontroller::ReplicationController;

/// What is known of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// That many pods, by the one of this UID: the deployment, where a replica set has one.
    Replicas { uid: Arc<str>, count: i64 },
    /// Its `scale` has not been asked.
    Ask { gvr: Gvr, name: Box<str> },
    /// There is no such owner.
    Nobody,
    /// It cannot be told; with `again` it may be when it is asked once more.
    Unknown { why: String, again: bool },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Scale {
    metadata: ObjectMeta,
    spec: ScaleSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScaleSpec {
    replicas: i64,
}

/// What is known of an owner in a namespace.
pub(super) fn wanted(owner: &OwnerReference, namespace: &str, caches: &Caches, answers: &Answers) -> Wanted {
    cached(owner, namespace, caches).unwrap_or_else(|| asked(owner, namespace, caches, answers))
}

fn is(owner: &OwnerReference, m: &ObjectMeta, count: i64) -> Option<Wanted> {
    (m.uid == owner.uid).then(|| Wanted::Replicas { uid: m.uid.clone(), count })
}

fn cached(owner: &OwnerReference, namespace: &str, caches: &Caches) -> Option<Wanted> {
    match (&*owner.kind, owner.group()) {
        ("ReplicationController", "") => {
            let rc = caches.kind::<ReplicationController>().get(namespace, &owner.name)?;
            is(owner, rc.meta(), rc.set.replicas().into())
        }
        ("ReplicaSet", "apps" | "extensions") => {
            let set = caches.kind::<ReplicaSet>().get(namespace, &owner.name)?;
            let own = is(owner, &set.metadata, set.replicas().into())?;
            let Some(above) = set.metadata.controller().filter(|o| &*o.kind == "Deployment") else {
                return Some(own);
            };
            let deployment = caches.kind::<Deployment>().get(namespace, &above.name)?;
            let known = matches!(above.group(), "apps" | "extensions");
            known.then(|| is(above, &deployment.metadata, deployment.replicas().into()))?
        }
        ("StatefulSet", "apps") => {
            let set = caches.kind::<StatefulSet>().get(namespace, &owner.name)?;
            is(owner, &set.metadata, set.replicas())
        }
        _ => None,
    }
}

// k8s: pkg/controller/disruption/disruption.go getScaleController
fn asked(owner: &OwnerReference, namespace: &str, caches: &Caches, answers: &Answers) -> Wanted {
    let unknown = |why: String, again| Wanted::Unknown { why, again };
    let Some(info) = caches.discovery.by_kind(&owner.api_version, &owner.kind) else {
        let why = format!("no matches for kind {:?} in version {:?}", owner.kind, owner.api_version);
        return unknown(why, false);
    };
    if !caches.discovery.has_scale(&info.gvr) {
        let why = format!("{} does not implement the scale subresource", info.gvr.group_resource());
        return unknown(why, false);
    }
    match answers.got_sub(&info.gvr, namespace, &owner.name, "scale") {
        None => Wanted::Ask { gvr: info.gvr.clone(), name: owner.name.clone() },
        Some(Ok(Answer::Object(bytes))) => match meta::json::read::<Scale>(bytes) {
            Ok(scale) => is(owner, &scale.metadata, scale.spec.replicas.max(0)).unwrap_or(Wanted::Nobody),
            Err(e) => unknown(format!("scale of {}: {e}", owner.name), false),
        },
        Some(Ok(_)) => unknown(format!("scale of {}: not an object", owner.name), false),
        Some(Err(status)) if status.is("NotFound") => Wanted::Nobody,
        Some(Err(status)) => unknown(status.message.clone(), true),
    }
}
