//! Access reviews: the authorizers, asked through the API.
// k8s: pkg/registry/authorization

use meta::{FieldError, Path, Status, User};
use schema::Value;

use super::selectors;
use crate::authorize::AuthIndex;
use crate::authorize::node::node_name;
use crate::request::{Attributes, What};
use crate::storage::Asked;
use crate::storage::object::{map, texts};

/// SelfSubjectAccessReview.
pub(crate) async fn of_self(asked: Asked<'_>, review: &mut Value) -> Result<(), Status> {
    check(review, "SelfSubjectAccessReview", false)?;
    decide(asked, review, asked.admission.user().clone()).await;
    Ok(())
}

/// SubjectAccessReview.
pub(crate) async fn of_subject(asked: Asked<'_>, review: &mut Value) -> Result<(), Status> {
    check(review, "SubjectAccessReview", true)?;
    let user = subject(review);
    decide(asked, review, user).await;
    Ok(())
}

/// LocalSubjectAccessReview: only about its own namespace.
pub(crate) async fn local(asked: Asked<'_>, namespace: &str, review: &mut Value) -> Result<(), Status> {
    check(review, "LocalSubjectAccessReview", true)?;
    let given = review.str_at(&["spec", "resourceAttributes", "namespace"]);
    if given != namespace {
        return Err(Status::bad_request(format!(
            "spec.resourceAttributes.namespace must match namespace: {}",
            namespace
        )));
    }
    if review.at(&["spec", "nonResourceAttributes"]).is_some() {
        let gvk = meta::Gvk::new("authorization.k8s.io", "v1", "LocalSubjectAccessReview");
        let path = Path::new("spec").child("nonResourceAttributes");
        return Err(Status::invalid(
            &gvk,
            "",
            &[FieldError::invalid(&path, "null", "disallowed on this kind of request")],
        ));
    }
    let user = subject(review);
    decide(asked, review, user).await;
    Ok(())
}

fn check(review: &Value, kind: &'static str, with_subject: bool) -> Result<(), Status> {
    let spec = Path::new("spec");
    let resource = review.at(&["spec", "resourceAttributes"]).is_some();
    let path = review.at(&["spec", "nonResourceAttributes"]).is_some();
    let mut errors = Vec::new();
    if resource && path {
        let why = "cannot be specified in combination with resourceAttributes";
        errors.push(FieldError::invalid(&spec.child("nonResourceAttributes"), "null", why));
    }
    if !resource && !path {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid(&spec.child("resourceAttributes"), "null", why));
    }
    let nobody =
        review.str_at(&["spec", "user"]).is_empty() && review.list_at(&["spec", "groups"]).is_empty();
    if with_subject && nobody {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(&spec.child("user"), "\"\"", why));
    }
    errors.extend(selectors::check(review.at(&["spec", "resourceAttributes"])));
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&meta::Gvk::new("authorization.k8s.io", "v1", kind), "", &errors))
}

fn subject(review: &Value) -> User {
    let list = |v: &[Value]| v.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let extra = review.at(&["spec", "extra"]).and_then(Value::as_map);
    User {
        name: review.str_at(&["spec", "user"]).to_owned(),
        uid: review.str_at(&["spec", "uid"]).to_owned(),
        groups: list(review.list_at(&["spec", "groups"])),
        extra: extra
            .into_iter()
            .flat_map(|m| m.iter())
            .map(|(k, v)| (k.to_owned(), list(v.as_list().unwrap_or(&[]))))
            .collect(),
    }
}

/// The question of a review, and what is to be said of selectors that could not be understood.
// k8s: pkg/registry/authorization/util/helpers.go ResourceAttributesFrom
fn attributes(review: &Value, user: User) -> (Attributes, String) {
    let Some(r) = review.at(&["spec", "resourceAttributes"]) else {
        let at = |f: &str| review.str_at(&["spec", "nonResourceAttributes", f]).to_owned();
        let target = What::Path(at("path"));
        return (Attributes { user, verb: at("verb"), target, ..Attributes::default() }, String::new());
    };
    let text = |f: &str| r.str_at(&[f]).to_owned();
    let fields = selectors::fields(r.get("fieldSelector"));
    let labels = selectors::labels(r.get("labelSelector"));
    let ignored = selectors::ignored(&fields, &labels);
    let version = text("version");
    let target = What::Resource {
        group: text("group"),
        version: if version.is_empty() { "*".to_owned() } else { version },
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
    };
    (Attributes { user, verb: text("verb"), target, fields: fields.0, labels: labels.0 }, ignored)
}

async fn decide(asked: Asked<'_>, review: &mut Value, user: User) {
    let (question, ignored) = attributes(review, user);
    let decision = asked.state.decide(&question).await;
    let mut status = map([("allowed", decision.allowed().into())]);
    if decision.denied() {
        status.set_at(&["denied"], true);
    }
    if !decision.reason().is_empty() {
        status.set_at(&["reason"], decision.reason());
    }
    if !ignored.is_empty() {
        status.set_at(&["evaluationError"], ignored);
    }
    review.set_at(&["status"], status);
}

/// SelfSubjectRulesReview.
pub(crate) fn rules(auth: &AuthIndex, user: &User, review: &mut Value) -> Result<(), Status> {
    let namespace = review.str_at(&["spec", "namespace"]).to_owned();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let rules = auth.rbac(|index| index.rules_of(user, &namespace));
    let (paths, resources): (Vec<_>, Vec<_>) =
        rules.into_iter().partition(|r| !r.non_resource_urls.is_empty());
    let resources: Vec<Value> = resources
        .iter()
        .map(|r| {
            let mut one = map([
                ("verbs", texts(&r.verbs)),
                ("apiGroups", texts(&r.api_groups)),
                ("resources", texts(&r.resources)),
            ]);
            if !r.resource_names.is_empty() {
                one.set_at(&["resourceNames"], texts(&r.resource_names));
            }
            one
        })
        .collect();
    let paths: Vec<Value> = paths
        .iter()
        .map(|r| map([("verbs", texts(&r.verbs)), ("nonResourceURLs", texts(&r.non_resource_urls))]))
        .collect();
    let is_node = node_name(user).is_some();
    let mut status = map([
        ("resourceRules", resources.into()),
        ("nonResourceRules", paths.into()),
        ("incomplete", is_node.into()),
    ]);
    if is_node {
        let why = "node authorizer does not support user rule resolution";
        status.set_at(&["evaluationError"], why);
    }
    review.set_at(&["status"], status);
    Ok(())
}
