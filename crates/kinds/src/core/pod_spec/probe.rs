//! Probes and lifecycle hooks.
// k8s: pkg/apis/core/validation/validation.go validateProbe, validateLifecycle, validateHandler

use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, each, non_negative, optional_one_of, printed, required};

/// A number or name of a port.
pub fn port(errors: &mut Errors, v: Option<&Value>, path: &Path) {
    match v {
        Some(Value::Str(s)) => each(errors, path, s, name::port_name(s)),
        Some(Value::Int(n)) => {
            for c in name::port_number(*n) {
                errors.push(FieldError::invalid(path, n.to_string(), c));
            }
        }
        other => errors.push(FieldError::invalid(path, printed(other), name::inclusive_range(1, 65535))),
    }
}

fn handler(errors: &mut Errors, v: &Value, hook: bool, path: &Path) {
    let mut present = 0;
    let all: &[&str] = if hook {
        &["exec", "httpGet", "tcpSocket", "sleep"]
    } else {
        &["exec", "httpGet", "tcpSocket", "grpc"]
    };
    for kind in all {
        let Some(action) = v.get(kind) else { continue };
        let at = path.child(kind);
        present += 1;
        if present > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 handler type"));
            continue;
        }
        match *kind {
            "exec" if action.list_at(&["command"]).is_empty() => {
                errors.push(FieldError::required(&at.child("command"), ""));
            }
            "httpGet" => http_get(errors, action, &at),
            "tcpSocket" | "grpc" => port(errors, action.get("port"), &at.child("port")),
            _ => {}
        }
    }
    if present == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn http_get(errors: &mut Errors, action: &Value, path: &Path) {
    required(errors, action, "path", path);
    port(errors, action.get("port"), &path.child("port"));
    optional_one_of(errors, action, "scheme", path, &["HTTP", "HTTPS"]);
    for (i, h) in action.list_at(&["httpHeaders"]).iter().enumerate() {
        let at = path.child("httpHeaders").index(i).child("name");
        let n = h.str_at(&["name"]);
        each(errors, &at, n, name::http_header_name(n));
    }
}

/// The three probes of a container.
pub fn probes(errors: &mut Errors, container: &Value, path: &Path) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(p) = container.get(name) else { continue };
        let at = path.child(name);
        handler(errors, p, false, &at);
        for field in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            non_negative(errors, p, field, &at);
        }
        let grace_at = at.child("terminationGracePeriodSeconds");
        let grace = p.int_at(&["terminationGracePeriodSeconds"]);
        if name == "readinessProbe" {
            if let Some(n) = grace {
                let why = "must not be set for readinessProbes";
                errors.push(FieldError::invalid(&grace_at, n.to_string(), why));
            }
            continue;
        }
        if let Some(n) = grace.filter(|n| *n <= 0) {
            errors.push(FieldError::invalid(&grace_at, n.to_string(), "must be greater than 0"));
        }
        if let Some(n) = p.int_at(&["successThreshold"]).filter(|n| *n != 1) {
            errors.push(FieldError::invalid(&at.child("successThreshold"), n.to_string(), "must be 1"));
        }
    }
}

/// `lifecycle`.
pub fn lifecycle(errors: &mut Errors, container: &Value, path: &Path) {
    for hook in ["postStart", "preStop"] {
        if let Some(h) = container.at(&["lifecycle", hook]) {
            handler(errors, h, true, &path.child("lifecycle").child(hook));
        }
    }
}
