//! pods/log, exec, attach and portforward: carried on to the kubelet of the pod's node.
// k8s: pkg/registry/core/pod/strategy.go LogLocation, streamLocation

use bytes::Bytes;
use meta::{Body, FieldError, Gvk, Path, Query, Response, Status, Tunnel};
use serde::Deserialize;

use super::node;
use crate::storage::{Call, peek};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    spec: Spec,
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    containers: Option<Vec<Named>>,
    init_containers: Option<Vec<Named>>,
    ephemeral_containers: Option<Vec<Named>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodStatus {
    phase: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
}

fn names(list: &Option<Vec<Named>>) -> Vec<&str> {
    list.iter().flatten().map(|c| c.name.as_str()).collect()
}

impl Spec {
    /// The container that is meant.
    fn container(&self, pod: &str, asked: &str) -> Result<String, Status> {
        let own = names(&self.containers);
        let init = names(&self.init_containers);
        let ephemeral = names(&self.ephemeral_containers);
        if !asked.is_empty() {
            return if own.contains(&asked) || init.contains(&asked) || ephemeral.contains(&asked) {
                Ok(asked.to_owned())
            } else {
                Err(Status::bad_request(format!("container {asked} is not valid for pod {pod}")))
            };
        }
        match own.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => Err(Status::bad_request(format!("a container name must be specified for pod {pod}"))),
            many => {
                let mut text = format!(
                    "a container name must be specified for pod {pod}, choose one of: [{}]",
                    many.join(" ")
                );
                if !init.is_empty() {
                    text.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
                }
                if !ephemeral.is_empty() {
                    text.push_str(&format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" ")));
                }
                Err(Status::bad_request(text))
            }
        }
    }
}

fn pod(call: &Call<'_>) -> Result<Pod, Status> {
    Ok(peek::project(call.find(call.name)?.object_bytes()))
}

/// Escapes a path segment or a query text.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn query_text(pairs: &[(&str, String)]) -> String {
    let parts: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

fn to_kubelet(call: &Call<'_>, node_name: &str, path_and_query: String) -> Result<Response, Status> {
    let (host, port) = node::kubelet(call, node_name)?;
    Ok(tunnel(Tunnel {
        scheme: "https",
        host,
        port,
        path_and_query,
        headers: Vec::new(),
        client_certificate: true,
        // As upstream: a node without a network is reached over loopback.
        global_only: false,
    }))
}

pub(super) fn tunnel(tunnel: Tunnel) -> Response {
    Response::new(200, "text/plain", Body::Tunnel(Box::new(tunnel)))
}

/// pods/log.
pub(crate) fn log(call: &Call<'_>) -> Result<Response, Status> {
    let q = &call.request.query;
    check_log(q)?;
    let pod = pod(call)?;
    let container = pod.spec.container(call.name, q.get("container").unwrap_or(""))?;
    if pod.spec.node_name.is_empty() {
        // Not on a node yet: there is nothing to read.
        return Ok(Response::text(200, Bytes::new()));
    }
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for key in ["follow", "previous", "timestamps"] {
        if crate::request::options::flag(q, key) {
            pairs.push((key, "true".to_owned()));
        }
    }
    for key in ["sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"] {
        if let Some(v) = q.get(key).filter(|v| !v.is_empty()) {
            pairs.push((key, v.to_owned()));
        }
    }
    let path = format!(
        "/containerLogs/{}/{}/{}{}",
        escape(call.namespace),
        escape(call.name),
        escape(&container),
        query_text(&pairs)
    );
    to_kubelet(call, &pod.spec.node_name, path)
}

// k8s: pkg/apis/core/validation/validation.go ValidatePodLogOptions
fn check_log(q: &Query) -> Result<(), Status> {
    let gvk = Gvk::new("", "v1", "PodLogOptions");
    let mut errors = Vec::new();
    for (key, least, why) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ] {
        let Some(text) = q.get(key).filter(|v| !v.is_empty()) else { continue };
        match text.parse::<i64>() {
            Ok(n) if n >= least => {}
            Ok(n) => errors.push(FieldError::invalid(&Path::new(key), n.to_string(), why)),
            Err(_) => {
                let shown = meta::field::quoted(text);
                return Err(Status::bad_request(format!(
                    "strconv.ParseInt: parsing {shown}: invalid syntax"
                )));
            }
        }
    }
    let both = q.get("sinceSeconds").is_some_and(|v| !v.is_empty())
        && q.get("sinceTime").is_some_and(|v| !v.is_empty());
    if both {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(FieldError::forbidden(&Path::new(""), why));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&gvk, "", &errors)) }
}

/// A connection that runs something needs the right to create, even where it is opened with a GET.
// k8s: pkg/registry/core/pod/rest/subresources.go ensureAuthorizedForVerb
async fn may_create(call: &Call<'_>) -> Result<(), Status> {
    if call.request.method != "GET" {
        return Ok(());
    }
    call.require_create().await
}

/// pods/exec and pods/attach.
pub(crate) async fn exec(call: &Call<'_>) -> Result<Response, Status> {
    may_create(call).await?;
    let q = &call.request.query;
    let pod = pod(call)?;
    let container = pod.spec.container(call.name, q.get("container").unwrap_or(""))?;
    if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
        return Err(Status::bad_request(format!(
            "cannot exec into a container in a completed pod; current phase is {}",
            pod.status.phase
        )));
    }
    if pod.spec.node_name.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.name)));
    }
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for (key, kubelet_key) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")]
    {
        if crate::request::options::flag(q, key) {
            pairs.push((kubelet_key, "1".to_owned()));
        }
    }
    if pairs.is_empty() {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    if call.subresource == "exec" {
        pairs.extend(q.all("command").map(|c| ("command", c.to_owned())));
        if q.get("command").is_none() {
            return Err(Status::bad_request("you must specify at least one command for the container"));
        }
    }
    let path = format!(
        "/{}/{}/{}/{}{}",
        call.subresource,
        escape(call.namespace),
        escape(call.name),
        escape(&container),
        query_text(&pairs)
    );
    to_kubelet(call, &pod.spec.node_name, path)
}

/// pods/portforward.
pub(crate) async fn port_forward(call: &Call<'_>) -> Result<Response, Status> {
    may_create(call).await?;
    let pod = pod(call)?;
    if pod.spec.node_name.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.name)));
    }
    let pairs: Vec<(&str, String)> =
        call.request.query.all("ports").map(|p| ("port", p.to_owned())).collect();
    let path = format!("/portForward/{}/{}{}", escape(call.namespace), escape(call.name), query_text(&pairs));
    to_kubelet(call, &pod.spec.node_name, path)
}
