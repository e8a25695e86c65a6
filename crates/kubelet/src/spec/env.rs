//! A container's environment: service variables, envFrom, env, in upstream's order of precedence.
// k8s: pkg/kubelet/kubelet_pods.go makeEnvironmentVariables

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, Secret, Service};

use crate::error::{Error, Result};
use crate::spec::expand::expand;
use crate::spec::fields::{self, Facts};

/// The objects a container's environment refers to, fetched before; `None`: it does not exist.
#[derive(Default)]
pub struct Sources {
    pub config_maps: BTreeMap<String, Option<ConfigMap>>,
    pub secrets: BTreeMap<String, Option<Secret>>,
    /// The services that the pod may know: its namespace's (with enableServiceLinks) and the API server's.
    pub services: Vec<Service>,
}

/// The names of objects a container's environment needs.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Needs {
    pub config_maps: Vec<String>,
    pub secrets: Vec<String>,
}

/// What to fetch before [`environment`] can be called.
#[must_use]
pub fn needs(container: &Container) -> Needs {
    let mut n = Needs::default();
    for f in container.env_from.iter().flatten() {
        if let Some(c) = &f.config_map_ref {
            n.config_maps.push(c.name.clone());
        }
        if let Some(s) = &f.secret_ref {
            n.secrets.push(s.name.clone());
        }
    }
    for from in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        if let Some(c) = &from.config_map_key_ref {
            n.config_maps.push(c.name.clone());
        }
        if let Some(s) = &from.secret_key_ref {
            n.secrets.push(s.name.clone());
        }
    }
    for list in [&mut n.config_maps, &mut n.secrets] {
        list.sort();
        list.dedup();
    }
    n
}

/// The environment in order: later names replace earlier ones.
///
/// # Errors
/// A message for a `CreateContainerConfigError` when a source that is not optional is missing.
pub fn environment(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    facts: &Facts,
) -> Result<Vec<(String, String)>> {
    let services = service_variables(&sources.services);
    let mut out: Vec<(String, String)> = Vec::new();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (k, v) in env_from(container, sources)? {
        known.insert(k.clone(), v.clone());
        put(&mut out, k, v);
    }
    for e in container.env.iter().flatten() {
        let value = match (&e.value_from, &e.value) {
            (Some(_), _) => match value_from(pod, container, e, sources, facts)? {
                Some(v) => v,
                None => continue,
            },
            (None, v) => expand(v.as_deref().unwrap_or_default(), |n| {
                known.get(n).or_else(|| services.iter().find(|(k, _)| k == n).map(|(_, v)| v)).cloned()
            }),
        };
        known.insert(e.name.clone(), value.clone());
        put(&mut out, e.name.clone(), value);
    }
    // Service variables never hide the pod's own.
    for (k, v) in services {
        if !known.contains_key(&k) {
            put(&mut out, k, v);
        }
    }
    Ok(out)
}

