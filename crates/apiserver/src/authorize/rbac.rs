//! Role-based access control: an index of roles and bindings and the pure question "may this user do that".
//! It must never do I/O; changes are given to it as stored bytes.
// k8s: plugin/pkg/auth/authorizer/rbac/rbac.go, pkg/registry/rbac/validation/rule.go

use std::collections::HashMap;
use std::sync::Arc;

use meta::{Decision, User};
use serde::{Deserialize, Serialize};

use crate::request::{Attributes, What};

/// A rule of a role, as in the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(deserialize_with = "null_is_empty")]
    pub verbs: Vec<String>,
    #[serde(rename = "apiGroups", deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(d)?.unwrap_or_default())
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|x| x == "*" || x == item)
}

/// Whether a path of a rule, which may end in stars, takes in `path`.
// k8s: pkg/apis/rbac/v1/evaluation_helpers.go NonResourceURLMatches
pub(super) fn path_matches(rule: &str, path: &str) -> bool {
    rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

impl Rule {
    fn allows_path(&self, verb: &str, path: &str) -> bool {
        has(&self.verbs, verb) && self.non_resource_urls.iter().any(|u| path_matches(u, path))
    }

    fn allows_resource(&self, verb: &str, group: &str, resource: &str, sub: &str, name: &str) -> bool {
        has(&self.verbs, verb)
            && has(&self.api_groups, group)
            && self.matches_resource(resource, sub)
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| n == name))
    }

    fn matches_resource(&self, resource: &str, sub: &str) -> bool {
        self.resources.iter().any(|r| {
            if r == "*" {
                return true;
            }
            match r.split_once('/') {
                None => sub.is_empty() && r == resource,
                Some(("*", s)) => !sub.is_empty() && s == sub,
                Some((base, s)) => base == resource && s == sub,
            }
        })
    }

    /// Whether this rule alone grants the question.
    #[must_use]
    pub fn allows(&self, verb: &str, target: &What) -> bool {
        match target {
            What::Path(path) => self.allows_path(verb, path),
            What::Resource { group, resource, subresource, name, .. } => {
                self.allows_resource(verb, group, resource, subresource, name)
            }
        }
    }
}

/// Who a binding names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
}

#[derive(Debug)]
struct Binding {
    name: String,
    subjects: Vec<Subject>,
    /// Whether the role is a ClusterRole.
    cluster_role: bool,
    role: String,
}

/// Bindings of one scope, by name and by subject.
#[derive(Debug, Default)]
struct Bindings {
    by_name: HashMap<String, Arc<Binding>>,
    by_subject: HashMap<Subject, Vec<Arc<Binding>>>,
}

impl Bindings {
    fn remove(&mut self, name: &str) {
        let Some(old) = self.by_name.remove(name) else { return };
        for subject in &old.subjects {
            if let Some(list) = self.by_subject.get_mut(subject) {
                list.retain(|b| b.name != name);
                if list.is_empty() {
                    self.by_subject.remove(subject);
                }
            }
        }
    }

    fn put(&mut self, binding: Binding) {
        self.remove(&binding.name);
        let binding = Arc::new(binding);
        for subject in &binding.subjects {
            let list = self.by_subject.entry(subject.clone()).or_default();
            if !list.iter().any(|b| Arc::ptr_eq(b, &binding)) {
                list.push(binding.clone());
            }
        }
        self.by_name.insert(binding.name.clone(), binding);
    }

    fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Arc<Binding>> {
        let keys = std::iter::once(Subject::User(user.name.clone()))
            .chain(user.groups.iter().map(|g| Subject::Group(g.clone())));
        keys.filter_map(|k| self.by_subject.get(&k)).flatten()
    }
}

/// Which of the four kinds an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RbacKind {
    Role,
    ClusterRole,
    RoleBinding,
    ClusterRoleBinding,
}

impl RbacKind {
    /// By plural name.
    #[must_use]
    pub fn from_plural(plural: &str) -> Option<Self> {
        Some(match plural {
            "roles" => RbacKind::Role,
            "clusterroles" => RbacKind::ClusterRole,
            "rolebindings" => RbacKind::RoleBinding,
            "clusterrolebindings" => RbacKind::ClusterRoleBinding,
            _ => return None,
        })
    }
}

/// Roles and bindings, indexed by subject.
#[derive(Debug, Default)]
pub struct Index {
    roles: HashMap<(String, String), Arc<Vec<Rule>>>,
    cluster_roles: HashMap<String, Arc<Vec<Rule>>>,
    bindings: HashMap<String, Bindings>,
    cluster_bindings: Bindings,
}

#[derive(Deserialize)]
struct RoleObject {
    #[serde(default, deserialize_with = "null_is_empty")]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct BindingObject {
    #[serde(default, deserialize_with = "null_is_empty")]
    subjects: Vec<SubjectObject>,
    #[serde(rename = "roleRef")]
    role_ref: RoleRef,
}

