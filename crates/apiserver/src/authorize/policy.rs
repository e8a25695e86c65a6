//! The default roles and bindings, read from `policy.txt`. It must never know how they are stored.

use serde_json::{Value as Json, json};

use super::rbac::Rule;

const POLICY: &str = include_str!("policy.txt");
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
/// Objects with this annotation set to `true` are brought back to their default rules at every start.
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// A role with its binding.
#[derive(Debug, Default)]
pub struct DefaultRole {
    /// Empty for a ClusterRole.
    pub namespace: String,
    pub name: String,
    pub rules: Vec<Rule>,
    /// Suffix of the label that this role carries to be aggregated.
    pub aggregate_to: Option<String>,
    /// Suffix of the label that this role collects.
    pub aggregates: Option<String>,
    /// `None`: no binding is made.
    pub subjects: Option<Vec<Json>>,
    /// Of the binding, where it is not that of the role.
    pub binding_name: Option<String>,
}

/// All default roles in the order of the file.
#[must_use]
pub fn roles() -> Vec<DefaultRole> {
    let mut out: Vec<DefaultRole> = Vec::new();
    for line in POLICY.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("role") => out.push(cluster_role(words)),
            Some("controller") => {
                let name = words.next().unwrap_or_default();
                out.push(DefaultRole {
                    name: format!("system:controller:{name}"),
                    subjects: Some(vec![subject(&format!("s:kube-system/{name}"))]),
                    ..DefaultRole::default()
                });
            }
            Some("local") => out.push(DefaultRole {
                namespace: words.next().unwrap_or_default().to_owned(),
                name: words.next().unwrap_or_default().to_owned(),
                ..DefaultRole::default()
            }),
            Some("bind") => {
                if let Some(role) = out.last_mut() {
                    let mut subjects = Vec::new();
                    for word in words {
                        match word.strip_prefix("as=") {
                            Some(name) => role.binding_name = Some(name.to_owned()),
                            None => subjects.push(subject(word)),
                        }
                    }
                    role.subjects = Some(subjects);
                }
            }
            _ => {
                if let Some(role) = out.last_mut() {
                    let mut rule = rule(line);
                    if role.name.starts_with("system:controller:") {
                        may_patch(&mut rule);
                    }
                    role.rules.push(rule);
                }
            }
        }
    }
    out
}

fn cluster_role<'a>(mut words: impl Iterator<Item = &'a str>) -> DefaultRole {
    let mut role =
        DefaultRole { name: words.next().unwrap_or_default().to_owned(), ..DefaultRole::default() };
    for word in words {
        match word.split_once('=') {
            Some(("aggregate-to", to)) => role.aggregate_to = Some(to.to_owned()),
            Some(("aggregates", what)) => role.aggregates = Some(what.to_owned()),
            _ => {}
        }
    }
    role
}

fn subject(word: &str) -> Json {
    match word.split_once(':') {
        Some(("u", name)) => json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}),
        Some(("g", name)) => json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name}),
        Some(("s", account)) => {
            let (namespace, name) = account.split_once('/').unwrap_or(("kube-system", account));
            json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
        }
        _ => Json::Null,
    }
}

/// Our controllers hold projections, not whole objects: where upstream's replace an object, ours patch it.
fn may_patch(rule: &mut Rule) {
    if rule.verbs.iter().any(|v| v == "update") && !rule.verbs.iter().any(|v| v == "patch") {
        rule.verbs.push("patch".to_owned());
        rule.verbs.sort();
    }
}

fn rule(line: &str) -> Rule {
    let line = if line == "events" { "create,patch,update | core,events.k8s.io | events" } else { line };
    let parts: Vec<&str> = line.split('|').map(str::trim).collect();
    let list = |at: usize| -> Vec<String> {
        let words = parts.get(at).copied().unwrap_or_default().split(',').filter(|w| !w.is_empty());
        words.map(|w| if w == "core" { String::new() } else { w.to_owned() }).collect()
    };
    let mut verbs: Vec<String> = Vec::new();
    for verb in list(0) {
        match verb.as_str() {
            "R" => verbs.extend(READ.map(str::to_owned)),
            "W" => verbs.extend(WRITE.map(str::to_owned)),
            _ => verbs.push(verb),
        }
    }
    verbs.sort();
    if parts.len() == 2 {
        return Rule { verbs, non_resource_urls: list(1), ..Rule::default() };
    }
    Rule { verbs, api_groups: list(1), resources: list(2), resource_names: list(3), ..Rule::default() }
}

impl DefaultRole {
    /// The role as an API object.
    #[must_use]
    pub fn role_object(&self, rules: &[Rule]) -> Json {
        let kind = if self.namespace.is_empty() { "ClusterRole" } else { "Role" };
        let mut o = self.object(kind);
        if let Some(to) = &self.aggregate_to {
            o["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{to}")] = "true".into();
        }
        if let Some(what) = &self.aggregates {
            let label = format!("rbac.authorization.k8s.io/aggregate-to-{what}");
            o["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        }
        o["rules"] = json!(rules);
        o
    }

    /// The binding as an API object, when there is one.
    #[must_use]
    pub fn binding_object(&self) -> Option<Json> {
        let subjects = self.subjects.as_ref()?;
        let (kind, role) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", "ClusterRole")
        } else {
            ("RoleBinding", "Role")
        };
        let mut o = self.object(kind);
        o["metadata"]["name"] = self.binding_name().into();
        if !subjects.is_empty() {
            o["subjects"] = json!(subjects);
        }
        o["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": self.name});
        Some(o)
    }

    /// What the binding is called.
    #[must_use]
    pub fn binding_name(&self) -> &str {
        self.binding_name.as_deref().unwrap_or(&self.name)
    }

    fn object(&self, kind: &str) -> Json {
        let mut o = json!({
            "kind": kind,
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {
                "name": self.name,
                "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
                "annotations": {AUTOUPDATE: "true"},
            },
        });
        if !self.namespace.is_empty() {
            o["metadata"]["namespace"] = self.namespace.as_str().into();
        }
        o
    }
}

/// The rules of `role` with the aggregated ones of `all` put in, as the aggregation controller would.
#[must_use]
pub fn aggregated_rules(role: &DefaultRole, all: &[DefaultRole]) -> Vec<Rule> {
    let Some(what) = &role.aggregates else { return role.rules.clone() };
    let mut out: Vec<Rule> = Vec::new();
    let mut parts: Vec<&DefaultRole> = all.iter().filter(|r| r.aggregate_to.as_ref() == Some(what)).collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    for rule in parts.into_iter().flat_map(|r| aggregated_rules(r, all)) {
        if !out.contains(&rule) {
            out.push(rule);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_whole() {
        let all = roles();
        assert!(all.len() > 70, "{}", all.len());
        for role in &all {
            assert!(!role.name.is_empty());
            assert!(!role.rules.is_empty() || role.aggregates.is_some(), "{}", role.name);
            for rule in &role.rules {
                assert!(!rule.verbs.is_empty(), "{}", role.name);
                assert!(rule.resources.is_empty() != rule.non_resource_urls.is_empty(), "{}", role.name);
            }
            assert!(role.subjects.iter().flatten().all(|s| !s.is_null()), "{}", role.name);
        }
        let admin = all.iter().find(|r| r.name == "admin").expect("admin is there");
        let rules = aggregated_rules(admin, &all);
        assert!(rules.iter().any(|r| r.resources.contains(&"roles".to_owned())));
        assert!(rules.iter().any(|r| r.resources.contains(&"pods/log".to_owned())));
    }
}
