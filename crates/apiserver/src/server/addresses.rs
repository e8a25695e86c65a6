//! Brings IPAddress objects back to what the Services have: Services that were stored before there were such objects,
//! objects that somebody removed or changed, objects whose Service is gone.
// k8s: pkg/registry/core/service/ipallocator/controller/repairip.go

use futures_util::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};
use meta::{Status, Verb};

use super::Server;
use super::bootstrap::AT_ONCE;
use crate::admission::Astray;
use crate::admission::addresses::{self, Claim};

/// How long an object may wait for the Service that it names.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// What is done about an address.
#[derive(Debug, PartialEq, Eq)]
enum Mend {
    Create,
    Recreate,
    Remove,
    Wait,
}

fn mend(has_service: bool, object: Option<&Claim>, now: Timestamp) -> Mend {
    let is_old = |o: &Claim| o.created().is_none_or(|t| now.duration_since(t) > GRACE);
    match (has_service, object) {
        (true, None) => Mend::Create,
        (true, Some(_)) => Mend::Recreate,
        // Somebody else's objects are nobody's business here.
        (false, Some(o)) if o.is_ours() && (is_old(o) || !o.names_service()) => Mend::Remove,
        (false, _) => Mend::Wait,
    }
}

impl Server {
    /// Mends what does not belong together. What fails is tried again at the next call.
    pub(super) async fn mend_addresses(&self, now: Timestamp) {
        let all = stream::iter(self.services.astray());
        // Side by side, so that they share commits.
        all.for_each_concurrent(AT_ONCE, |astray| async move {
            if let Err(e) = self.mend_address(&astray, now).await {
                tracing::warn!(address = %astray.address, "the IPAddress cannot be repaired: {e}");
            }
        })
        .await;
    }

    async fn mend_address(&self, astray: &Astray, now: Timestamp) -> Result<(), Status> {
        let gvr = addresses::gvr();
        let mend = mend(astray.service.is_some(), astray.object.as_ref(), now);
        let address = astray.address;
        if matches!(mend, Mend::Remove | Mend::Recreate) {
            tracing::info!(%address, "the IPAddress does not belong to the service that has the address, and is removed");
            match self.own(Verb::Delete, &gvr, "", &address.to_string(), None).await {
                Err(e) if !e.is("NotFound") => return Err(e),
                _ => {}
            }
        }
        if let (Mend::Create | Mend::Recreate, Some((namespace, name))) = (mend, &astray.service) {
            tracing::info!(%address, "the IPAddress of service {namespace}/{name} is made");
            self.ensure(&gvr, "", &addresses::object_of(address, namespace, name)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_about_an_address() {
        let made: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let of = |ours: bool, resource: &str| {
            let mut o = addresses::object_of([10, 0, 0, 7].into(), "a", "b");
            o["metadata"]["creationTimestamp"] = made.to_string().into();
            o["spec"]["parentRef"]["resource"] = resource.into();
            if !ours {
                o["metadata"]["labels"] = serde_json::json!({});
            }
            Some(Claim::of(o.to_string().as_bytes()))
        };
        let (ours, others, elsewhere) = (of(true, "services"), of(false, "services"), of(true, "nodes"));
        for (has_service, object, seconds, want) in [
            (true, &None, 0, Mend::Create),
            (true, &ours, 0, Mend::Recreate),
            (true, &others, 61, Mend::Recreate),
            (false, &ours, 60, Mend::Wait),
            (false, &ours, 61, Mend::Remove),
            (false, &elsewhere, 0, Mend::Remove),
            (false, &others, 61, Mend::Wait),
            (false, &None, 61, Mend::Wait),
        ] {
            let now = made + SignedDuration::from_secs(seconds);
            assert_eq!(mend(has_service, object.as_ref(), now), want, "{has_service} {object:?} {seconds}");
        }
    }
}
