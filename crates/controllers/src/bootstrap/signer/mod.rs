//! Bootstrap signer: signs `kube-public/cluster-info` with every bootstrap token that is meant for it, so that who has
//! only a token can tell which cluster it is for.
// k8s: pkg/controller/bootstrap/bootstrapsigner.go

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use meta::Status;
use reconcile::{Action, Answer, Answers, Caches, Controller, Interests, Key, Plan};
use serde_json::Value;

use super::{jws, token};
use crate::core::rootca::{CLUSTER_INFO, CONFIGMAPS, ConfigMap};
use crate::core::serviceaccounttoken::{BOOTSTRAP_NAMESPACE, Secret};

const CONTENT: &str = "kubeconfig";
const PREFIX: &str = "jws-kubeconfig-";

/// The controller. Its only key is the config map.
pub struct BootstrapSigner;

/// What a decision depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub info: Arc<ConfigMap>,
    /// The bootstrap tokens.
    pub tokens: Vec<Arc<Secret>>,
    /// The config map as the server has it; `None` when it has not been asked.
    pub fresh: Option<Result<Value, Status>>,
}

fn key() -> Key {
    Key::new(CLUSTER_INFO.0, CLUSTER_INFO.1)
}

fn fresh(answers: &Answers) -> Option<Result<Value, Status>> {
    Some(match answers.got(&CONFIGMAPS, CLUSTER_INFO.0, CLUSTER_INFO.1)? {
        Ok(Answer::Object(bytes)) => meta::json::read(bytes).map_err(|e| Status::internal(e.to_string())),
        Ok(_) => Err(Status::internal("not an object")),
        Err(status) => Err(status.clone()),
    })
}

/// The signatures of a content by the field that they stand in.
fn signatures(tokens: &[Arc<Secret>], content: &str, now: Timestamp) -> BTreeMap<String, String> {
    let valid = tokens.iter().filter_map(|s| token::signing(s, now));
    valid.map(|(id, secret)| (format!("{PREFIX}{id}"), jws::detached(content, &id, &secret))).collect()
}

/// The config map with these signatures and no others, or `None` where that changes nothing.
fn signed(object: &Value, tokens: &[Arc<Secret>], now: Timestamp) -> Option<Value> {
    let content = object["data"][CONTENT].as_str()?;
    let mut new = object.clone();
    new["kind"] = "ConfigMap".into();
    new["apiVersion"] = "v1".into();
    let data = new["data"].as_object_mut()?;
    data.retain(|k, _| !k.starts_with(PREFIX));
    data.extend(signatures(tokens, content, now).into_iter().map(|(k, v)| (k, v.into())));
    (new["data"] != object["data"]).then_some(new)
}

