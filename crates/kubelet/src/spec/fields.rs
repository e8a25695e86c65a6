//! Downward API: fields of the pod and resources of its containers as text.
// k8s: pkg/fieldpath/fieldpath.go, pkg/api/v1/resource/helpers.go

use std::collections::BTreeMap;
use std::fmt::Write;

use k8s_openapi::api::core::v1::{Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::error::{Error, Result};
use crate::spec::{PodExt, quantity};

/// What the node knows of itself and of the pod that the spec does not say.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub pod_ips: Vec<String>,
    pub host_ips: Vec<String>,
    /// Allocatable thousandths of CPU, bytes of memory and of ephemeral storage.
    pub allocatable_milli_cpu: i64,
    pub allocatable_memory_bytes: i64,
    pub allocatable_storage_bytes: i64,
}

/// The value of a field path.
///
/// # Errors
/// When the path is not one that pods offer.
pub fn field(pod: &Pod, path: &str, facts: &Facts) -> Result<String> {
    if let Some(v) = keyed(pod, path) {
        return Ok(v);
    }
    let meta = &pod.metadata;
    let spec = pod.sp();
    Ok(match path {
        "metadata.name" => pod.nm().to_owned(),
        "metadata.namespace" => pod.ns().to_owned(),
        "metadata.uid" => pod.uid().to_owned(),
        "metadata.labels" => map_text(meta.labels.as_ref()),
        "metadata.annotations" => map_text(meta.annotations.as_ref()),
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => facts.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => facts.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return Err(Error::Config(format!("unsupported fieldPath: {path}"))),
    })
}

fn keyed(pod: &Pod, path: &str) -> Option<String> {
    let (name, key) = path.strip_suffix("']")?.split_once("['")?;
    let map = match name {
        "metadata.labels" => pod.metadata.labels.as_ref(),
        "metadata.annotations" => pod.metadata.annotations.as_ref(),
        _ => return None,
    };
    Some(map.and_then(|m| m.get(key)).cloned().unwrap_or_default())
}

/// `key="value"` lines, values quoted as Go quotes.
fn map_text(map: Option<&BTreeMap<String, String>>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (k, v) in map.into_iter().flatten() {
        lines.push(format!("{k}={}", go_quote(v)));
    }
    lines.join("\n")
}

fn go_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The value of a resource reference, divided and rounded up.
///
/// # Errors
/// When the container or the resource does not exist.
pub fn resource(
    pod: &Pod,
    container: &str,
    selector: &ResourceFieldSelector,
    facts: &Facts,
) -> Result<String> {
    let name = selector.container_name.as_deref().filter(|n| !n.is_empty()).unwrap_or(container);
    let c = pod.container(name).ok_or_else(|| Error::Config(format!("container {name} not found")))?;
    let (kind, what) = selector.resource.split_once('.').unwrap_or(("", ""));
    let list = match kind {
        "limits" => c.resources.as_ref().and_then(|r| r.limits.as_ref()),
        "requests" => c.resources.as_ref().and_then(|r| r.requests.as_ref()),
        _ => return Err(Error::Config(format!("unsupported container resource : {}", selector.resource))),
    };
    let given: Option<&Quantity> = list.and_then(|l| l.get(what));
    let cpu = what == "cpu";
    let amount = given.and_then(|q| if cpu { quantity::milli(q) } else { quantity::value(q) }).unwrap_or(
        match (kind, what) {
            ("limits", "cpu") => facts.allocatable_milli_cpu,
            ("limits", "memory") => facts.allocatable_memory_bytes,
            ("limits", "ephemeral-storage") => facts.allocatable_storage_bytes,
            _ => 0,
        },
    );
    let scale = if cpu { 1000 } else { 1 };
    let divisor = selector
        .divisor
        .as_ref()
        .and_then(|d| quantity::parse(&d.0, scale))
        .filter(|d| *d > 0)
        .unwrap_or(if cpu { 1000 } else { 1 });
    let rounded = (i128::from(amount) + i128::from(divisor) - 1) / i128::from(divisor);
    Ok(rounded.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u",
                "labels": {"a": "1", "b": "x\"y"}, "annotations": {"k/v": "z"}},
            "spec": {"nodeName": "node", "serviceAccountName": "sa", "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "32Mi"}}}]}
        }))
        .unwrap()
    }

    #[test]
    fn fields_are_read() {
        let facts = Facts {
            pod_ips: vec!["10.0.0.1".into(), "fd00::1".into()],
            host_ips: vec!["1.2.3.4".into()],
            ..Facts::default()
        };
        let cases = [
            ("metadata.name", "p"),
            ("metadata.labels", "a=\"1\"\nb=\"x\\\"y\""),
            ("metadata.labels['a']", "1"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['k/v']", "z"),
            ("spec.nodeName", "node"),
            ("status.podIPs", "10.0.0.1,fd00::1"),
            ("status.hostIP", "1.2.3.4"),
        ];
        for (path, want) in cases {
            assert_eq!(field(&pod(), path, &facts).unwrap(), want, "{path}");
        }
        assert!(field(&pod(), "spec.secret", &facts).is_err());
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let facts = Facts { allocatable_memory_bytes: 8 << 30, ..Facts::default() };
        let cases = [
            ("limits.cpu", None, "2"),
            ("limits.cpu", Some("1m"), "1500"),
            ("requests.memory", Some("1Mi"), "32"),
            ("requests.memory", None, "33554432"),
            ("limits.memory", Some("1Gi"), "8"),
            ("requests.cpu", None, "0"),
        ];
        for (name, divisor, want) in cases {
            let s = ResourceFieldSelector {
                resource: name.into(),
                divisor: divisor.map(|d| Quantity(d.into())),
                container_name: None,
            };
            assert_eq!(resource(&pod(), "c", &s, &facts).unwrap(), want, "{name}");
        }
    }
}
