//! Nobody grants what they do not have: writes of roles and bindings are checked against the writer's own rules.
// k8s: pkg/registry/rbac/clusterrole/policybased/storage.go, pkg/registry/rbac/rest

use meta::Status;
use schema::Value;

use crate::authorize::rbac::{Rule, uncovered};
use crate::authorize::{Attributes, What};
use crate::object;
use crate::server::Call;

/// Checks a role or binding that is being written.
pub(crate) fn check(call: &Call<'_>, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    if call.server.may_everything(call.user) {
        return Ok(());
    }
    let field = if new.get("roleRef").is_some() { "roleRef" } else { "rules" };
    let unchanged = old.is_some_and(|o| {
        o.get(field) == new.get(field)
            && o.get("subjects") == new.get("subjects")
            && o.get("aggregationRule") == new.get("aggregationRule")
    });
    if unchanged {
        return Ok(());
    }
    let wanted = if field == "rules" {
        if may(call, "escalate", &call.resource.gvr.resource, call.name) {
            return Ok(());
        }
        if new.get("aggregationRule").is_some() {
            // An aggregated role may come to hold anything.
            all_powers()
        } else {
            rules_of(new)
        }
    } else {
        let kind = new.str_at(&["roleRef", "kind"]);
        let role = new.str_at(&["roleRef", "name"]);
        let plural = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
        if may(call, "bind", plural, role) {
            return Ok(());
        }
        let namespace = if kind == "ClusterRole" { "" } else { call.namespace };
        let Some(rules) = call.server.auth.rbac(|index| index.role(namespace, role)) else {
            let gvr = meta::Gvr { resource: plural.to_owned().into(), ..call.resource.gvr.clone() };
            return Err(Status::not_found(&gvr, role));
        };
        rules.to_vec()
    };
    let owned = call.server.auth.rbac(|index| index.rules_of(call.user, call.namespace));
    let missing = uncovered(&owned, &wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = missing.iter().take(20).map(show).collect();
    let why = format!(
        "user {} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        meta::field::quoted(&call.user.name),
        call.user.groups,
        shown.join("\n")
    );
    Err(Status::forbidden(&call.resource.gvr, object::text(new, "name"), &why))
}

fn may(call: &Call<'_>, verb: &str, plural: &str, name: &str) -> bool {
    let gvr = &call.resource.gvr;
    call.server
        .decide(&Attributes {
            user: call.user.clone(),
            verb: verb.to_owned(),
            target: What::Resource {
                group: gvr.group.to_string(),
                version: gvr.version.to_string(),
                resource: plural.to_owned(),
                subresource: String::new(),
                namespace: call.namespace.to_owned(),
                name: name.to_owned(),
            },
        })
        .allowed()
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

fn show(rule: &Rule) -> String {
    let list = |name: &str, values: &[String]| {
        if values.is_empty() { None } else { Some(format!("{name}:{values:?}")) }
    };
    let parts = [
        list("APIGroups", &rule.api_groups),
        list("Resources", &rule.resources),
        list("ResourceNames", &rule.resource_names),
        list("NonResourceURLs", &rule.non_resource_urls),
        list("Verbs", &rule.verbs),
    ];
    format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
