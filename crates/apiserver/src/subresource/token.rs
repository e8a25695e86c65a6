//! serviceaccounts/token: issues a token for an account, maybe bound to a pod, a secret or a node.
// k8s: pkg/registry/core/serviceaccount/storage/token.go, pkg/serviceaccount/claims.go Claims

use meta::{FieldError, Gvk, Gvr, Path, Response, Status};
use schema::Value;
use serde::Deserialize;

use crate::authenticate::token::{Claims, Issuer, Private, Ref};
use crate::content;
use crate::request::body;
use crate::request::options::WriteOptions;
use crate::storage::object::map;
use crate::storage::{Call, object, peek};

const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 3600;
/// What the token volume asks for; such tokens live longer and warn.
const WARN_ONLY_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Pod {
    metadata: peek::Metadata,
    spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    service_account_name: String,
}

/// Answers a create of `serviceaccounts/token`.
pub(crate) async fn answer(call: &Call<'_>, issuer: Option<&Issuer>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, false)?;
    let options = WriteOptions::of(call.request)?;
    let gvk = Gvk::new("authentication.k8s.io", "v1", "TokenRequest");
    let ty = schema::type_of("authentication.k8s.io", "v1", "TokenRequest")
        .ok_or_else(|| Status::internal("no type for TokenRequest"))?;
    let decoded = body::decode(call.request, &gvk, ty, options.field_validation)?;
    let mut request = decoded.value;
    let told = call.admit_action(&mut request, options.dry_run).await?;
    let issuer = issuer
        .ok_or_else(|| Status::failure(404, "NotFound", "this server has no key to issue tokens with"))?;
    let account = peek::metadata(call.find(call.name)?.object_bytes());
    let seconds = request.int_at(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_SECONDS);
    check(&gvk, &request, seconds)?;
    let mut private = Private {
        namespace: call.namespace.to_owned(),
        serviceaccount: Ref { name: account.name, uid: account.uid },
        ..Private::default()
    };
    bind(call, &request, &mut private)?;
    let mut audiences: Vec<String> =
        request.list_at(&["spec", "audiences"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.clone_from(&issuer.audiences);
    }
    let now = call.now.as_second();
    let extended = seconds == WARN_ONLY_SECONDS && private.pod.is_some() && audiences == issuer.audiences;
    if extended {
        private.warnafter = Some(now + seconds);
    }
    let claims = Claims {
        aud: audiences.clone(),
        exp: now + if extended { EXTENDED_SECONDS } else { seconds },
        iat: now,
        iss: issuer.url.clone(),
        jti: sys::uuid_v4(&*call.state.entropy),
        sub: format!("system:serviceaccount:{}:{}", call.namespace, private.serviceaccount.name),
        nbf: now,
        private,
    };
    let token = issuer.sign(&claims)?;
    let expires = jiff::Timestamp::from_second(now + seconds).unwrap_or(call.now);
    request.set_at(&["spec", "expirationSeconds"], seconds);
    request.set_at(&["spec", "audiences"], object::texts(&audiences));
    request.set_at(&["metadata", "name"], call.name);
    request.set_at(&["metadata", "namespace"], call.namespace);
    request.set_at(&["metadata", "creationTimestamp"], object::rfc3339(call.now));
    let status = map([("token", token.into()), ("expirationTimestamp", object::rfc3339(expires).into())]);
    request.set_at(&["status"], status);
    let mut response = content::encoded(&accepted, 201, crate::codec::encode(&request, ty).into(), Some(ty))?;
    response.warnings = decoded.warnings;
    response.warnings.extend(told);
    Ok(response)
}

fn check(gvk: &Gvk, request: &Value, seconds: i64) -> Result<(), Status> {
    let path = Path::new("spec").child("expirationSeconds");
    let why = match seconds {
        s if s < MIN_SECONDS => "may not specify a duration less than 10 minutes",
        s if s > MAX_SECONDS => "may not specify a duration larger than 2^32 seconds",
        _ => return Ok(()),
    };
    let e = FieldError::invalid(&path, seconds.to_string(), why);
    Err(Status::invalid(gvk, object::text(request, "name"), &[e]))
}

/// Puts what the token is bound to into the claims.
fn bind(call: &Call<'_>, request: &Value, private: &mut Private) -> Result<(), Status> {
    let Some(reference) = request.at(&["spec", "boundObjectRef"]) else { return Ok(()) };
    let (kind, name, uid) =
        (reference.str_at(&["kind"]), reference.str_at(&["name"]), reference.str_at(&["uid"]));
    let (plural, namespace) = match (reference.str_at(&["apiVersion"]), kind) {
        ("v1" | "", "Pod") => ("pods", call.namespace),
        ("v1" | "", "Secret") => ("secrets", call.namespace),
        ("v1" | "", "Node") => ("nodes", ""),
        (version, kind) => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {}, Kind={kind}",
                version
            )));
        }
    };
    let gvr = Gvr { group: "".into(), version: "v1".into(), resource: plural.into() };
    let bytes = lookup(call, &gvr, namespace, name)?;
    let pod = peek::project::<Pod>(&bytes);
    if !uid.is_empty() && uid != pod.metadata.uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&gvr, name, &why));
    }
    let bound = Ref { name: name.to_owned(), uid: pod.metadata.uid.clone() };
    match kind {
        "Secret" => private.secret = Some(bound),
        "Node" => private.node = Some(bound),
        _ => {
            if pod.spec.service_account_name != call.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount \"{}\" to pod running with different serviceaccount name.",
                    call.name
                )));
            }
            private.pod = Some(bound);
            let node = &pod.spec.node_name;
            if !node.is_empty() {
                let nodes = Gvr::new("", "v1", "nodes");
                let uid = lookup(call, &nodes, "", node).map(|b| peek::metadata(&b).uid).unwrap_or_default();
                private.node = Some(Ref { name: node.clone(), uid });
            }
        }
    }
    Ok(())
}

fn lookup(call: &Call<'_>, gvr: &Gvr, namespace: &str, name: &str) -> Result<bytes::Bytes, Status> {
    let resource = call.state.registry()?.find(gvr)?;
    let entry = resource.cache.get(&resource.key(namespace, name));
    entry.map(|e| e.object()).ok_or_else(|| Status::not_found(gvr, name))
}
