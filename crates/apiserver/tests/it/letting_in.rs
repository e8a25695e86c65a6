//! The step in which a request is let in: what is known of it then, and how long that lives.

use std::sync::Arc;

use apiserver::Issuer;
use meta::{Admission, Credentials, Decision, Handler, Proof, Request, Target, Verb};
use serde_json::json;
use stdx::block_on;

use crate::harness::{Answer, World};
use crate::pods;

/// Code and headers of a refusal.
type Refusal = (u16, Vec<(&'static str, String)>);

fn admit(w: &World, request: &Request) -> Result<Arc<Admission>, Refusal> {
    let admission = block_on(w.server.admit(request)).map_err(|r| (r.code, r.headers))?;
    Ok(admission.expect("the server says what it knows"))
}

fn audit_id(answer: &Answer) -> &str {
    let mut found = answer.headers.iter().filter(|(name, _)| *name == "audit-id");
    let id = found.next().map_or("", |(_, id)| id.as_str());
    assert!(found.next().is_none(), "it is said once: {:?}", answer.headers);
    id
}

fn in_flight(w: &World, kind: &str) -> String {
    let line = format!("apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} ");
    let metrics = w.path("/metrics").text();
    metrics.lines().find_map(|l| l.strip_prefix(&line)).expect("it is measured").to_owned()
}

#[test]
fn it_says_who_asks_how_that_is_known_and_why_it_is_allowed() {
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = || Issuer::from_pem("https://issuer", &[], key.serialize_pem().as_bytes()).unwrap();
    let w = World::with(|c| c.issuer = Some(issuer()));
    pods::account(&w);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    });
    w.create("rbac.authorization.k8s.io/rolebindings", "default", &binding).expect(201);
    let spec = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let expiring =
        w.post("serviceaccounts", "default", "default/token", &spec).expect(201).at("/status/token");
    let uid = w.get("serviceaccounts", "default", "default").at("/metadata/uid");
    let lasting = apiserver::sign_legacy_token(&issuer(), "default", "default", &uid, "s").unwrap();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s",
        "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token", "stringData": {"token": lasting}});
    w.create("secrets", "default", &secret).expect(201);
    for (token, proof) in [(expiring, Proof::ServiceAccountToken), (lasting, Proof::SecretToken)] {
        let mut request = w.request(Verb::List, "pods", "default", "");
        request.credentials = Credentials::Bearer(token);
        let admission = admit(&w, &request).unwrap();
        assert_eq!(admission.user().name, "system:serviceaccount:default:default");
        assert_eq!((admission.identity.proof, admission.impersonator.is_none()), (proof, true));
        let why = "RBAC: allowed by RoleBinding \"b/default\" of ClusterRole \"view\"";
        assert!(admission.decision.reason().starts_with(why), "{:?}", admission.decision);
    }
    let mut nobody = Request::new(Verb::Get, Target::Path("/version".into()));
    let admission = admit(&w, &nobody).unwrap();
    assert_eq!((&*admission.user().name, admission.identity.proof), ("system:anonymous", Proof::None));
    nobody.credentials = Credentials::Bearer("no good".into());
    assert_eq!(admit(&w, &nobody).unwrap_err().0, 401);
}

#[test]
fn who_speaks_in_the_name_of_somebody_else_is_not_forgotten() {
    let w = World::new();
    let mut request = w.request(Verb::Create, "authentication.k8s.io/selfsubjectreviews", "", "");
    request.headers = vec![("impersonate-user".into(), "someone".into())];
    let admission = admit(&w, &request).unwrap();
    assert_eq!((&*admission.user().name, admission.identity.proof), ("someone", Proof::Impersonation));
    let speaker = admission.impersonator.as_ref().expect("somebody speaks");
    assert_eq!((&*speaker.user.name, speaker.proof), ("admin", Proof::InProcess));
    assert!(matches!(admission.decision, Decision::Allow(_)));
}

#[test]
fn without_anonymous_requests_nobody_is_let_in_unknown() {
    let w = World::with(|c| c.anonymous = false);
    let nobody = Request::new(Verb::Get, Target::Path("/version".into()));
    assert_eq!(admit(&w, &nobody).unwrap_err().0, 401);
    w.path("/version").expect(200);
}

