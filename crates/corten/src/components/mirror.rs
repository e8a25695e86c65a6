//! A copy of one resource in memory, as small structs, for components that decide from the whole of it.

use std::collections::BTreeMap;

use control::RawEvent;
use serde::de::DeserializeOwned;

/// Objects by namespace and name.
pub struct Mirror<T> {
    objects: BTreeMap<(String, String), T>,
    key: fn(&T) -> (&str, &str),
    synced: bool,
}

impl<T: DeserializeOwned + PartialEq> Mirror<T> {
    /// An empty copy; `key` gives namespace and name.
    #[must_use]
    pub fn new(key: fn(&T) -> (&str, &str)) -> Self {
        Mirror { objects: BTreeMap::new(), key, synced: false }
    }

    /// Whether a first whole list has arrived.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// All objects in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.objects.values()
    }

    fn read(&self, bytes: &[u8]) -> Option<((String, String), T)> {
        match meta::json::read::<T>(bytes) {
            Ok(object) => {
                let (namespace, name) = (self.key)(&object);
                Some(((namespace.to_owned(), name.to_owned()), object))
            }
            Err(e) => {
                tracing::error!("an object cannot be read: {e}");
                None
            }
        }
    }

    /// Takes an event in; whether anything that `T` reads has changed, or the first list has come.
    pub fn take(&mut self, event: RawEvent) -> bool {
        match event {
            RawEvent::Replaced { items, .. } => {
                let new: BTreeMap<_, _> = items.iter().filter_map(|b| self.read(b)).collect();
                let changed = !self.synced || self.objects != new;
                self.synced = true;
                self.objects = new;
                changed
            }
            RawEvent::Applied(b) => {
                let Some((key, object)) = self.read(&b) else { return false };
                if self.objects.get(&key) == Some(&object) {
                    return false;
                }
                self.objects.insert(key, object);
                true
            }
            RawEvent::Deleted(b) => self.read(&b).is_some_and(|(key, _)| self.objects.remove(&key).is_some()),
            RawEvent::Progress(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    /// Every member of an object, one after the other, as null.
    fn with_nulls(object: &Value) -> Vec<Value> {
        fn paths(value: &Value, at: &str, out: &mut Vec<String>) {
            let children: Vec<(String, &Value)> = match value {
                Value::Object(members) => members.iter().map(|(k, v)| (k.replace('/', "~1"), v)).collect(),
                Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
                _ => Vec::new(),
            };
            for (name, child) in children {
                let path = format!("{at}/{name}");
                paths(child, &path, out);
                if value.is_object() {
                    out.push(path);
                }
            }
        }
        let mut all = Vec::new();
        paths(object, "", &mut all);
        let nulled = |path: &String| {
            let mut object = object.clone();
            *object.pointer_mut(path).unwrap() = Value::Null;
            object
        };
        all.iter().map(nulled).collect()
    }

    fn all_are_read<T: DeserializeOwned + PartialEq>(object: &Value) {
        let mut mirror = Mirror::<T>::new(|_| ("", "one"));
        let variants = with_nulls(object);
        assert!(variants.len() > 10, "{object}");
        for variant in variants {
            let items = vec![Bytes::from(variant.to_string())];
            mirror.take(RawEvent::Replaced { items, revision: 1 });
            assert_eq!(mirror.values().count(), 1, "{variant}");
        }
    }

    #[test]
    fn null_is_nothing_wherever_it_stands() {
        let meta = json!({"namespace": "d", "name": "web", "labels": {"a": "b"}});
        let slice = json!({"metadata": meta, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true,
                "terminating": false}, "hostname": "h", "nodeName": "n", "hints": {"forZones": [{"name": "z"}],
                "forNodes": [{"name": "n"}]}}],
            "ports": [{"name": "p", "protocol": "TCP", "port": 80}]});
        let service = json!({"metadata": meta, "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.9",
            "clusterIPs": ["10.96.0.9"], "externalIPs": ["192.0.2.7"], "externalName": "x",
            "loadBalancerSourceRanges": ["10.0.0.0/8"], "ports": [{"name": "p", "protocol": "TCP", "port": 80,
                "nodePort": 30080}], "sessionAffinity": "ClientIP", "publishNotReadyAddresses": true,
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}, "externalTrafficPolicy": "Local",
            "internalTrafficPolicy": "Local", "healthCheckNodePort": 31000},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8", "ipMode": "VIP"}]}}});
        all_are_read::<proxy::EndpointSlice>(&slice);
        all_are_read::<proxy::Service>(&service);
        all_are_read::<dns::model::EndpointSlice>(&slice);
        all_are_read::<dns::model::Service>(&service);
        let stock = json!({"metadata": meta, "addressType": "IPv4", "endpoints": null, "ports": null});
        let mut mirror = Mirror::<proxy::EndpointSlice>::new(|s| (&s.metadata.namespace, &s.metadata.name));
        assert!(mirror.take(RawEvent::Applied(Bytes::from(stock.to_string()))));
    }
}
