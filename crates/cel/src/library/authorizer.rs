//! Asking an authorizer, who is handed in.
//! It must never decide anything itself.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/authz.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Opaque, Value};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.authz", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "allowed" "decision_allowed" "kubernetes.authorization.Decision.() -> bool" => allowed;
    "check" "pathcheck_check" "kubernetes.authorization.PathCheck.(string) -> kubernetes.authorization.Decision" => ask;
    "check" "resourcecheck_check" "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.Decision" => ask;
    "error" "decision_error" "kubernetes.authorization.Decision.() -> string" => error;
    "errored" "decision_errored" "kubernetes.authorization.Decision.() -> bool" => errored;
    "group" "authorizer_group" "kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.GroupCheck" => group;
    "name" "resourcecheck_name" "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck" => name;
    "namespace" "resourcecheck_namespace" "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck" => namespace;
    "path" "authorizer_path" "kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.PathCheck" => path;
    "reason" "decision_reason" "kubernetes.authorization.Decision.() -> string" => reason;
    "resource" "groupcheck_resource" "kubernetes.authorization.GroupCheck.(string) -> kubernetes.authorization.ResourceCheck" => resource;
    "serviceAccount" "authorizer_serviceaccount" "kubernetes.authorization.Authorizer.(string, string) -> kubernetes.authorization.Authorizer" => service_account;
    "subresource" "resourcecheck_subresource" "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck" => subresource;
};

/// Selectors of what is asked about.
pub const SELECTORS: Library =
    Library { name: "kubernetes.authzSelectors", functions: SELECTOR_FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const SELECTOR_FUNCTIONS: &[crate::declare::Decl] = decls! {
    "fieldSelector" "authorizer_fieldselector" "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck" => field_selector;
    "labelSelector" "authorizer_labelselector" "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck" => label_selector;
};

/// Somebody who decides.
pub trait Authorizer: fmt::Debug + Send + Sync {
    fn decide(&self, subject: &Subject, question: &Question) -> Decision;
}

/// Who wants to do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whoever made the request.
    Requester,
    ServiceAccount {
        namespace: String,
        name: String,
    },
}

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    Path { path: String, verb: String },
    Resource { resource: Resource, verb: String },
}

/// What it is done to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// As they were written; whoever decides reads them.
    pub field_selector: String,
    pub label_selector: String,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

#[derive(Clone, Debug)]
struct Asker {
    authorizer: Arc<dyn Authorizer>,
    subject: Subject,
}

/// The values of the library's types.
#[derive(Clone, Debug)]
enum Check {
    Asker(Asker),
    Path(Asker, String),
    Group(Asker, String),
    Resource(Asker, Resource),
    Decision(Decision),
}

impl Opaque for Check {
    fn ty(&self) -> Type {
        let name = match self {
            Check::Asker(_) => "Authorizer",
            Check::Path(..) => "PathCheck",
            Check::Group(..) => "GroupCheck",
            Check::Resource(..) => "ResourceCheck",
            Check::Decision(_) => "Decision",
        };
        Type::object(&format!("kubernetes.authorization.{name}"))
    }
    /// As upstream, none equals another.
    fn equals(&self, _: &dyn Opaque) -> bool {
        false
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The value of variable `authorizer`.
#[must_use]
pub fn authorizer<'a>(authorizer: Arc<dyn Authorizer>) -> Value<'a> {
    Value::opaque(Check::Asker(Asker { authorizer, subject: Subject::Requester }))
}

/// The value of variable `authorizer.requestResource`: what the request is about.
#[must_use]
pub fn request_resource<'a>(authorizer: Arc<dyn Authorizer>, resource: Resource) -> Value<'a> {
    Value::opaque(Check::Resource(Asker { authorizer, subject: Subject::Requester }, resource))
}

fn check<'v>(args: &'v [Value<'_>]) -> Result<&'v Check, Error> {
    args.first().and_then(|v| v.downcast::<Check>()).ok_or_else(Error::no_such_overload)
}

fn text(args: &[Value<'_>], at: usize) -> Result<String, Error> {
    args.get(at).and_then(Value::as_str).map(str::to_owned).ok_or_else(Error::no_such_overload)
}

fn given(args: &[Value<'_>], what: &str) -> Result<String, Error> {
    let text = text(args, 1)?;
    if text.trim().is_empty() { Err(Error::new(format!("{what} must not be empty"))) } else { Ok(text) }
}

fn made<'a>(check: Check) -> Out<'a> {
    Ok(Value::opaque(check))
}

fn path<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let Check::Asker(asker) = check(args)? else { return Err(Error::no_such_overload()) };
    made(Check::Path(asker.clone(), given(args, "path")?))
}

fn group<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let Check::Asker(asker) = check(args)? else { return Err(Error::no_such_overload()) };
    made(Check::Group(asker.clone(), text(args, 1)?))
}

fn service_account<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let Check::Asker(asker) = check(args)? else { return Err(Error::no_such_overload()) };
    let (namespace, name) = (text(args, 1)?, text(args, 2)?);
    if !meta::name::dns1123_subdomain(&name).is_empty() {
        return Err(Error::new("Invalid service account name"));
    }
    if !meta::name::dns1123_label(&namespace).is_empty() {
        return Err(Error::new("Invalid service account namespace"));
    }
    let subject = Subject::ServiceAccount { namespace, name };
    made(Check::Asker(Asker { authorizer: asker.authorizer.clone(), subject }))
}

fn resource<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let Check::Group(asker, group) = check(args)? else { return Err(Error::no_such_overload()) };
    let resource = given(args, "resource")?;
    made(Check::Resource(asker.clone(), Resource { group: group.clone(), resource, ..Resource::default() }))
}

fn with<'a>(args: &[Value<'a>], set: fn(&mut Resource, String)) -> Out<'a> {
    let Check::Resource(asker, resource) = check(args)? else { return Err(Error::no_such_overload()) };
    let mut resource = resource.clone();
    set(&mut resource, text(args, 1)?);
    made(Check::Resource(asker.clone(), resource))
}

fn subresource<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    with(args, |r, s| r.subresource = s)
}

fn namespace<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    with(args, |r, s| r.namespace = s)
}

fn name<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    with(args, |r, s| r.name = s)
}

fn field_selector<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    with(args, |r, s| r.field_selector = s)
}

fn label_selector<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    with(args, |r, s| r.label_selector = s)
}

fn ask<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let verb = text(args, 1)?;
    let (asker, question) = match check(args)? {
        Check::Path(asker, path) => (asker, Question::Path { path: path.clone(), verb }),
        Check::Resource(asker, resource) => (asker, Question::Resource { resource: resource.clone(), verb }),
        _ => return Err(Error::no_such_overload()),
    };
    made(Check::Decision(asker.authorizer.decide(&asker.subject, &question)))
}

fn decision<'v>(args: &'v [Value<'_>]) -> Result<&'v Decision, Error> {
    match check(args)? {
        Check::Decision(decision) => Ok(decision),
        _ => Err(Error::no_such_overload()),
    }
}

fn allowed<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(decision(args)?.allowed))
}

fn reason<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::str(decision(args)?.reason.clone()))
}

fn errored<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(decision(args)?.error.is_some()))
}

fn error<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::str(decision(args)?.error.clone().unwrap_or_default()))
}
