//! What is authorized: the facts of a request that a rule can match. It must never look at a body.

use meta::{Decision, Gvr, Request, Status, Target, User, Verb, fields, labels};

use super::Reply;

/// One question to an authorizer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub user: User,
    /// `get`, `list`, ...; for a non-resource path the lower-case HTTP method.
    pub verb: String,
    pub target: What,
    /// What a list, watch or deletecollection is narrowed to; what cannot be read narrows nothing.
    pub fields: fields::Selector,
    pub labels: labels::Selector,
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

/// Answers questions: one authorizer, or all of them together.
pub trait Authorizer: Send + Sync {
    /// Whether the user may do it.
    fn authorize<'a>(&'a self, a: &'a Attributes) -> Reply<'a, Decision>;
}

impl Default for What {
    fn default() -> Self {
        What::Path("/".to_owned())
    }
}

impl Attributes {
    /// What the authorizers are asked about a request.
    // k8s: staging/src/k8s.io/apiserver/pkg/endpoints/filters/authorization.go GetAuthorizerAttributes
    #[must_use]
    pub fn of(request: &Request, user: &User) -> Attributes {
        match &request.target {
            Target::Path(path) => Attributes {
                user: user.clone(),
                verb: request.method.to_lowercase(),
                target: What::Path(path.clone()),
                ..Attributes::default()
            },
            Target::Resource { gvr, namespace, name, subresource, .. } => {
                let verb = match (request.verb, request.method.as_str()) {
                    (Verb::Connect, "POST") => "create",
                    (Verb::Connect, "PUT") => "update",
                    (Verb::Connect, "PATCH") => "patch",
                    (Verb::Connect, "DELETE") => "delete",
                    (Verb::Connect, _) => "get",
                    (verb, _) => verb.as_str(),
                };
                let many = matches!(request.verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
                let selector = |key| request.query.get(key).filter(|text| many && !text.is_empty());
                let fields = selector("fieldSelector").and_then(|t| fields::Selector::parse(t).ok());
                let fields = fields.unwrap_or_default();
                let labels = selector("labelSelector").and_then(|t| labels::Selector::parse(t).ok());
                let labels = labels.unwrap_or_default();
                let mut name = name.clone();
                if name.is_empty() && many {
                    name = fields.exact("metadata.name").unwrap_or_default().to_owned();
                }
                // A namespace is in itself.
                let namespace =
                    if gvr.resource == "namespaces" && gvr.group.is_empty() { &name } else { namespace };
                Attributes {
                    user: user.clone(),
                    verb: verb.to_owned(),
                    target: What::Resource {
                        group: gvr.group.to_string(),
                        version: gvr.version.to_string(),
                        resource: gvr.resource.to_string(),
                        subresource: subresource.clone(),
                        namespace: namespace.clone(),
                        name: name.clone(),
                    },
                    fields,
                    labels,
                }
            }
        }
    }

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

    #[test]
    fn selectors_of_lists_are_told() {
        let target = Target::Resource {
            gvr: Gvr::new("", "v1", "pods"),
            namespace: String::new(),
            name: String::new(),
            subresource: String::new(),
            subpath: String::new(),
        };
        let ask = |verb, fields: &str, labels: &str| {
            let mut request = Request::new(verb, target.clone());
            request.query.push("fieldSelector", fields);
            request.query.push("labelSelector", labels);
            let a = Attributes::of(&request, &User::default());
            let What::Resource { name, .. } = a.target else { panic!("a resource") };
            let fields: Vec<String> = a.fields.0.iter().map(|f| format!("{}{}", f.field, f.value)).collect();
            (name, fields.join(","), a.labels.requirements().len())
        };
        let cases = [
            (Verb::List, "spec.nodeName=n", "a=b,c", ("", "spec.nodeNamen", 2)),
            (Verb::Watch, "metadata.name=x", "", ("x", "metadata.namex", 0)),
            (Verb::DeleteCollection, "broken", "!!", ("", "", 0)),
            (Verb::Get, "metadata.name=x", "a=b", ("", "", 0)),
        ];
        for (verb, fields, labels, (name, want, count)) in cases {
            let got = ask(verb, fields, labels);
            assert_eq!(got, (name.to_owned(), want.to_owned(), count), "{verb:?} {fields} {labels}");
        }
    }
}
