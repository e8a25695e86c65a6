//! Nobody grants what they do not have: writes of roles and bindings are checked against the writer's own rules.
//! It must never look at what a role held before: a change of its labels alone may hand it to others.
// k8s: pkg/registry/rbac/clusterrole/policybased/storage.go, clusterrolebinding/policybased/storage.go

use kinds::Kind;
use kinds::rbac::role;
use meta::Status;
use schema::Value;

use crate::authorize::AuthIndex;
use crate::authorize::coverage::{compact, uncovered};
use crate::authorize::rbac::Rule;
use crate::request::{Attributes, MASTERS, What};
use crate::storage::{Call, object};

/// Most rules that a refusal shows, and the most bytes of each.
const LIMIT_SHOWN: usize = 100;
const LIMIT_SHOWN_BYTES: usize = 1024;

/// Whether objects of a kind grant rights.
pub(super) fn is_about(kind: &Kind) -> bool {
    kind.group == role::KIND.group
}

/// Checks a role or binding that is being written.
pub(super) async fn check(
    call: &Call<'_>,
    auth: &AuthIndex,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if call.user().in_group(MASTERS) || old.is_some_and(|old| object::is_only_for_deletion(new, old)) {
        return Ok(());
    }
    match new.get("roleRef") {
        Some(_) => binding(call, auth, new).await,
        None => grant(call, auth, new, old).await,
    }
}

async fn grant(call: &Call<'_>, auth: &AuthIndex, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    if may(call, "escalate", &call.resource.gvr.resource, call.name).await {
        return Ok(());
    }
    must_hold(call, auth, new, &rules_of(new))?;
    // What aggregates may come to hold anything, and what did may have been kept from it.
    if aggregates(new) || old.is_some_and(aggregates) {
        let owned = auth.rbac(|index| index.rules_of(call.user(), call.namespace));
        if !uncovered(&owned, &all_powers()).is_empty() {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(Status::forbidden(&call.resource.gvr, object::text(new, "name"), why));
        }
    }
    Ok(())
}

async fn binding(call: &Call<'_>, auth: &AuthIndex, new: &Value) -> Result<(), Status> {
    let is_cluster_role = new.str_at(&["roleRef", "kind"]) == "ClusterRole";
    let role = new.str_at(&["roleRef", "name"]);
    let plural = if is_cluster_role { "clusterroles" } else { "roles" };
    if may(call, "bind", plural, role).await {
        return Ok(());
    }
    let namespace = if is_cluster_role { "" } else { call.namespace };
    let Some(rules) = auth.rbac(|index| index.role(namespace, role)) else {
        let gvr = meta::Gvr { resource: plural.into(), ..call.resource.gvr.clone() };
        return Err(Status::not_found(&gvr, role));
    };
    must_hold(call, auth, new, &rules)
}

/// The writer's own rules must cover these.
// k8s: pkg/registry/rbac/validation/rule.go ConfirmNoEscalation
fn must_hold(call: &Call<'_>, auth: &AuthIndex, new: &Value, wanted: &[Rule]) -> Result<(), Status> {
    let owned = auth.rbac(|index| index.rules_of(call.user(), call.namespace));
    let missing = uncovered(&owned, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let mut shown: Vec<String> = compact(missing).iter().map(show).collect();
    shown.sort();
    shown.dedup();
    if shown.len() > LIMIT_SHOWN {
        let more = shown.len() - LIMIT_SHOWN;
        shown.truncate(LIMIT_SHOWN);
        shown.push(format!("and {more} more"));
    }
    let why = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        meta::field::quoted(&call.user().name),
        quoted_list(&call.user().groups),
        shown.join("\n")
    );
    Err(Status::forbidden(&call.resource.gvr, object::text(new, "name"), &why))
}

async fn may(call: &Call<'_>, verb: &str, plural: &str, name: &str) -> bool {
    let gvr = &call.resource.gvr;
    let question = Attributes {
        user: call.user().clone(),
        verb: verb.to_owned(),
        target: What::Resource {
            group: gvr.group.to_string(),
            version: gvr.version.to_string(),
            resource: plural.to_owned(),
            subresource: String::new(),
            namespace: call.namespace.to_owned(),
            name: name.to_owned(),
        },
        ..Attributes::default()
    };
    call.state.decide(&question).await.allowed()
}

fn aggregates(role: &Value) -> bool {
    !role.list_at(&["aggregationRule", "clusterRoleSelectors"]).is_empty()
}

fn all_powers() -> Vec<Rule> {
    let star = || vec!["*".to_owned()];
    vec![
        Rule { verbs: star(), api_groups: star(), resources: star(), ..Rule::default() },
        Rule { verbs: star(), non_resource_urls: star(), ..Rule::default() },
    ]
}

fn rules_of(role: &Value) -> Vec<Rule> {
    let list = |rule: &Value, field: &str| -> Vec<String> {
        rule.list_at(&[field]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    role.list_at(&["rules"])
        .iter()
        .map(|r| Rule {
            verbs: list(r, "verbs"),
            api_groups: list(r, "apiGroups"),
            resources: list(r, "resources"),
            resource_names: list(r, "resourceNames"),
            non_resource_urls: list(r, "nonResourceURLs"),
        })
        .collect()
}

/// `["a" "b"]`.
fn quoted_list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|v| meta::field::quoted(v)).collect();
    format!("[{}]", quoted.join(" "))
}

// k8s: pkg/apis/rbac/v1/helpers.go CompactString
fn show(rule: &Rule) -> String {
    let list = |name: &str, values: &[String]| {
        if values.is_empty() { None } else { Some(format!("{name}:{}", quoted_list(values))) }
    };
    let parts = [
        list("APIGroups", &rule.api_groups),
        list("Resources", &rule.resources),
        list("NonResourceURLs", &rule.non_resource_urls),
        list("ResourceNames", &rule.resource_names),
        list("Verbs", &rule.verbs),
    ];
    let mut text = format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if text.len() > LIMIT_SHOWN_BYTES {
        let end = (0..=LIMIT_SHOWN_BYTES).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}
