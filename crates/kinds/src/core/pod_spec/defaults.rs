//! Defaults of pods and of templates of pods.
// k8s: pkg/apis/core/v1/defaults.go

use schema::Value;

use crate::defaults::{at, each, empty_map, number, text, value, with_map};

const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// 0644.
const DEFAULT_MODE: i64 = 0o644;

/// Defaults of a pod template's `spec`.
pub fn pod_spec(spec: &mut Value) {
    text(spec, "dnsPolicy", "ClusterFirst");
    text(spec, "restartPolicy", "Always");
    value(spec, "securityContext", empty_map());
    value(spec, "terminationGracePeriodSeconds", 30);
    text(spec, "schedulerName", "default-scheduler");
    service_account(spec);
    each(spec, &["volumes"], volume);
    for list in CONTAINER_LISTS {
        each(spec, &[list], container);
    }
}

/// Defaults of a pod's `spec`: those of a template, and what only pods get.
// k8s: pkg/apis/core/v1/defaults.go SetDefaults_Pod
pub fn pod(spec: &mut Value) {
    pod_spec(spec);
    value(spec, "enableServiceLinks", true);
    let host_network = spec.bool_at(&["hostNetwork"]) == Some(true);
    for list in CONTAINER_LISTS {
        each(spec, &[list], |c| {
            requests_from_limits(c);
            if host_network {
                each(c, &["ports"], host_port);
            }
        });
    }
}

/// Both names of the account field say the same.
fn service_account(spec: &mut Value) {
    let name = spec.str_at(&["serviceAccountName"]).to_owned();
    let old_name = spec.str_at(&["serviceAccount"]).to_owned();
    let name = if name.is_empty() { old_name } else { name };
    if !name.is_empty() {
        spec.set_at(&["serviceAccountName"], name.as_str());
        spec.set_at(&["serviceAccount"], name);
    }
}

fn host_port(port: &mut Value) {
    if let Some(n) = port.int_at(&["containerPort"]) {
        number(port, "hostPort", n);
    }
}

fn requests_from_limits(container: &mut Value) {
    let Some(limits) = container.at(&["resources", "limits"]).and_then(Value::as_map).cloned() else {
        return;
    };
    at(container, &["resources"], |resources| {
        with_map(resources, "requests", |requests| {
            if let Some(requests) = requests.as_map_mut() {
                for (name, limit) in limits.0 {
                    if requests.get(&name).is_none() {
                        requests.set(name, limit);
                    }
                }
            }
        });
    });
}

fn container(c: &mut Value) {
    let policy = if image_is_latest(c.str_at(&["image"])) { "Always" } else { "IfNotPresent" };
    text(c, "imagePullPolicy", policy);
    text(c, "terminationMessagePath", "/dev/termination-log");
    text(c, "terminationMessagePolicy", "File");
    value(c, "resources", empty_map());
    each(c, &["ports"], |p| text(p, "protocol", "TCP"));
    each(c, &["env"], |e| at(e, &["valueFrom", "fieldRef"], |f| text(f, "apiVersion", "v1")));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        at(c, &[name], probe);
    }
    for hook in ["postStart", "preStop"] {
        at(c, &["lifecycle", hook, "httpGet"], http_get);
    }
}

/// Whether an image without pull policy is pulled always: no digest and no tag, or the tag `latest`.
fn image_is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => true,
    }
}

fn probe(p: &mut Value) {
    number(p, "timeoutSeconds", 1);
    number(p, "periodSeconds", 10);
    number(p, "successThreshold", 1);
    number(p, "failureThreshold", 3);
    at(p, &["httpGet"], http_get);
    at(p, &["grpc"], |g| value(g, "service", ""));
}

fn http_get(h: &mut Value) {
    text(h, "path", "/");
    text(h, "scheme", "HTTP");
}

fn volume(v: &mut Value) {
    let sources = v.as_map().map_or(0, |m| m.iter().filter(|(k, v)| *k != "name" && !v.is_null()).count());
    if sources == 0 {
        v.set_at(&["emptyDir"], empty_map());
    }
    volume_source(v);
    at(v, &["ephemeral", "volumeClaimTemplate", "spec"], |s| text(s, "volumeMode", "Filesystem"));
}

/// Defaults of a volume source, which volumes and persistent volumes hold.
pub fn volume_source(v: &mut Value) {
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        at(v, &[source], |s| value(s, "defaultMode", DEFAULT_MODE));
    }
    at(v, &["hostPath"], |h| value(h, "type", ""));
    at(v, &["iscsi"], |i| text(i, "iscsiInterface", "default"));
    at(v, &["rbd"], |r| {
        text(r, "pool", "rbd");
        text(r, "user", "admin");
        text(r, "keyring", "/etc/ceph/keyring");
    });
    at(v, &["azureDisk"], |a| {
        value(a, "cachingMode", "ReadWrite");
        value(a, "fsType", "ext4");
        value(a, "readOnly", false);
        value(a, "kind", "Shared");
    });
    at(v, &["scaleIO"], |s| {
        text(s, "storageMode", "ThinProvisioned");
        text(s, "fsType", "xfs");
    });
    each(v, &["downwardAPI", "items"], |i| at(i, &["fieldRef"], |f| text(f, "apiVersion", "v1")));
    each(v, &["projected", "sources"], |s| {
        each(s, &["downwardAPI", "items"], |i| at(i, &["fieldRef"], |f| text(f, "apiVersion", "v1")));
        at(s, &["serviceAccountToken"], |t| number(t, "expirationSeconds", 3600));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::yaml;

    #[test]
    fn latest() {
        for (image, want) in [
            ("a", true),
            ("a:latest", true),
            ("a:1", false),
            ("r:5000/a", true),
            ("r:5000/a:1", false),
            ("a@sha256:00", false),
            ("a:latest@sha256:00", false),
        ] {
            assert_eq!(image_is_latest(image), want, "{image}");
        }
    }

    #[test]
    fn a_plain_pod() {
        let mut spec = yaml(
            r#"
hostNetwork: true
serviceAccountName: sa
containers:
- name: c
  image: i
  ports: [{containerPort: 80}]
  resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 100m}}
  livenessProbe: {httpGet: {port: 80}, timeoutSeconds: 5}
  env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
volumes: [{name: a}, {name: b, secret: {secretName: s}}, {name: c, hostPath: {path: /}}]
"#,
        );
        pod(&mut spec);
        let want = yaml(
            r#"
hostNetwork: true
serviceAccountName: sa
serviceAccount: sa
dnsPolicy: ClusterFirst
restartPolicy: Always
securityContext: {}
terminationGracePeriodSeconds: 30
schedulerName: default-scheduler
enableServiceLinks: true
containers:
- name: c
  image: i
  imagePullPolicy: Always
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: File
  ports: [{containerPort: 80, hostPort: 80, protocol: TCP}]
  resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 100m, memory: 1Gi}}
  livenessProbe: {httpGet: {port: 80, path: /, scheme: HTTP}, timeoutSeconds: 5, periodSeconds: 10, successThreshold: 1, failureThreshold: 3}
  env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name, apiVersion: v1}}}]
volumes:
- {name: a, emptyDir: {}}
- {name: b, secret: {secretName: s, defaultMode: 420}}
- {name: c, hostPath: {path: /, type: ''}}
"#,
        );
        assert_eq!(spec, want);
    }
}
