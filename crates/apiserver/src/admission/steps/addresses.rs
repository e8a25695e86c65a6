//! IPAddress objects of Services: one for each cluster address, made and removed in the transaction that gives the
//! address to the Service or takes it away. It must never write anything by itself.
// k8s: pkg/registry/core/service/ipallocator/ipallocator.go createIPAddress

use std::net::Ipv4Addr;

use jiff::Timestamp;
use kinds::core::service;
use meta::{Gvr, Status};
use schema::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use store::Txn;

use crate::registry::Resource;
use crate::storage::{Call, object, peek};

/// Who says that it keeps the object.
const MANAGER: &str = "ipallocator.k8s.io";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";

/// The resource.
pub(crate) fn gvr() -> Gvr {
    Gvr::new("networking.k8s.io", "v1", "ipaddresses")
}

/// The object for an address of a Service.
pub(crate) fn object_of(address: Ipv4Addr, namespace: &str, name: &str) -> Json {
    json!({
        "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": address.to_string(), "labels": {FAMILY: "IPv4", MANAGED_BY: MANAGER}},
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
    })
}

/// What a stored IPAddress says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    managed: bool,
    family: bool,
    created: Option<Timestamp>,
    /// Somebody's finalizers keep it.
    kept: bool,
    /// The store key of the Service that it is about; empty where it is about something else.
    service: String,
}

impl Claim {
    /// Of the stored bytes.
    pub fn of(value: &[u8]) -> Claim {
        let o = peek::project::<IpAddress>(value);
        let parent = o.spec.parent_ref;
        let is_service = parent.group.is_empty() && parent.resource == "services";
        let key = || format!("/registry/services/{}/{}", parent.namespace, parent.name);
        Claim {
            managed: o.metadata.labels.managed_by == MANAGER,
            family: o.metadata.labels.family == "IPv4",
            created: o.metadata.creation_timestamp.as_deref().and_then(meta::time::parse),
            kept: o.metadata.finalizers.is_some_and(|list| !list.is_empty()),
            service: if is_service { key() } else { String::new() },
        }
    }

    /// Whether this server keeps the object.
    pub fn is_ours(&self) -> bool {
        self.managed
    }

    /// Whether the object has the labels that it must have.
    pub fn is_complete(&self) -> bool {
        self.managed && self.family
    }

    /// Whether the object is about the Service with this store key.
    pub fn is_of(&self, key: &str) -> bool {
        self.service == key
    }

    /// When it was made.
    pub fn created(&self) -> Option<Timestamp> {
        self.created
    }

    /// Whether it is about a Service at all.
    pub fn names_service(&self) -> bool {
        !self.service.is_empty()
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct IpAddress {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    creation_timestamp: Option<String>,
    finalizers: Option<Vec<String>>,
    labels: Labels,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Labels {
    #[serde(rename = "ipaddress.kubernetes.io/managed-by")]
    managed_by: String,
    #[serde(rename = "ipaddress.kubernetes.io/ip-family")]
    family: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    parent_ref: Parent,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parent {
    group: String,
    resource: String,
    namespace: String,
    name: String,
}

/// What a change of a Service does to IPAddresses. `None` stands for a Service that is not there.
pub(crate) fn companions(call: &Call<'_>, new: Option<&Value>, old: Option<&Value>) -> Result<Txn, Status> {
    if !call.resource.kind.is(&service::KIND) {
        return Ok(Txn::default());
    }
    let (has, had) = (addresses(new), addresses(old));
    if has == had {
        return Ok(Txn::default());
    }
    let resource = call.state.registry()?.find(&self::gvr())?;
    let name = old.or(new).map_or("", |o| object::text(o, "name"));
    let mut txn = Txn::default();
    for address in has.iter().filter(|a| !had.contains(a)) {
        let value = bytes(call, &resource, *address, name)?;
        txn = txn.and(Txn::create(resource.key("", &address.to_string()), value));
    }
    let own = call.resource.key(call.namespace, name);
    for address in had.iter().filter(|a| !has.contains(a)) {
        let key = resource.key("", &address.to_string());
        let Some(entry) = resource.cache.get(&key) else { continue };
        let claim = Claim::of(entry.object_bytes());
        // What finalizers keep is asked to go later, by the repair.
        if claim.is_of(&own) && !claim.kept {
            txn = txn.and(Txn::delete(key, entry.mod_revision()));
        }
    }
    Ok(txn)
}

fn addresses(service: Option<&Value>) -> Vec<Ipv4Addr> {
    let list = service.map_or(&[][..], |s| s.list_at(&["spec", "clusterIPs"]));
    list.iter().filter_map(|ip| ip.as_str()?.parse().ok()).collect()
}

fn bytes(call: &Call<'_>, resource: &Resource, address: Ipv4Addr, name: &str) -> Result<Vec<u8>, Status> {
    let json = object_of(address, call.namespace, name).to_string();
    let mut value = crate::codec::stored(json.as_bytes(), resource.ty())?;
    resource.default(&mut value);
    object::prepare_create(&mut value, "", call.now, &*call.state.entropy)?;
    if resource.kind.generation {
        value.set_at(&["metadata", "generation"], 1i64);
    }
    resource.stored(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whose_object_it_is() {
        let whole = object_of([10, 0, 0, 7].into(), "a", "b");
        let claim = |o: &Json| Claim::of(o.to_string().as_bytes());
        assert!(claim(&whole).is_complete() && claim(&whole).is_of("/registry/services/a/b"));
        let mut other = whole.clone();
        other["spec"]["parentRef"]["group"] = "example.com".into();
        assert!(claim(&other).is_ours() && !claim(&other).names_service());
        let mut bare = whole;
        bare["metadata"]["labels"] = json!({MANAGED_BY: "me", FAMILY: "IPv4"});
        assert!(!claim(&bare).is_ours() && !claim(&bare).is_complete() && claim(&bare).names_service());
        assert_eq!(claim(&json!({})), Claim::default());
    }
}