#[test]
fn every_answer_says_the_audit_id() {
    let w = World::new();
    let ask = |who: &World, id: &str| {
        let mut request = who.request(Verb::List, "pods", "default", "");
        request.headers.push(("audit-id".into(), id.into()));
        who.send(request)
    };
    let own = "x".repeat(100);
    assert_eq!(audit_id(&ask(&w, &own).expect(200)), own);
    assert_eq!(audit_id(&ask(&w.by("u", &[]), "mine").expect(403)), "mine");
    let (a, b) = (ask(&w, ""), w.get("pods", "default", "none").expect(404));
    let (a, b) = (audit_id(&a), audit_id(&b));
    assert_eq!((a.len(), b.len()), (36, 36));
    assert_ne!(a, b);
    let watch = w.watch("pods", "default", "");
    assert!(watch.response.headers.iter().any(|(name, id)| *name == "audit-id" && id.len() == 36));
}

#[test]
fn the_place_among_those_that_run_is_kept_from_before_the_body_to_the_end() {
    let w = World::with(|c| c.max_writes = 1);
    let head = || w.request(Verb::Create, "configmaps", "default", "");
    let first = admit(&w, &head()).unwrap();
    assert_eq!(in_flight(&w, "mutating"), "1");
    let (code, headers) = admit(&w, &head()).unwrap_err();
    assert_eq!(code, 429);
    assert!(headers.iter().any(|(name, _)| *name == "audit-id"));
    let mut request = head();
    request.content_type = "application/json".into();
    request.body =
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}).to_string().into();
    request.admission = Some(first);
    w.send(request).expect(201);
    assert_eq!(in_flight(&w, "mutating"), "0");
    // What lasts takes no place.
    let watch = w.request(Verb::Watch, "pods", "default", "");
    assert!(admit(&w, &watch).unwrap().ticket.is_none());
}

#[test]
fn a_stream_keeps_its_admission_to_its_end() {
    let w = World::new();
    let mut request = w.request(Verb::Watch, "pods", "default", "");
    let admission = admit(&w, &request).unwrap();
    let held = Arc::downgrade(&admission);
    request.admission = Some(admission);
    let watch = w.raw(request);
    assert_eq!(watch.code, 200);
    assert_eq!(held.upgrade().expect("it lives").user().name, "admin");
    drop(watch);
    assert!(held.upgrade().is_none());
}

#[test]
fn reviews_narrow_by_selectors_and_say_what_they_left_out() {
    let w = World::new();
    let ask = |attributes: serde_json::Value| {
        let review = json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "spec": {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": attributes}});
        w.create("authorization.k8s.io/subjectaccessreviews", "", &review)
    };
    let list =
        |selector: serde_json::Value| json!({"verb": "list", "resource": "pods", "fieldSelector": selector});
    let on = |operator: &str, node: &str| json!({"requirements": [{"key": "spec.nodeName", "operator": operator, "values": [node]}]});
    let left_out = "spec.resourceAttributes.fieldSelector ignored due to parse error";
    for (selector, allowed, error) in [
        (json!({"rawSelector": "spec.nodeName=n1"}), "true", ""),
        (json!({"rawSelector": "spec.nodeName"}), "false", left_out),
        (on("In", "n1"), "true", ""),
        (on("In", "n2"), "false", ""),
        (on("NotIn", "n1"), "false", ""),
        (on("Like", "n1"), "false", left_out),
    ] {
        let got = ask(list(selector.clone())).expect(201);
        assert_eq!(got.at("/status/allowed"), allowed, "{selector}");
        assert_eq!(got.at("/status/evaluationError"), error, "{selector}");
    }
    let got = ask(list(json!({"requirements": [
        {"key": "spec.nodeName", "operator": "In", "values": ["n1"]}, {"key": "a", "operator": "Exists"}]})));
    assert_eq!(got.at("/status/allowed"), "true");
    let partially = "spec.resourceAttributes.fieldSelector partially ignored due to parse error";
    assert_eq!(got.expect(201).at("/status/evaluationError"), partially);
    for (attributes, why) in [
        (
            list(json!({})),
            "spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
        ),
        (
            list(
                json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}),
            ),
            "spec.resourceAttributes.fieldSelector.rawSelector: Invalid value: \"a=b\": may not specified at the same time as requirements",
        ),
        (
            list(json!({"requirements": [{"key": "a", "operator": "In"}]})),
            "spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            json!({"verb": "list", "resource": "pods", "labelSelector": {"requirements": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}),
            "spec.resourceAttributes.labelSelector.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
    ] {
        let refused = ask(attributes).expect(422);
        assert!(refused.message().ends_with(why), "{}", refused.message());
    }
}
