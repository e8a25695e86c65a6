//! ServiceAccount: every pod runs as an account that exists, gets its image pull secrets and a token volume.
// k8s: plugin/pkg/admission/serviceaccount/admission.go

use std::collections::BTreeMap;

use kinds::core::pod;
use meta::{Gvr, Status};
use schema::Value;
use serde::Deserialize;

use super::mountable::{self, Mountable};
use crate::authorize::node::{MIRROR, api_reference};
use crate::request::Reply;
use crate::storage::object::map;
use crate::storage::{AdmissionRequest, Call, Op, Plugin, object, peek};

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Lifetime of the token in the volume, in seconds.
const EXPIRATION_SECONDS: i64 = 3607;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Account {
    automount_service_account_token: Option<bool>,
    image_pull_secrets: Option<Vec<Named>>,
    secrets: Option<Vec<Named>>,
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    annotations: Option<BTreeMap<String, String>>,
}

impl Account {
    /// What its pods may use; `None`: anything.
    fn mountable<'a>(&'a self, account: &'a str) -> Option<Mountable<'a>> {
        let asked = self.metadata.annotations.as_ref()?.get(mountable::ENFORCE)?;
        let names = |list: &'a Option<Vec<Named>>| list.iter().flatten().map(|s| &*s.name).collect();
        mountable::is_true(asked).then(|| Mountable {
            account,
            secrets: names(&self.secrets),
            pull_secrets: names(&self.image_pull_secrets),
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
}

pub(in crate::admission) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if !request.is_of(&pod::KIND) {
            return Reply::now(Ok(()));
        }
        Reply::now(match (request.operation, request.call.subresource) {
            (Op::Create, "") => create(request.call, request.object),
            (Op::Update, "ephemeralcontainers") => ephemeral(request.call, request.object),
            _ => Ok(()),
        })
    }
}

/// Completes a new pod.
fn create(call: &Call<'_>, pod: &mut Value) -> Result<(), Status> {
    if pod.at(&["metadata", "annotations", MIRROR]).is_some() {
        return mirror(call, pod);
    }
    if pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        pod.set_at(&["spec", "serviceAccountName"], "default");
    }
    let name = pod.str_at(&["spec", "serviceAccountName"]).to_owned();
    pod.set_at(&["spec", "serviceAccount"], name.as_str());
    let account = find(call, pod, &name)?;
    let automount = pod
        .bool_at(&["spec", "automountServiceAccountToken"])
        .or(account.automount_service_account_token)
        .unwrap_or(true);
    if automount {
        mount(call, pod);
    }
    let secrets = account.image_pull_secrets.as_deref().unwrap_or_default();
    if pod.list_at(&["spec", "imagePullSecrets"]).is_empty() && !secrets.is_empty() {
        let list: Vec<Value> = secrets.iter().map(|s| map([("name", s.name.as_str().into())])).collect();
        pod.set_at(&["spec", "imagePullSecrets"], list);
    }
    refuse(call, pod, account.mountable(&name).and_then(|m| m.refused(pod)))
}

/// Checks ephemeral containers that are put into a pod.
fn ephemeral(call: &Call<'_>, pod: &Value) -> Result<(), Status> {
    let name = pod.str_at(&["spec", "serviceAccountName"]);
    if name.is_empty() {
        let why = format!("no service account specified for pod {}/{}", call.namespace, call.name);
        return refuse(call, pod, Some(why));
    }
    let account = find(call, pod, name)?;
    let found = account.mountable(name);
    let list = "ephemeralContainers";
    refuse(call, pod, found.and_then(|m| m.of_containers(pod, list, "ephemeral container")))
}

fn refuse(call: &Call<'_>, pod: &Value, why: Option<String>) -> Result<(), Status> {
    why.map_or(Ok(()), |why| Err(Status::forbidden(&call.resource.gvr, object::text(pod, "name"), &why)))
}

/// The kubelet's picture of a static pod may refer to no account and no secret, in no way.
fn mirror(call: &Call<'_>, pod: &Value) -> Result<(), Status> {
    let refuse = |why: &str| Err(Status::forbidden(&call.resource.gvr, object::text(pod, "name"), why));
    if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        return refuse("a mirror pod may not reference service accounts");
    }
    let found = api_reference(pod)?;
    if found.secrets {
        return refuse("a mirror pod may not reference secrets");
    }
    if found.account_tokens {
        return refuse("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

fn find(call: &Call<'_>, pod: &Value, name: &str) -> Result<Account, Status> {
    let resource = call.state.registry()?.find(&Gvr::new("", "v1", "serviceaccounts"))?;
    match resource.cache.get(&resource.key(call.namespace, name)) {
        Some(entry) => Ok(peek::project(entry.object_bytes())),
        None => {
            let why = format!(
                "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
                call.namespace
            );
            Err(Status::forbidden(&call.resource.gvr, object::text(pod, "name"), &why))
        }
    }
}

fn mount(call: &Call<'_>, pod: &mut Value) {
    let existing = pod
        .list_at(&["spec", "volumes"])
        .iter()
        .map(|v| v.str_at(&["name"]))
        .find(|n| n.starts_with(VOLUME_PREFIX))
        .map(str::to_owned);
    let name = existing
        .clone()
        .unwrap_or_else(|| format!("{VOLUME_PREFIX}{}", object::random_suffix(&*call.state.entropy, 5)));
    let mut used = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut) else { continue };
        for container in containers {
            let mounted = container
                .list_at(&["volumeMounts"])
                .iter()
                .any(|m| m.str_at(&["mountPath"]).trim_end_matches('/') == TOKEN_PATH);
            let Some(fields) = container.as_map_mut().filter(|_| !mounted) else { continue };
            let mounts = fields.entry("volumeMounts", || Value::List(Vec::new()));
            if let Some(mounts) = mounts.as_list_mut() {
                mounts.push(map([
                    ("name", name.as_str().into()),
                    ("readOnly", true.into()),
                    ("mountPath", TOKEN_PATH.into()),
                ]));
                used = true;
            }
        }
    }
    if used && existing.is_none() {
        let Some(spec) = pod.get_mut("spec").and_then(Value::as_map_mut) else { return };
        if let Some(volumes) = spec.entry("volumes", || Value::List(Vec::new())).as_list_mut() {
            volumes.push(volume(&name));
        }
    }
}

fn volume(name: &str) -> Value {
    let token = map([(
        "serviceAccountToken",
        map([("expirationSeconds", EXPIRATION_SECONDS.into()), ("path", "token".into())]),
    )]);
    let item = map([("key", "ca.crt".into()), ("path", "ca.crt".into())]);
    let ca = map([("configMap", map([("name", "kube-root-ca.crt".into()), ("items", vec![item].into())]))]);
    let field = map([("apiVersion", "v1".into()), ("fieldPath", "metadata.namespace".into())]);
    let file = map([("path", "namespace".into()), ("fieldRef", field)]);
    let namespace = map([("downwardAPI", map([("items", vec![file].into())]))]);
    let projected = map([("sources", vec![token, ca, namespace].into()), ("defaultMode", 420i64.into())]);
    map([("name", name.into()), ("projected", projected)])
}