impl Controller for BootstrapSigner {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "bootstrap-signer"
    }

    fn interests(&self, i: &mut Interests) {
        i.on::<ConfigMap>(|delta, _, sink| {
            if delta.new.as_ref().is_some_and(|c| c.metadata.key() == key()) {
                sink.add(key());
            }
        });
        i.on::<Secret>(|delta, _, sink| {
            if delta.both().any(|s| s.is_bootstrap()) {
                sink.add(key());
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let info = caches.kind::<ConfigMap>().by_key(key)?.clone();
        let tokens = caches.kind::<Secret>().list(BOOTSTRAP_NAMESPACE).filter(|s| s.is_bootstrap());
        Some(State { info, tokens: tokens.cloned().collect(), fresh: fresh(answers) })
    }

    fn reconcile(&self, state: &State, (): &mut (), now: Timestamp) -> Plan {
        let data = &state.info.data;
        let Some(content) = data.get(CONTENT) else { return Plan::default() };
        let mut plan = Plan::default();
        // A signature does not outlive its token, also where nobody deletes that.
        state
            .tokens
            .iter()
            .filter_map(|s| token::end(s))
            .filter(|at| *at > now)
            .for_each(|at| plan.requeue_by(at));
        let wanted = signatures(&state.tokens, content, now);
        let there = data.iter().filter(|(k, _)| k.starts_with(PREFIX));
        if there.eq(wanted.iter().map(|(k, v)| (k.as_str(), v.as_str()))) {
            return plan;
        }
        match &state.fresh {
            // All of it is written, and the caches do not have all.
            None => plan.step(vec![Action::get(CONFIGMAPS, CLUSTER_INFO.0, CLUSTER_INFO.1)]),
            Some(Ok(object)) => {
                let new = signed(object, &state.tokens, now);
                let write = |o| Action::update(CONFIGMAPS, &key(), "", &o).tolerate(&["NotFound"]);
                plan.step(new.map(write).into_iter().collect());
            }
            Some(Err(status)) => plan.retry = !status.is("NotFound"),
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use bytes::Bytes;
    use reconcile::Op;
    use serde_json::json;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn secret(id: &str, change: &[(&str, &str)]) -> Value {
        let mut data: BTreeMap<&str, &str> = BTreeMap::from([
            ("token-id", id),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", "true"),
        ]);
        data.extend(change.iter().copied());
        let data: BTreeMap<&str, String> =
            data.into_iter().map(|(k, v)| (k, base64::engine::general_purpose::STANDARD.encode(v))).collect();
        json!({"metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system", "uid": id},
            "type": "bootstrap.kubernetes.io/token", "data": data})
    }

    fn info(data: &Value) -> Value {
        json!({"metadata": {"name": "cluster-info", "namespace": "kube-public", "resourceVersion": "7",
            "labels": {"kept": "yes"}}, "data": data})
    }

    fn decide(info: &Value, secrets: &[Value], answers: &Answers) -> Plan {
        let mut caches = Caches::default();
        caches.kind_mut::<ConfigMap>().upsert(meta::json::of(info).unwrap());
        caches.kind_mut::<Secret>();
        for s in secrets {
            caches.kind_mut::<Secret>().upsert(meta::json::of(s).unwrap());
        }
        let state = BootstrapSigner.observe(&key(), &caches, answers).unwrap();
        BootstrapSigner.reconcile(&state, &mut (), NOW.parse().unwrap())
    }

    /// What is written after the config map was read, if anything is.
    fn written(info: &Value, secrets: &[Value]) -> Option<Value> {
        let asks = decide(info, secrets, &Answers::default());
        let get = asks.actions().next()?.op.clone();
        assert!(matches!(&get, Op::Get { name, .. } if name == "cluster-info"), "{get:?}");
        let answer = Ok(Answer::Object(Bytes::from(info.to_string())));
        let plan = decide(info, secrets, &Answers { reads: vec![(get, answer)], ..Answers::default() });
        let Op::Update { body, sub: "", .. } = &plan.actions().next()?.op else { panic!("{plan:?}") };
        serde_json::from_slice(body).ok()
    }

    #[test]
    fn every_valid_token_signs_and_no_other() {
        let content = "the cluster's kubeconfig\n";
        let signature = jws::detached(content, "abcdef", "0123456789abcdef");
        let old = info(&json!({"kubeconfig": content, "clusterCIDR": "c", "jws-kubeconfig-gone00": "x"}));
        let secrets = [
            secret("abcdef", &[("expiration", "2026-01-01T00:05:00Z")]),
            secret("other1", &[("usage-bootstrap-signing", "false")]),
            secret("other2", &[("expiration", NOW)]),
            secret("other3", &[("token-id", "other4")]),
            secret("other5", &[("token-secret", "")]),
            secret("TooLong", &[]),
        ];
        let new = written(&old, &secrets).unwrap();
        let want = json!({"kubeconfig": content, "clusterCIDR": "c", "jws-kubeconfig-abcdef": signature});
        assert_eq!(new["data"], want);
        assert_eq!(
            (&new["metadata"]["labels"]["kept"], &new["metadata"]["resourceVersion"]),
            (&json!("yes"), &json!("7"))
        );
        let settled = decide(&info(&want), &secrets, &Answers::default());
        assert_eq!(settled, Plan::at("2026-01-01T00:05:00Z".parse().unwrap()));
        // Another content, another signature; without a token none.
        let mut changed = want.clone();
        changed["kubeconfig"] = "another".into();
        let new = written(&info(&changed), &secrets).unwrap();
        assert_eq!(
            new["data"]["jws-kubeconfig-abcdef"],
            jws::detached("another", "abcdef", "0123456789abcdef")
        );
        let new = written(&info(&want), &secrets[1..]).unwrap();
        assert_eq!(new["data"], json!({"kubeconfig": content, "clusterCIDR": "c"}));
        // Nothing to sign.
        assert!(
            decide(&info(&json!({"jws-kubeconfig-abcdef": "x"})), &secrets, &Answers::default()).is_empty()
        );
    }

    #[test]
    fn what_cannot_be_read_is_tried_again() {
        let old = info(&json!({"kubeconfig": "k"}));
        let secrets = [secret("abcdef", &[])];
        let get = decide(&old, &secrets, &Answers::default()).actions().next().unwrap().op.clone();
        for (status, again) in
            [(Status::unavailable("no"), true), (Status::not_found(&CONFIGMAPS, "cluster-info"), false)]
        {
            let answers = Answers { reads: vec![(get.clone(), Err(status))], ..Answers::default() };
            let plan = decide(&old, &secrets, &answers);
            assert!(plan.steps.is_empty());
            assert_eq!(plan.retry, again);
        }
    }
}
