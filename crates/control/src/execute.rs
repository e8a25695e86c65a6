//! Does one `reconcile::Op` over a client.
//!
//! Deciders plan merge patches. Upstream's roles let most controllers only `update` what they change, so
//! where a patch is forbidden the same change is made by a read, the merge here, and a replacement.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use client::{Api, Client, DeleteOptions, ListParams, Patch};
use meta::{Gvr, Request, Status, Target, Verb};
use parking_lot::Mutex;
use reconcile::{Answer, Op, PatchKind};
use serde_json::Value;

use crate::Ports;

/// A client that remembers what its identity may not patch, and the ports that may be asked.
pub struct Executor {
    client: Arc<dyn Client>,
    ports: Ports,
    unpatchable: Mutex<BTreeSet<(Gvr, String)>>,
}

impl Executor {
    /// An executor that knows nothing yet.
    #[must_use]
    pub fn new(client: Arc<dyn Client>, ports: Ports) -> Self {
        Executor { client, ports, unpatchable: Mutex::new(BTreeSet::new()) }
    }

    /// Does the operation.
    ///
    /// # Errors
    /// The server's Status, or the port's.
    pub async fn execute(&self, op: &Op) -> Result<Answer, Status> {
        if let Op::Ask { port, question } = op {
            return self.ports.ask(port, question.clone().into()).await.map(Answer::Object);
        }
        let Op::Patch { gvr, sub, kind: PatchKind::Merge, .. } = op else {
            return execute(&*self.client, op).await;
        };
        let place = (gvr.clone(), (*sub).to_owned());
        if self.unpatchable.lock().contains(&place) {
            return replace(&*self.client, op).await;
        }
        let refused = match execute(&*self.client, op).await {
            Err(e) if e.code == 403 => e,
            other => return other,
        };
        match replace(&*self.client, op).await {
            Err(e) if e.code == 403 => Err(refused),
            other => {
                self.unpatchable.lock().insert(place);
                other
            }
        }
    }
}

/// A merge patch as read, merge and replacement. The replacement carries the revision that was read.
async fn replace(client: &dyn Client, op: &Op) -> Result<Answer, Status> {
    let Op::Patch { gvr, namespace, name, sub, body, .. } = op else { return execute(client, op).await };
    let bad = |e: serde_json::Error| Status::internal(format!("{gvr} {name}: {e}"));
    let api = Api::new(client, gvr.clone(), namespace);
    let mut object: Value = serde_json::from_slice(&api.get(name).await?).map_err(bad)?;
    let mut patch: Value = serde_json::from_slice(body).map_err(bad)?;
    if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "resourceVersion"] {
            if let Some(wanted) = metadata.remove(field)
                && wanted != object["metadata"][field]
            {
                return Err(Status::stale(gvr, name));
            }
        }
    }
    json_patch::merge(&mut object, &patch);
    api.update(name, sub, object.to_string().into_bytes()).await.map(Answer::Object)
}

/// Does the operation.
///
/// # Errors
/// The server's Status.
pub async fn execute(client: &dyn Client, op: &Op) -> Result<Answer, Status> {
    let (namespace, _) = op.target();
    let api = Api::new(client, op.gvr().clone(), namespace);
    match op {
        Op::Create { body, .. } | Op::Review { body, .. } => {
            api.create(body.clone()).await.map(Answer::Object)
        }
        Op::CreateSub { name, sub, body, .. } => {
            api.create_subresource(name, sub, body.clone()).await.map(Answer::Object)
        }
        Op::Update { name, sub, body, .. } => api.update(name, sub, body.clone()).await.map(Answer::Object),
        Op::Patch { name, sub, kind, body, .. } => {
            let patch = match kind {
                PatchKind::Json => Patch::Json(body.clone()),
                PatchKind::Merge => Patch::Merge(body.clone()),
                PatchKind::Strategic => Patch::Strategic(body.clone()),
            };
            api.patch(name, sub, patch).await.map(Answer::Object)
        }
        Op::Delete { name, uid, resource_version, grace_period_seconds, propagation, .. } => {
            let options = DeleteOptions {
                uid: uid.as_ref().map(ToString::to_string),
                resource_version: resource_version.map(|v| v.to_string()),
                grace_period_seconds: *grace_period_seconds,
                propagation_policy: propagation.map(str::to_owned),
            };
            api.delete(name, &options).await.map(Answer::Object)
        }
        Op::DeleteCollection { .. } => delete_collection(client, op).await.map(Answer::Object),
        Op::Get { name, sub, .. } => api.get_subresource(name, sub).await.map(Answer::Object),
        Op::List { metadata_only, limit, selector, .. } => {
            let api = if *metadata_only { api.metadata_only() } else { api };
            list(&api, selector, *limit).await
        }
        Op::Ask { port, .. } => Err(Status::internal(format!("{port:?} is no resource of the API"))),
        Op::Revision { .. } => {
            let params = ListParams { limit: 1, ..ListParams::default() };
            let page = api.metadata_only().list(&params).await?;
            let revision = page.resource_version.parse().map_err(|_| {
                Status::internal(format!("resourceVersion {:?} is not a number", page.resource_version))
            })?;
            Ok(Answer::Revision(revision))
        }
    }
}

/// Items in a page.
const PAGE_LIMIT: u32 = 1000;

async fn list(api: &Api<'_>, selector: &str, limit: u32) -> Result<Answer, Status> {
    let mut params = ListParams {
        limit: if limit == 0 { PAGE_LIMIT } else { limit },
        label_selector: selector.to_owned(),
        ..ListParams::default()
    };
    let mut items = Vec::new();
    loop {
        let page = api.list(&params).await?;
        items.extend(page.items);
        let more = !page.continue_token.is_empty();
        if !more || limit > 0 {
            return Ok(Answer::List { revision: page.resource_version.parse().unwrap_or(0), items, more });
        }
        params.continue_token = page.continue_token;
    }
}

async fn delete_collection(client: &dyn Client, op: &Op) -> Result<Bytes, Status> {
    let target = Target::Resource {
        gvr: op.gvr().clone(),
        namespace: op.target().0.to_owned(),
        name: String::new(),
        subresource: String::new(),
        subpath: String::new(),
    };
    let mut r = Request::new(Verb::DeleteCollection, target);
    r.accept = "application/json".to_owned();
    r.content_type = "application/json".to_owned();
    let options =
        DeleteOptions { propagation_policy: Some("Background".to_owned()), ..DeleteOptions::default() };
    r.body = options.to_json().into();
    client::api::read_body(client.send(r).await?).await
}
