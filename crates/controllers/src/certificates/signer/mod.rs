//! Signer: signs approved requests of the signers of `kubernetes.io` that check the API's clients and kubelets.
//! `kubernetes.io/legacy-unknown` is not served.
// k8s: pkg/controller/certificates/signer/signer.go

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::{Answers, Caches, Controller, Interests, Key, Plan};

use super::{
    Authority, CLIENT, KUBELET_CLIENT, KUBELET_SERVING, SigningRequest, check_kubelet_client,
    check_kubelet_serving,
};

/// The shortest life of a certificate.
const LIFE_MIN: Duration = Duration::from_secs(10 * 60);

/// The controller. Its keys are requests.
pub struct Signer {
    pub authority: Arc<dyn Authority>,
    /// The longest life of a certificate, and that of one whose request does not say.
    pub life_max: Duration,
}

impl Signer {
    /// Whether this signer may sign it.
    fn check(&self, r: &SigningRequest) -> Result<(), String> {
        let wanted = self.authority.read(&r.pem())?;
        let usages = &r.spec.usages;
        match r.spec.signer_name.as_str() {
            KUBELET_CLIENT => check_kubelet_client(&wanted, usages),
            KUBELET_SERVING => check_kubelet_serving(&wanted, usages),
            _ => check_client(usages),
        }
    }

    fn life(&self, r: &SigningRequest) -> Duration {
        let asked = r.spec.expiration_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
        asked.map_or(self.life_max, |d| d.max(LIFE_MIN).min(self.life_max))
    }
}

// k8s: pkg/controller/certificates/signer/signer.go validAPIServerClientUsages
fn check_client(usages: &[String]) -> Result<(), String> {
    let optional = ["digital signature", "key encipherment", "client auth"];
    if let Some(other) = usages.iter().find(|u| !optional.contains(&u.as_str())) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if !usages.iter().any(|u| u == "client auth") {
        return Err("missing required usage for client certificate: client auth".to_owned());
    }
    Ok(())
}

impl Controller for Signer {
    type State = Arc<SigningRequest>;
    type Memory = ();

    fn name(&self) -> &'static str {
        "certificatesigningrequest-signing-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<SigningRequest>();
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<Self::State> {
        let r = caches.kind::<SigningRequest>().by_key(key)?;
        let ours = [KUBELET_CLIENT, KUBELET_SERVING, CLIENT].contains(&r.spec.signer_name.as_str());
        let due = r.is("Approved") && !r.is("Denied") && !r.is("Failed") && r.status.certificate.is_empty();
        (ours && due).then(|| r.clone())
    }

    fn reconcile(&self, r: &Self::State, _: &mut (), now: Timestamp) -> Plan {
        let signed = self
            .check(r)
            .and_then(|()| self.authority.sign(&r.pem(), &r.spec.usages, self.life(r), &r.metadata.uid, now));
        Plan::of(vec![match signed {
            Ok(pem) => r.issue(&pem),
            Err(why) => r.add_condition("status", "Failed", "SignerValidationFailure", &why, now),
        }])
    }
}

#[cfg(test)]
mod tests {
    use reconcile::Op;
    use serde_json::{Value, json};

    use super::*;
    use crate::certificates::Wanted;

    #[derive(Debug)]
    struct Echo;

    impl Authority for Echo {
        fn read(&self, _: &str) -> Result<Wanted, String> {
            let organizations = vec!["system:nodes".to_owned()];
            Ok(Wanted { common_name: "system:node:n1".to_owned(), organizations, ..Wanted::default() })
        }

        fn sign(
            &self,
            _: &str,
            u: &[String],
            life: Duration,
            _: &str,
            _: Timestamp,
        ) -> Result<String, String> {
            Ok(format!("{} {}", u.join(","), life.as_secs()))
        }
    }

    /// The body that is sent back, if one is.
    fn decided(spec: Value, conditions: &[&str]) -> Option<Value> {
        let conditions: Vec<Value> =
            conditions.iter().map(|c| json!({"type": c, "status": "True"})).collect();
        let request = json!({"metadata": {"name": "r"}, "spec": spec, "status": {"conditions": conditions}});
        let mut caches = Caches::default();
        caches.kind_mut::<SigningRequest>().upsert(serde_json::from_value(request).unwrap());
        let c = Signer { authority: Arc::new(Echo), life_max: Duration::from_secs(86_400) };
        let state = c.observe(&Key::new("", "r"), &caches, &Answers::default())?;
        let plan = c.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH);
        plan.actions().find_map(|a| match &a.op {
            Op::Update { sub: "status", body, .. } => serde_json::from_slice(body).ok(),
            _ => None,
        })
    }

    #[test]
    fn approved_requests_are_signed() {
        let spec = |signer: &str, usages: &[&str], seconds: i64| json!({"signerName": signer, "usages": usages, "expirationSeconds": seconds});
        let good = ["digital signature", "client auth"];
        assert_eq!(decided(spec(KUBELET_CLIENT, &good, 3600), &[]), None);
        assert_eq!(decided(spec(KUBELET_CLIENT, &good, 3600), &["Approved", "Denied"]), None);
        assert_eq!(decided(spec("example.com/other", &good, 3600), &["Approved"]), None);
        let body = decided(spec(KUBELET_CLIENT, &good, 3600), &["Approved"]).unwrap();
        // "digital signature,client auth 3600" in base64
        assert_eq!(body["status"]["certificate"], "ZGlnaXRhbCBzaWduYXR1cmUsY2xpZW50IGF1dGggMzYwMA==");
        assert_eq!(body["status"]["conditions"][0]["type"], "Approved");
        for (signer, usages) in [
            (KUBELET_CLIENT, ["digital signature", "server auth"]),
            (KUBELET_SERVING, ["digital signature", "server auth"]),
            (CLIENT, ["digital signature", "server auth"]),
        ] {
            let body = decided(spec(signer, &usages, 3600), &["Approved"]).unwrap();
            assert_eq!(body["status"]["conditions"][1]["reason"], "SignerValidationFailure", "{signer}");
        }
    }
}
