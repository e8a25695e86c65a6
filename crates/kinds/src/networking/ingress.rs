//! Ingress: HTTP routes to services.

use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Kind, WITH_STATUS};

/// `networking.k8s.io/v1` Ingress.
pub static KIND: Kind = Kind::namespaced_kind("networking.k8s.io", "v1", "Ingress", "ingresses", "ingress")
    .with_short_names(&["ing"])
    .with_subresources(WITH_STATUS)
    .with_columns(COLUMNS);

const COLUMNS: &[Column] = &[
    NAME,
    text("Class", "Class of the controller.", |o, _| Cell::Text(class(o))),
    text("Hosts", "Hosts that are served.", |o, _| Cell::Text(hosts(o))),
    text("Address", "Addresses of the load balancer.", |o, _| Cell::Text(address(o))),
    text("Ports", "Ports that are open.", |o, _| {
        Cell::Text(if o.list_at(&["spec", "tls"]).is_empty() { "80" } else { "80, 443" }.to_owned())
    }),
    AGE,
];

fn class(o: &Value) -> String {
    let class = o.str_at(&["spec", "ingressClassName"]);
    if class.is_empty() { "<none>" } else { class }.to_owned()
}

// k8s: pkg/printers/internalversion/printers.go formatHosts
fn hosts(o: &Value) -> String {
    let all: Vec<String> = o
        .list_at(&["spec", "rules"])
        .iter()
        .map(|r| r.str_at(&["host"]).to_owned())
        .filter(|h| !h.is_empty())
        .collect();
    if all.is_empty() { "*".to_owned() } else { crate::core::endpoints::first_few(&all) }
}

fn address(o: &Value) -> String {
    let one = |i: &Value| {
        let ip = i.str_at(&["ip"]);
        if ip.is_empty() { i.str_at(&["hostname"]) } else { ip }.to_owned()
    };
    o.list_at(&["status", "loadBalancer", "ingress"]).iter().map(one).collect::<Vec<_>>().join(",")
}
