//! The objects that are measured with, as JSON.

use bytes::Bytes;
use meta::{Gvr, Request, Target, Verb};

/// ConfigMaps.
pub const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
/// Pods.
pub const PODS: Gvr = Gvr::new("", "v1", "pods");
/// Nodes.
pub const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// Namespaces.
pub const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");

/// A request for JSON with a body of `content_type`, or without one.
#[must_use]
pub fn request(verb: Verb, gvr: Gvr, namespace: &str, name: &str, body: Option<(&str, String)>) -> Request {
    let target = Target::Resource {
        gvr,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
        subpath: String::new(),
    };
    let mut request = Request::new(verb, target);
    "application/json".clone_into(&mut request.accept);
    if let Some((content_type, body)) = body {
        content_type.clone_into(&mut request.content_type);
        request.body = Bytes::from(body);
    }
    request
}

/// A body of JSON.
#[must_use]
pub fn json(body: String) -> Option<(&'static str, String)> {
    Some(("application/json", body))
}

/// A namespace.
#[must_use]
pub fn namespace(name: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}"#)
}

/// A ConfigMap of about 1 KiB.
#[must_use]
pub fn config_map(name: &str, round: usize) -> String {
    let padding = "x".repeat(900);
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"app":"bench"}}}},"data":{{"round":"{round}","payload":"{padding}"}}}}"#
    )
}

/// A pod with one container that asks for little; about 2 KiB once the server has completed it.
#[must_use]
pub fn pod(name: &str, image: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"bench","name":"{name}"}}}},"spec":{{"terminationGracePeriodSeconds":0,"containers":[{{"name":"c","image":"{image}","env":[{{"name":"A","value":"b"}}],"resources":{{"requests":{{"cpu":"10m","memory":"16Mi"}},"limits":{{"cpu":"100m","memory":"64Mi"}}}}}}]}}}}"#
    )
}

/// A node without a machine: large, ready, and nobody's.
#[must_use]
pub fn hollow_node(name: &str, number: usize, now: &str) -> String {
    let amounts = r#"{"cpu":"32","memory":"256Gi","ephemeral-storage":"1Ti","pods":"110"}"#;
    format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}","labels":{{"kubernetes.io/hostname":"{name}","kubernetes.io/os":"linux","kubernetes.io/arch":"amd64","topology.kubernetes.io/zone":"z{}"}}}},"spec":{{}},"status":{{"capacity":{amounts},"allocatable":{amounts},"conditions":[{{"type":"Ready","status":"True","reason":"KubeletReady","message":"hollow","lastHeartbeatTime":"{now}","lastTransitionTime":"{now}"}}]}}}}"#,
        number % 3
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn objects_are_json_of_the_promised_size() {
        let map = super::config_map("o-12345", 1);
        assert!((1000..1100).contains(&map.len()), "{}", map.len());
        for text in [map, super::pod("p", "i"), super::hollow_node("n", 1, "t"), super::namespace("x")] {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }
}
