//! Kinds that are nowhere stored: reviews, bindings, component statuses. The answer is computed.

mod access;
mod selectors;
mod token;

use bytes::Bytes;
use kinds::Kind;
use meta::{Gvr, Response, Status, Verb};
use serde_json::json;

use crate::authenticate::token::Issuer;
use crate::authorize::AuthIndex;
use crate::content::table::{Include, Table};
use crate::content::{self, Form};
use crate::registry::type_of;
use crate::request::body;
use crate::request::options::WriteOptions;
use crate::storage::Asked;
use crate::storage::object::map;
use crate::subresource::binding;

/// What the store is called among the components.
const COMPONENT: &str = "etcd-0";

/// What reviews are answered from.
pub(crate) struct Sources<'a> {
    pub auth: &'a AuthIndex,
    pub issuer: Option<&'a Issuer>,
}

/// Answers a request for a kind that is computed.
pub(crate) async fn answer(
    asked: Asked<'_>,
    sources: &Sources<'_>,
    kind: &Kind,
    namespace: &str,
) -> Result<Response, Status> {
    if kind.plural == "componentstatuses" {
        return component_statuses(asked, kind);
    }
    let Asked { state, request, admission, .. } = asked;
    let user = admission.user();
    if request.verb != Verb::Create {
        return Err(Status::method_not_allowed());
    }
    if kind.namespaced() == namespace.is_empty() {
        return Err(Status::unknown_resource());
    }
    let accepted = content::negotiate(request, false)?;
    let options = WriteOptions::of(request)?;
    let ty = type_of(kind)?;
    let decoded = body::decode(request, &kind.gvk(), ty, options.field_validation)?;
    let mut value = decoded.value;
    match &*kind.plural {
        "selfsubjectaccessreviews" => access::of_self(asked, &mut value).await?,
        "subjectaccessreviews" => access::of_subject(asked, &mut value).await?,
        "localsubjectaccessreviews" => access::local(asked, namespace, &mut value).await?,
        "selfsubjectrulesreviews" => access::rules(sources.auth, user, &mut value)?,
        "selfsubjectreviews" => {
            value.set_at(&["status"], map([("userInfo", token::user_info(user))]));
        }
        "tokenreviews" => token::review(state, sources.issuer, &mut value)?,
        "bindings" => {
            let resource = state.registry()?.find(&Gvr::new("", "v1", "pods"))?;
            let name = value.str_at(&["metadata", "name"]).to_owned();
            let call = asked.at(resource, namespace, &name, "binding");
            return binding::bind(&call, &mut value, options.dry_run, &accepted).await;
        }
        _ => return Err(Status::method_not_allowed()),
    }
    let mut response = content::encoded(&accepted, 201, crate::codec::encode(&value, ty).into(), Some(ty))?;
    response.warnings = decoded.warnings;
    Ok(response)
}

/// The one component that this server can speak for.
fn component_statuses(asked: Asked<'_>, kind: &Kind) -> Result<Response, Status> {
    let request = asked.request;
    let meta::Target::Resource { name, .. } = &request.target else { return Err(Status::unknown_resource()) };
    match (request.verb, name.as_str()) {
        (Verb::List, "") | (Verb::Get, COMPONENT) => {}
        (Verb::Get, name) => return Err(Status::not_found(&kind.gvr(), name)),
        _ => return Err(Status::method_not_allowed()),
    }
    let accepted = content::negotiate(request, true)?;
    let state = |one: bool| {
        let mut item = json!({
            "metadata": {"name": COMPONENT},
            "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
        });
        if one {
            item["kind"] = (*kind.kind).into();
            item["apiVersion"] = "v1".into();
        }
        item
    };
    let all = request.verb == Verb::List;
    let (json, ty): (Bytes, _) = match accepted.form {
        Form::Plain if all => (
            json!({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": [state(false)]})
                .to_string()
                .into(),
            schema::type_of("", "v1", "ComponentStatusList"),
        ),
        Form::Plain => (state(true).to_string().into(), Some(type_of(kind)?)),
        Form::Table { version } => {
            let include = Include::parse(&request.query)?;
            let mut table = Table::of(kind, Some(type_of(kind)?), version, include, asked.now);
            table.row(state(true).to_string().as_bytes())?;
            (table.finish("", "", None), schema::type_of("meta.k8s.io", "v1", "Table"))
        }
        Form::Metadata { version } => {
            let item = content::partial(state(true).to_string().as_bytes(), "PartialObjectMetadata", version);
            match all {
                false => (item, schema::type_of("meta.k8s.io", "v1", "PartialObjectMetadata")),
                true => {
                    let head = format!(
                        "{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{{}},\"items\":["
                    );
                    let list = [head.as_bytes(), &item, b"]}"].concat();
                    (list.into(), schema::type_of("meta.k8s.io", "v1", "PartialObjectMetadataList"))
                }
            }
        }
    };
    content::encoded(&accepted, 200, json, ty)
}