fn put(out: &mut Vec<(String, String)>, key: String, value: String) {
    match out.iter_mut().find(|(k, _)| *k == key) {
        Some(slot) => slot.1 = value,
        None => out.push((key, value)),
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn env_from(container: &Container, sources: &Sources) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for f in container.env_from.iter().flatten() {
        let prefix = f.prefix.as_deref().unwrap_or_default();
        if let Some(r) = &f.config_map_ref {
            match sources.config_maps.get(&r.name) {
                Some(Some(c)) => {
                    out.extend(c.data.iter().flatten().map(|(k, v)| (format!("{prefix}{k}"), v.clone())))
                }
                _ if r.optional == Some(true) => {}
                _ => return Err(missing("configmap", &r.name)),
            }
        }
        if let Some(r) = &f.secret_ref {
            match sources.secrets.get(&r.name) {
                Some(Some(s)) => {
                    out.extend(s.data.iter().flatten().map(|(k, v)| (format!("{prefix}{k}"), text_of(&v.0))))
                }
                _ if r.optional == Some(true) => {}
                _ => return Err(missing("secret", &r.name)),
            }
        }
    }
    Ok(out)
}

fn missing(kind: &str, name: &str) -> Error {
    Error::Config(format!("{kind} \"{name}\" not found"))
}

fn value_from(
    pod: &Pod,
    container: &Container,
    env: &EnvVar,
    sources: &Sources,
    facts: &Facts,
) -> Result<Option<String>> {
    let Some(from) = &env.value_from else { return Ok(None) };
    if let Some(f) = &from.field_ref {
        return fields::field(pod, &f.field_path, facts).map(Some);
    }
    if let Some(r) = &from.resource_field_ref {
        return fields::resource(pod, &container.name, r, facts).map(Some);
    }
    let text = |kind: &str, name: &str| format!("couldn't find key {name} in {kind}");
    if let Some(r) = &from.config_map_key_ref {
        let optional = r.optional == Some(true);
        return match sources.config_maps.get(&r.name) {
            Some(Some(c)) => match c.data.as_ref().and_then(|d| d.get(&r.key)) {
                Some(v) => Ok(Some(v.clone())),
                None if optional => Ok(None),
                None => {
                    let ns = pod.metadata.namespace.as_deref().unwrap_or_default();
                    Err(Error::Config(text(&format!("ConfigMap {ns}/{}", r.name), &r.key)))
                }
            },
            _ if optional => Ok(None),
            _ => Err(missing("configmap", &r.name)),
        };
    }
    if let Some(r) = &from.secret_key_ref {
        let optional = r.optional == Some(true);
        return match sources.secrets.get(&r.name) {
            Some(Some(s)) => match s.data.as_ref().and_then(|d| d.get(&r.key)) {
                Some(v) => Ok(Some(text_of(&v.0))),
                None if optional => Ok(None),
                None => {
                    let ns = pod.metadata.namespace.as_deref().unwrap_or_default();
                    Err(Error::Config(text(&format!("Secret {ns}/{}", r.name), &r.key)))
                }
            },
            _ if optional => Ok(None),
            _ => Err(missing("secret", &r.name)),
        };
    }
    Err(Error::Config(format!("env {} has a source that this kubelet does not support", env.name)))
}

/// `{NAME}_SERVICE_HOST`, `_PORT` and the docker-links variables of every service with a cluster IP.
// k8s: pkg/kubelet/envvars/envvars.go FromServices
#[must_use]
pub fn service_variables(services: &[Service]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for s in services {
        let Some(spec) = &s.spec else { continue };
        let ip = spec.cluster_ip.as_deref().unwrap_or_default();
        let ports = spec.ports.as_deref().unwrap_or_default();
        let (Some(name), Some(first)) = (&s.metadata.name, ports.first()) else { continue };
        if ip.is_empty() || ip == "None" {
            continue;
        }
        let up = name.to_uppercase().replace('-', "_");
        out.push((format!("{up}_SERVICE_HOST"), ip.to_owned()));
        out.push((format!("{up}_SERVICE_PORT"), first.port.to_string()));
        for p in ports {
            if let Some(n) = p.name.as_deref().filter(|n| !n.is_empty()) {
                let n = n.to_uppercase().replace('-', "_");
                out.push((format!("{up}_SERVICE_PORT_{n}"), p.port.to_string()));
            }
        }
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        for (i, p) in ports.iter().enumerate() {
            let protocol = p.protocol.as_deref().unwrap_or("TCP");
            let url = format!("{}://{host}:{}", protocol.to_lowercase(), p.port);
            if i == 0 {
                out.push((format!("{up}_PORT"), url.clone()));
            }
            let prefix = format!("{up}_PORT_{}_{protocol}", p.port);
            out.push((prefix.clone(), url));
            out.push((format!("{prefix}_PROTO"), protocol.to_lowercase()));
            out.push((format!("{prefix}_PORT"), p.port.to_string()));
            out.push((format!("{prefix}_ADDR"), ip.to_owned()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sources() -> Sources {
        let cm: ConfigMap = serde_json::from_value(json!({"data": {"a": "1", "b": "2"}})).unwrap();
        let secret: Secret = serde_json::from_value(json!({"data": {"s": "c2VjcmV0"}})).unwrap();
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "my-db"}, "spec": {
            "clusterIP": "10.1.2.3", "ports": [{"name": "sql-x", "port": 5432}]}}))
        .unwrap();
        Sources {
            config_maps: [("cm".to_owned(), Some(cm)), ("gone".to_owned(), None)].into(),
            secrets: [("sec".to_owned(), Some(secret))].into(),
            services: vec![service],
        }
    }

    fn run(container: serde_json::Value) -> Result<Vec<(String, String)>> {
        let c: Container = serde_json::from_value(container).unwrap();
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}})).unwrap();
        let mut all = environment(&pod, &c, &sources(), &Facts::default())?;
        all.retain(|(k, _)| !k.starts_with("MY_DB"));
        Ok(all)
    }

    #[test]
    fn everything_in_order() {
        let got = run(json!({"name": "c",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "sec"}}],
            "env": [
                {"name": "P_a", "value": "over"},
                {"name": "X", "value": "$(P_a)-$(MY_DB_SERVICE_HOST)-$(NO)"},
                {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "b"}}},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "s"}}},
                {"name": "O", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "b", "optional": true}}},
                {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}))
        .unwrap();
        let want = [
            ("P_a", "over"),
            ("P_b", "2"),
            ("s", "secret"),
            ("X", "over-10.1.2.3-$(NO)"),
            ("K", "2"),
            ("S", "secret"),
            ("F", "p"),
        ];
        assert_eq!(got, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_is_missing_is_told() {
        let cases = [
            (json!({"configMapKeyRef": {"name": "gone", "key": "b"}}), "configmap \"gone\" not found"),
            (json!({"configMapKeyRef": {"name": "cm", "key": "z"}}), "couldn't find key z in ConfigMap n/cm"),
            (json!({"secretKeyRef": {"name": "no", "key": "b"}}), "secret \"no\" not found"),
            (json!({"secretKeyRef": {"name": "sec", "key": "z"}}), "couldn't find key z in Secret n/sec"),
        ];
        for (from, want) in cases {
            let got = run(json!({"name": "c", "env": [{"name": "A", "valueFrom": from}]}));
            assert_eq!(got.unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn services_give_links() {
        let all: BTreeMap<_, _> = service_variables(&sources().services).into_iter().collect();
        assert_eq!(all["MY_DB_SERVICE_HOST"], "10.1.2.3");
        assert_eq!(all["MY_DB_SERVICE_PORT_SQL_X"], "5432");
        assert_eq!(all["MY_DB_PORT"], "tcp://10.1.2.3:5432");
        assert_eq!(all["MY_DB_PORT_5432_TCP_ADDR"], "10.1.2.3");
        assert_eq!(all.len(), 8);
    }
}
