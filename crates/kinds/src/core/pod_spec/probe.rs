//! Probes and lifecycle hooks.
// k8s: pkg/apis/core/validation/validation.go validateProbe, validateLifecycle, validateHandler

use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, each, non_negative, printed, required};

/// A number or name of a port.
pub fn port(errors: &mut Errors, v: Option<&Value>, path: &Path) {
    match v {
        Some(Value::Str(s)) => each(errors, path, s, name::port_name(s)),
        Some(Value::Int(n)) => {
            for c in name::port_number(*n) {
                errors.push(FieldError::invalid(path, n.to_string(), c));
            }
        }
        None => errors.push(FieldError::invalid(path, "0", name::inclusive_range(1, 65535))),
        other => errors.push(FieldError::invalid(path, printed(other), name::inclusive_range(1, 65535))),
    }
}

/// `grace_seconds` is there for hooks, which may sleep that long.
fn handler(errors: &mut Errors, v: &Value, grace_seconds: Option<i64>, path: &Path) {
    let mut present = 0;
    for kind in ["exec", "httpGet", "tcpSocket", if grace_seconds.is_some() { "sleep" } else { "grpc" }] {
        let Some(action) = v.get(kind) else { continue };
        let at = path.child(kind);
        present += 1;
        if present > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 handler type"));
            continue;
        }
        match kind {
            "exec" if action.list_at(&["command"]).is_empty() => {
                errors.push(FieldError::required(&at.child("command"), ""));
            }
            "httpGet" => http_get(errors, action, &at),
            "tcpSocket" | "grpc" => port(errors, action.get("port"), &at.child("port")),
            "sleep" => sleep(errors, action, grace_seconds.unwrap_or(0), &at),
            _ => {}
        }
    }
    if present == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn sleep(errors: &mut Errors, action: &Value, grace_seconds: i64, path: &Path) {
    let seconds = action.int_at(&["seconds"]).unwrap_or(0);
    if seconds < 0 || seconds > grace_seconds {
        let why =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})");
        errors.push(FieldError::invalid(path, seconds.to_string(), why));
    }
}

fn http_get(errors: &mut Errors, action: &Value, path: &Path) {
    required(errors, action, "path", path);
    port(errors, action.get("port"), &path.child("port"));
    let scheme = action.str_at(&["scheme"]);
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.push(FieldError::not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for h in action.list_at(&["httpHeaders"]) {
        let n = h.str_at(&["name"]);
        each(errors, &path.child("httpHeaders"), n, name::http_header_name(n));
    }
}

/// The three probes of a container.
pub fn probes(errors: &mut Errors, container: &Value, path: &Path) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(p) = container.get(name) else { continue };
        let at = path.child(name);
        handler(errors, p, None, &at);
        for field in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            non_negative(errors, p, field, &at);
        }
        let grace_at = at.child("terminationGracePeriodSeconds");
        let grace = p.int_at(&["terminationGracePeriodSeconds"]);
        if let Some(n) = grace.filter(|n| *n <= 0) {
            errors.push(FieldError::invalid(&grace_at, n.to_string(), "must be greater than 0"));
        }
        if name == "readinessProbe" {
            if let Some(n) = grace {
                let why = "must not be set for readinessProbes";
                errors.push(FieldError::invalid(&grace_at, n.to_string(), why));
            }
            continue;
        }
        let threshold = p.int_at(&["successThreshold"]).unwrap_or(0);
        if threshold != 1 {
            errors.push(FieldError::invalid(
                &at.child("successThreshold"),
                threshold.to_string(),
                "must be 1",
            ));
        }
    }
}

/// `lifecycle`; a pod has `grace_seconds` to end in.
pub fn lifecycle(errors: &mut Errors, container: &Value, grace_seconds: i64, path: &Path) {
    for hook in ["postStart", "preStop"] {
        if let Some(h) = container.at(&["lifecycle", hook]) {
            handler(errors, h, Some(grace_seconds), &path.child("lifecycle").child(hook));
        }
    }
}
