//! The objects that the simulated user writes.

use meta::Gvr;
use reconcile::{Op, PatchKind};
use serde_json::{Value, json};

use crate::rng::Rng;

pub const PODS: Gvr = Gvr::new("", "v1", "pods");
pub const NODES: Gvr = Gvr::new("", "v1", "nodes");
pub const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
pub const SERVICES: Gvr = Gvr::new("", "v1", "services");
pub const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");
pub const REPLICASETS: Gvr = Gvr::new("apps", "v1", "replicasets");

/// Creates an object.
#[must_use]
pub fn create(gvr: Gvr, namespace: &str, body: &Value) -> Op {
    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Op::Create { gvr, namespace: namespace.to_owned(), name, body: body.to_string().into_bytes() }
}

/// Merge-patches an object.
#[must_use]
pub fn patch(gvr: Gvr, namespace: &str, name: &str, body: &Value) -> Op {
    Op::Patch {
        gvr,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        sub: "",
        kind: PatchKind::Merge,
        body: body.to_string().into_bytes(),
    }
}

/// Deletes an object.
#[must_use]
pub fn delete(
    gvr: Gvr,
    namespace: &str,
    name: &str,
    propagation: Option<&'static str>,
    grace: Option<i64>,
) -> Op {
    Op::Delete {
        gvr,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: None,
        resource_version: None,
        grace_period_seconds: grace,
        propagation,
    }
}

/// A namespace.
#[must_use]
pub fn namespace(name: &str) -> Value {
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
}

/// A service in front of an app.
#[must_use]
pub fn service(namespace: &str, app: &str) -> Value {
    json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": app, "namespace": namespace},
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": 80}]}})
}

/// A pod template of an app: what it asks for varies, and some never get ready.
#[must_use]
pub fn template(rng: &mut Rng, app: &str, broken: bool, port: bool) -> Value {
    let cpu = format!("{}m", rng.range(1, 6) * 50);
    let quality = if broken { "broken" } else { "good" };
    let image = format!("web:{}", rng.below(1000));
    let mut container =
        json!({"name": "main", "image": image, "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}});
    if port {
        container["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    }
    json!({"metadata": {"labels": {"app": app, "quality": quality}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": rng.range(0, 8)}})
}

/// The way a deployment replaces pods.
#[must_use]
pub fn strategy(rng: &mut Rng) -> Value {
    if rng.permille(150) {
        return json!({"type": "Recreate", "rollingUpdate": null});
    }
    let pairs = [
        (json!(1), json!(0)),
        (json!(0), json!(1)),
        (json!(2), json!(1)),
        (json!("25%"), json!("25%")),
        (json!("100%"), json!(0)),
        (json!("0%"), json!("50%")),
        (json!(3), json!(3)),
    ];
    let (surge, unavailable) = rng.pick(&pairs).cloned().unwrap_or_default();
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

/// A deployment of an app.
#[must_use]
pub fn deployment(rng: &mut Rng, namespace: &str, app: &str) -> Value {
    let port = rng.permille(100);
    let replicas = if port { rng.range(0, 2) } else { rng.range(0, 6) };
    let min_ready = rng.pick(&[0, 0, 0, 2, 10]).copied().unwrap_or(0);
    json!({"kind": "Deployment", "apiVersion": "apps/v1",
    "metadata": {"name": app, "namespace": namespace},
    "spec": {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": app}},
        "strategy": strategy(rng),
        "minReadySeconds": min_ready,
        "progressDeadlineSeconds": rng.range(20, 120),
        "revisionHistoryLimit": rng.range(0, 3),
        "template": template(rng, app, false, port),
    }})
}
