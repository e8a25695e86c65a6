//! What is authorized: the facts of a request that a rule can match. It must never look at a body.

use meta::fields::Selector;
use meta::{Gvr, Status, User};

/// One question to an authorizer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub user: User,
    /// `get`, `list`, ...; for a non-resource path the lower-case HTTP method.
    pub verb: String,
    pub target: What,
    /// What a list, watch or deletecollection is narrowed to; everything where that cannot be read.
    pub fields: Selector,
}

/// What the verb is applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A resource; `namespace` and `name` may be empty.
    Resource {
        group: String,
        version: String,
        resource: String,
        subresource: String,
        namespace: String,
        name: String,
    },
    /// A path that is not a resource.
    Path(String),
}

impl Default for What {
    fn default() -> Self {
        What::Path("/".to_owned())
    }
}

/// The answer of an authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    /// Nobody allowed it; the text may be empty.
    NoOpinion(String),
}

impl Decision {
    /// Whether it is allowed.
    #[must_use]
    pub fn allowed(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }

    /// Why, possibly empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Decision::Allow(r) | Decision::NoOpinion(r) => r,
        }
    }
}

impl Attributes {
    /// The 403 that answers when this is not allowed.
    // k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go Forbidden
    #[must_use]
    pub fn forbidden(&self, reason: &str) -> Status {
        let user = meta::field::quoted(&self.user.name);
        let tail = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        match &self.target {
            What::Path(path) => {
                let gvr = Gvr::new("", "", "");
                let why =
                    format!("User {user} cannot {} path {}{tail}", self.verb, meta::field::quoted(path));
                Status::forbidden(&gvr, "", &why)
            }
            What::Resource { group, version, resource, subresource, namespace, name } => {
                let full = if subresource.is_empty() {
                    resource.clone()
                } else {
                    format!("{resource}/{subresource}")
                };
                let place = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace \"{namespace}\"")
                };
                let why = format!(
                    "User {user} cannot {} resource \"{full}\" in API group \"{group}\" {place}{tail}",
                    self.verb
                );
                let gvr = Gvr {
                    group: group.clone().into(),
                    version: version.clone().into(),
                    resource: resource.clone().into(),
                };
                Status::forbidden(&gvr, name, &why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_upstream() {
        let mut a = Attributes {
            user: User::new("x", &[]),
            verb: "list".into(),
            target: What::Resource {
                group: String::new(),
                version: "v1".into(),
                resource: "pods".into(),
                subresource: String::new(),
                namespace: "default".into(),
                name: String::new(),
            },
            ..Attributes::default()
        };
        let s = a.forbidden("");
        assert_eq!(
            s.message,
            "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
        );
        a.target = What::Path("/x".into());
        a.verb = "get".into();
        assert_eq!(a.forbidden("").message, "forbidden: User \"x\" cannot get path \"/x\"");
    }
}
