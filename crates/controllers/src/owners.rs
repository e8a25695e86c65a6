//! Claiming: which objects a controller owns, which it takes over, which it lets go.
//!
//! An object whose labels match and that has no managing owner is adopted, but only after a live read says
//! that the adopter still exists and is not being deleted. An owned object whose labels no longer match is
//! released.
// k8s: pkg/controller/controller_ref_manager.go

use std::sync::Arc;

use meta::Gvr;
use reconcile::{Action, Answer, Answers, LabelSelector, ObjectMeta, Partial, Plan};
use serde_json::{Value, json};

/// The owner's side.
pub struct Claimer<'a> {
    pub owner: &'a ObjectMeta,
    pub owner_gvr: Gvr,
    pub owner_api_version: &'static str,
    pub owner_kind: &'static str,
    pub selector: &'a LabelSelector,
    /// Of the claimed objects.
    pub gvr: Gvr,
}

/// Whether the owner may adopt, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MayAdopt {
    /// The server has not been asked.
    #[default]
    Unasked,
    Yes,
    /// The owner is gone, another one of its name has come, or it is being deleted.
    No,
}

impl MayAdopt {
    /// Reads the answer to the live read that [`Claimer::plan`] asks for.
    #[must_use]
    pub fn from_answers(answers: &Answers, gvr: &Gvr, owner: &ObjectMeta) -> Self {
        match answers.got(gvr, &owner.namespace, &owner.name) {
            None => MayAdopt::Unasked,
            Some(Ok(Answer::Object(bytes))) => match Partial::parse(bytes) {
                Ok(p) if p.metadata.uid == owner.uid && !p.metadata.deleting() => MayAdopt::Yes,
                _ => MayAdopt::No,
            },
            Some(_) => MayAdopt::No,
        }
    }
}

/// The `ownerReferences` entry of a managing owner.
#[must_use]
pub fn controller_ref(api_version: &str, kind: &str, owner: &ObjectMeta) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": owner.name, "uid": owner.uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}

impl Claimer<'_> {
    /// Whether an owned object is to be let go.
    fn strays(&self, m: &ObjectMeta) -> bool {
        m.controlled_by(&self.owner.uid) && !self.selector.matches(&m.labels)
    }

    /// Whether an object waits to be adopted.
    #[must_use]
    pub fn wants(&self, m: &ObjectMeta) -> bool {
        m.controller().is_none()
            && !m.deleting()
            && !self.owner.deleting()
            && self.selector.matches(&m.labels)
    }

    /// The plan that settles ownership, or `None` when it is settled.
    pub fn plan<'m>(
        &self,
        objects: impl IntoIterator<Item = &'m ObjectMeta>,
        may_adopt: MayAdopt,
    ) -> Option<Plan> {
        self.plan_held(objects, may_adopt, &[])
    }

    /// The same, where what is adopted gets these finalizers and what is let go loses them.
    pub fn plan_held<'m>(
        &self,
        objects: impl IntoIterator<Item = &'m ObjectMeta>,
        may_adopt: MayAdopt,
        finalizers: &[&str],
    ) -> Option<Plan> {
        let (mut release, mut adopt) = (Vec::new(), Vec::new());
        for m in objects {
            if self.strays(m) {
                if !self.owner.deleting() {
                    release.push(self.release(m, finalizers));
                }
            } else if self.wants(m) {
                adopt.push(self.adopt(m, finalizers));
            }
        }
        let mut plan = Plan::default();
        plan.step(release);
        match (adopt.is_empty(), may_adopt) {
            (true, _) => {}
            (false, MayAdopt::Yes) => plan.step(adopt),
            (false, MayAdopt::Unasked) => {
                plan.step(vec![Action::get(self.owner_gvr.clone(), &self.owner.namespace, &self.owner.name)]);
            }
            // The caches will show before long that the owner is going.
            (false, MayAdopt::No) => plan.retry = true,
        }
        (!plan.is_empty()).then_some(plan)
    }

    fn adopt(&self, m: &ObjectMeta, finalizers: &[&str]) -> Action {
        let mut body = json!({"metadata": {
            "uid": m.uid,
            "ownerReferences": [controller_ref(self.owner_api_version, self.owner_kind, self.owner)],
        }});
        if !finalizers.is_empty() {
            body["metadata"]["finalizers"] = json!(finalizers);
        }
        Action::strategic_patch(self.gvr.clone(), &m.key(), "", &body).tolerate(&["NotFound"])
    }

    /// Lets an object go.
    pub(crate) fn release(&self, m: &ObjectMeta, finalizers: &[&str]) -> Action {
        let mut body = json!({"metadata": {
            "uid": m.uid,
            "ownerReferences": [{"$patch": "delete", "uid": self.owner.uid}],
        }});
        if !finalizers.is_empty() {
            body["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!(finalizers);
        }
        Action::strategic_patch(self.gvr.clone(), &m.key(), "", &body).tolerate(&["NotFound", "Invalid"])
    }
}

/// Those of `objects` that `owner` manages and whose labels match.
pub fn owned<'a, T>(
    objects: &'a [Arc<T>],
    meta: impl Fn(&T) -> &ObjectMeta + 'a,
    owner: &'a ObjectMeta,
    selector: &'a LabelSelector,
) -> impl Iterator<Item = &'a Arc<T>> {
    objects.iter().filter(move |o| {
        let m = meta(o);
        m.controlled_by(&owner.uid) && selector.matches(&m.labels)
    })
}
