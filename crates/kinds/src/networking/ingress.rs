//! Ingress: HTTP routes to services.

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Kind, Strategy, WITH_STATUS};
use crate::rules::{Errors, each, printed};
use crate::warnings::{self, Write};

/// `networking.k8s.io/v1` Ingress.
pub static KIND: Kind = Kind::namespaced_kind("networking.k8s.io", "v1", "Ingress", "ingresses", "ingress")
    .with_short_names(&["ing"])
    .with_subresources(WITH_STATUS)
    .with_columns(COLUMNS)
    .with_warnings(told)
    .with_strategy(&IngressStrategy)
    .with_generation();

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

struct IngressStrategy;

impl Strategy for IngressStrategy {
    // k8s: pkg/apis/networking/validation/validation.go ValidateIngressSpec
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let rules = o.list_at(&["spec", "rules"]);
        let default = o.at(&["spec", "defaultBackend"]);
        if rules.is_empty() && default.is_none() {
            let shown = printed(o.at(&["spec", "rules"]));
            let why = "either `defaultBackend` or `rules` must be specified";
            errors.push(FieldError::invalid(&path, shown, why));
        }
        if let Some(b) = default {
            backend(&mut errors, b, &path.child("defaultBackend"));
        }
        for (i, r) in rules.iter().enumerate() {
            rule(&mut errors, r, &path.child("rules").index(i));
        }
        let class = o.str_at(&["spec", "ingressClassName"]);
        if !class.is_empty() {
            each(&mut errors, &path.child("ingressClassName"), class, name::dns1123_subdomain(class));
        }
        errors
    }
}

fn rule(errors: &mut Errors, r: &Value, at: &Path) {
    let host = r.str_at(&["host"]);
    let host_at = at.child("host");
    if host.parse::<std::net::IpAddr>().is_ok() {
        let why = "must be a DNS name, not an IP address";
        errors.push(FieldError::invalid(&host_at, quoted(host), why));
    } else if host.contains('*') {
        each(errors, &host_at, host, name::wildcard_dns1123_subdomain(host));
    } else if !host.is_empty() {
        each(errors, &host_at, host, name::dns1123_subdomain(host));
    }
    let Some(http) = r.get("http") else { return };
    let at = at.child("http").child("paths");
    let paths = http.list_at(&["paths"]);
    if paths.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    for (i, p) in paths.iter().enumerate() {
        http_path(errors, p, &at.index(i));
    }
}

// k8s: pkg/apis/networking/validation/validation.go validateHTTPIngressPath
fn http_path(errors: &mut Errors, p: &Value, at: &Path) {
    let path = p.str_at(&["path"]);
    let absolute = path.starts_with('/');
    match p.str_at(&["pathType"]) {
        "" => errors.push(FieldError::required(&at.child("pathType"), "pathType must be specified")),
        "Exact" | "Prefix" if !absolute => {
            let why = "must be an absolute path";
            errors.push(FieldError::invalid(&at.child("path"), quoted(path), why));
        }
        "ImplementationSpecific" if !path.is_empty() && !absolute => {
            let why = "must be an absolute path";
            errors.push(FieldError::invalid(&at.child("path"), quoted(path), why));
        }
        "Exact" | "Prefix" | "ImplementationSpecific" => {}
        other => {
            let known = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(FieldError::not_supported(&at.child("pathType"), other, &known));
        }
    }
    let empty = crate::defaults::empty_map();
    backend(errors, p.get("backend").unwrap_or(&empty), &at.child("backend"));
}

// k8s: pkg/apis/networking/validation/validation.go validateIngressBackend
fn backend(errors: &mut Errors, b: &Value, at: &Path) {
    let mut wrong = |why: &str| errors.push(FieldError::invalid(at, "\"\"", why));
    let service = match (b.get("service"), b.get("resource")) {
        (Some(_), Some(_)) => return wrong("cannot set both resource and service backends"),
        (None, None) => return wrong("resource or service backend is required"),
        (None, Some(_)) => return,
        (Some(service), None) => service,
    };
    let service_at = at.child("service");
    let name = service.str_at(&["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(&service_at.child("name"), ""));
    } else {
        each(errors, &service_at.child("name"), name, name::dns1035_label(name));
    }
    let port_at = service_at.child("port");
    let (port_name, number) = (service.str_at(&["port", "name"]), service.int_at(&["port", "number"]));
    match (port_name, number.unwrap_or(0)) {
        ("", 0) => errors.push(FieldError::required(at, "port name or number is required")),
        ("", n) => errors.extend(
            name::port_number(n)
                .into_iter()
                .map(|why| FieldError::invalid(&port_at.child("number"), n.to_string(), why)),
        ),
        (text, 0) => each(errors, &port_at.child("name"), text, name::port_name(text)),
        _ => errors.push(FieldError::invalid(at, "\"\"", "cannot set both port name & port number")),
    }
}

// k8s: pkg/registry/networking/ingress/strategy.go WarningsOnCreate, WarningsOnUpdate
fn told(w: &Write<'_>) -> Vec<String> {
    const CLASS: &str = "kubernetes.io/ingress.class";
    let mut out = Vec::new();
    if !w.is_whole() {
        warnings::load_balancer_ips(&mut out, w.new);
    }
    let named = w.new.at(&["metadata", "annotations", CLASS]).is_some();
    if w.creates() && named && w.new.at(&["spec", "ingressClassName"]).is_none() {
        out.push(format!("annotation \"{CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn rules_and_backends() {
        let backend = "backend: {service: {name: s, port: {number: 80}}}";
        let cases: [(String, &[&str]); 7] = [
            (
                "{}".into(),
                &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
            ),
            (
                "{defaultBackend: {}}".into(),
                &["spec.defaultBackend: Invalid value: \"\": resource or service backend is required"],
            ),
            (format!("{{rules: [{{http: {{paths: [{{path: /, pathType: Prefix, {backend}}}]}}}}]}}"), &[]),
            (
                "{rules: [{host: 10.0.0.1, http: {paths: []}}]}".into(),
                &[
                    "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
                    "spec.rules[0].http.paths: Required value",
                ],
            ),
            (
                format!("{{rules: [{{http: {{paths: [{{path: x, {backend}}}]}}}}]}}"),
                &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
            ),
            (
                format!("{{rules: [{{http: {{paths: [{{path: x, pathType: Exact, {backend}}}]}}}}]}}"),
                &["spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path"],
            ),
            (
                "{rules: [{http: {paths: [{pathType: Foo, backend: {service: {port: {}}}}]}}]}".into(),
                &[
                    "spec.rules[0].http.paths[0].pathType: Unsupported value: \"Foo\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
                    "spec.rules[0].http.paths[0].backend.service.name: Required value",
                    "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
                ],
            ),
        ];
        for (spec, want) in cases {
            assert_eq!(texts(&IngressStrategy.validate(&yaml(&format!("spec: {spec}")))), want, "{spec}");
        }
    }
}
