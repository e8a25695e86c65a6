//! What every cluster has besides its components: the Service of cluster DNS and its endpoint, which is this
//! process and no pod.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use client::{Api, Patch};
use control::Context;
use meta::{Gvr, Status};
use serde_json::{Value, json};

const SERVICES: Gvr = Gvr::new("", "v1", "services");
const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";
const RETRY: Duration = Duration::from_secs(1);

/// Where cluster DNS is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of its Service.
    pub cluster_dns: IpAddr,
    /// Where this process answers.
    pub dns_endpoint: SocketAddr,
}

/// Makes or mends the objects; tries again until it has worked or the context is stopped.
pub async fn ensure(ctx: &Context, settings: &Settings) {
    loop {
        match objects(ctx, settings).await {
            Ok(()) => return,
            Err(e) => tracing::warn!("the Service of cluster DNS: {e}"),
        }
        if !ctx.sleep(RETRY).await {
            return;
        }
    }
}

async fn objects(ctx: &Context, settings: &Settings) -> Result<(), Status> {
    let labels = json!({"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"});
    let ports = |key: &str, port: u16| json!([{"name": "dns", "protocol": "UDP", key: port}, {"name": "dns-tcp", "protocol": "TCP", key: port}]);
    let service = json!({"kind": "Service", "apiVersion": "v1",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {"clusterIP": settings.cluster_dns.to_string(), "ports": ports("port", 53)}});
    put(ctx, &SERVICES, service).await?;
    let slice = json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {
            "kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": "corten"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [settings.dns_endpoint.ip().to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false}}],
        "ports": ports("port", settings.dns_endpoint.port())});
    put(ctx, &SLICES, slice).await
}

/// Merges the object into what is there, or creates it.
pub(crate) async fn put(ctx: &Context, gvr: &Gvr, object: Value) -> Result<(), Status> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let api = Api::new(ctx.client.as_ref(), gvr.clone(), text("namespace"));
    let body = object.to_string().into_bytes();
    match api.patch(text("name"), "", Patch::Merge(body.clone())).await {
        Err(e) if e.is("NotFound") => api.create(body).await.map(drop),
        other => other.map(drop),
    }
}