#[derive(Deserialize)]
struct SubjectObject {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct RoleRef {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

impl SubjectObject {
    fn subject(self, binding_namespace: &str) -> Option<Subject> {
        match self.kind.as_str() {
            "User" => Some(Subject::User(self.name)),
            "Group" => Some(Subject::Group(self.name)),
            "ServiceAccount" => {
                let ns = if self.namespace.is_empty() { binding_namespace } else { &self.namespace };
                Some(Subject::User(format!("system:serviceaccount:{ns}:{}", self.name)))
            }
            _ => None,
        }
    }
}

impl Index {
    /// Takes over one object; `None` means that it was deleted. Bytes that do not parse are treated as absent.
    pub fn apply(&mut self, kind: RbacKind, namespace: &str, name: &str, object: Option<&[u8]>) {
        match kind {
            RbacKind::Role | RbacKind::ClusterRole => {
                let rules = object.and_then(|b| serde_json::from_slice::<RoleObject>(b).ok());
                let rules = rules.map(|r| Arc::new(r.rules));
                if kind == RbacKind::Role {
                    set(&mut self.roles, (namespace.to_owned(), name.to_owned()), rules);
                } else {
                    set(&mut self.cluster_roles, name.to_owned(), rules);
                }
            }
            RbacKind::RoleBinding | RbacKind::ClusterRoleBinding => {
                let scope = if kind == RbacKind::RoleBinding {
                    self.bindings.entry(namespace.to_owned()).or_default()
                } else {
                    &mut self.cluster_bindings
                };
                match object.and_then(|b| serde_json::from_slice::<BindingObject>(b).ok()) {
                    None => scope.remove(name),
                    Some(o) => scope.put(Binding {
                        name: name.to_owned(),
                        subjects: o.subjects.into_iter().filter_map(|s| s.subject(namespace)).collect(),
                        cluster_role: o.role_ref.kind == "ClusterRole",
                        role: o.role_ref.name,
                    }),
                }
            }
        }
    }

    /// Calls `visit` with each rule that applies to `user` in `namespace` (empty: cluster scope) until it
    /// returns `Some`. Missing roles are collected into `errors`.
    fn visit<T>(
        &self,
        user: &User,
        namespace: &str,
        errors: &mut Vec<String>,
        mut visit: impl FnMut(&Rule, &dyn Fn() -> String) -> Option<T>,
    ) -> Option<T> {
        for b in self.cluster_bindings.of(user) {
            let why = || {
                format!("RBAC: allowed by ClusterRoleBinding \"{}\" of ClusterRole \"{}\"", b.name, b.role)
            };
            match self.cluster_roles.get(&b.role) {
                None => errors.push(missing("clusterrole", &b.role)),
                Some(rules) => {
                    if let Some(t) = rules.iter().find_map(|r| visit(r, &why)) {
                        return Some(t);
                    }
                }
            }
        }
        for b in self.bindings.get(namespace).into_iter().flat_map(|bs| bs.of(user)) {
            let role_kind = if b.cluster_role { "ClusterRole" } else { "Role" };
            let why = || {
                format!(
                    "RBAC: allowed by RoleBinding \"{}/{namespace}\" of {role_kind} \"{}\"",
                    b.name, b.role
                )
            };
            let rules = if b.cluster_role {
                self.cluster_roles.get(&b.role)
            } else {
                self.roles.get(&(namespace.to_owned(), b.role.clone()))
            };
            match rules {
                None => errors.push(missing(if b.cluster_role { "clusterrole" } else { "role" }, &b.role)),
                Some(rules) => {
                    if let Some(t) = rules.iter().find_map(|r| visit(r, &why)) {
                        return Some(t);
                    }
                }
            }
        }
        None
    }

    /// Whether some rule allows it.
    #[must_use]
    pub fn authorize(&self, a: &Attributes) -> Decision {
        let namespace = match &a.target {
            What::Resource { namespace, .. } => namespace.as_str(),
            What::Path(_) => "",
        };
        let mut errors = Vec::new();
        let allowed = self
            .visit(&a.user, namespace, &mut errors, |rule, why| rule.allows(&a.verb, &a.target).then(why));
        match allowed {
            Some(why) => Decision::Allow(why),
            None if errors.is_empty() => Decision::NoOpinion(String::new()),
            None => Decision::NoOpinion(format!("RBAC: {}", aggregate(errors))),
        }
    }

    /// All rules that apply to a user in a namespace.
    #[must_use]
    pub fn rules_of(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let mut out = Vec::new();
        self.visit(user, namespace, &mut Vec::new(), |rule, _| -> Option<()> {
            out.push(rule.clone());
            None
        });
        out
    }

    /// The rules of a role; `namespace` empty for a ClusterRole.
    #[must_use]
    pub fn role(&self, namespace: &str, name: &str) -> Option<Arc<Vec<Rule>>> {
        if namespace.is_empty() {
            self.cluster_roles.get(name).cloned()
        } else {
            self.roles.get(&(namespace.to_owned(), name.to_owned())).cloned()
        }
    }
}

fn set<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(v) => map.insert(key, v),
        None => map.remove(&key),
    };
}

fn missing(kind: &str, name: &str) -> String {
    format!("{kind}.rbac.authorization.k8s.io \"{name}\" not found")
}

fn aggregate(mut errors: Vec<String>) -> String {
    errors.dedup();
    if let [one] = errors.as_slice() { one.clone() } else { format!("[{}]", errors.join(", ")) }
}
