//! Service: a stable address for pods. Addresses and node ports are allocated by the API server.
// k8s: pkg/registry/core/service/strategy.go, pkg/apis/core/validation/validation.go ValidateService

use meta::{FieldError, Gvk};
use schema::Value;

use super::service_rules;
use crate::columns::{AGE, NAME, labels_text, text, text_at, wide};
use crate::defaults::{self, each as each_of, value, with_map};
use crate::kind::{
    Cell, Column, Context, Kind, NameRule, Operation, STATUS, Strategy, Subresource, keep_other_half,
};
use crate::rules::same;
use crate::selectable::{Selectable, field};

const SUBRESOURCES: &[Subresource] = &[
    Subresource {
        name: "proxy",
        kind: Some(Gvk::new("", "v1", "ServiceProxyOptions")),
        verbs: &["create", "delete", "get", "patch", "update"],
    },
    STATUS,
];

/// `v1` Service.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Service", "services", "service")
    .with_short_names(&["svc"])
    .with_categories(&["all"])
    .with_names(NameRule::Label1035)
    .with_subresources(SUBRESOURCES)
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_warnings(super::service_warnings::warnings)
    .with_strategy(&ServiceStrategy)
    .returning_deleted();

const FIELDS: &[Selectable] = &[field("spec.clusterIP"), field("spec.type")];

// k8s: pkg/printers/internalversion/printers.go printService
const COLUMNS: &[Column] = &[
    NAME,
    text("Type", "How the service is reached.", |o, _| text_at(o, &["spec", "type"])),
    text("Cluster-IP", "Address inside the cluster.", |o, _| Cell::Text(cluster_ip(o))),
    text("External-IP", "Addresses from outside.", |o, _| Cell::Text(external_ip(o))),
    text("Port(s)", "Ports and node ports.", |o, _| Cell::Text(ports(o))),
    AGE,
    wide("Selector", "Labels of the pods behind it.", |o, _| {
        Cell::Text(labels_text(o.at(&["spec", "selector"])))
    }),
];

fn cluster_ip(o: &Value) -> String {
    let ips = o.list_at(&["spec", "clusterIPs"]);
    let first = ips.first().and_then(Value::as_str).unwrap_or(o.str_at(&["spec", "clusterIP"]));
    if first.is_empty() { "<none>" } else { first }.to_owned()
}

fn external_ip(o: &Value) -> String {
    let mut all: Vec<&str> = Vec::new();
    let kind = o.str_at(&["spec", "type"]);
    match kind {
        "ExternalName" => return o.str_at(&["spec", "externalName"]).to_owned(),
        "LoadBalancer" => {
            for i in o.list_at(&["status", "loadBalancer", "ingress"]) {
                let ip = i.str_at(&["ip"]);
                all.push(if ip.is_empty() { i.str_at(&["hostname"]) } else { ip });
            }
        }
        _ => {}
    }
    all.extend(o.list_at(&["spec", "externalIPs"]).iter().filter_map(Value::as_str));
    match (all.is_empty(), kind) {
        (false, _) => all.join(","),
        (true, "LoadBalancer") => "<pending>".to_owned(),
        (true, _) => "<none>".to_owned(),
    }
}

fn ports(o: &Value) -> String {
    let one = |p: &Value| {
        let (n, protocol) = (p.int_at(&["port"]).unwrap_or(0), p.str_at(&["protocol"]));
        match p.int_at(&["nodePort"]).filter(|n| *n > 0) {
            Some(node) => format!("{n}:{node}/{protocol}"),
            None => format!("{n}/{protocol}"),
        }
    };
    let all: Vec<String> = o.list_at(&["spec", "ports"]).iter().map(one).collect();
    if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
}

struct ServiceStrategy;

/// Whether ports of this service have ports on the nodes.
fn needs_node_ports(spec: &Value) -> bool {
    match spec.str_at(&["type"]) {
        "NodePort" => true,
        "LoadBalancer" => spec.bool_at(&["allocateLoadBalancerNodePorts"]) != Some(false),
        _ => false,
    }
}

/// Whether a load balancer asks the nodes which of them have pods.
#[must_use]
pub fn needs_health_check(spec: &Value) -> bool {
    spec.str_at(&["type"]) == "LoadBalancer" && spec.str_at(&["externalTrafficPolicy"]) == "Local"
}

// k8s: pkg/api/service/util.go ExternallyAccessible
pub(super) fn is_external(spec: &Value) -> bool {
    match spec.str_at(&["type"]) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !spec.list_at(&["externalIPs"]).is_empty(),
        _ => false,
    }
}

impl Strategy for ServiceStrategy {
    // k8s: pkg/apis/core/v1/defaults.go SetDefaults_Service
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            defaults::text(spec, "sessionAffinity", "None");
            defaults::text(spec, "type", "ClusterIP");
            match spec.str_at(&["sessionAffinity"]) {
                "ClientIP" => with_map(spec, "sessionAffinityConfig", |c| {
                    with_map(c, "clientIP", |c| value(c, "timeoutSeconds", 10800));
                }),
                "None" => {
                    spec.remove_at(&["sessionAffinityConfig"]);
                }
                _ => {}
            }
            each_of(spec, &["ports"], |p| {
                defaults::text(p, "protocol", "TCP");
                let unset = match p.get("targetPort") {
                    None => true,
                    Some(Value::Int(n)) => *n == 0,
                    Some(v) => v.as_str() == Some(""),
                };
                if let (true, Some(n)) = (unset, p.int_at(&["port"])) {
                    p.set_at(&["targetPort"], n);
                }
            });
            if is_external(spec) {
                defaults::text(spec, "externalTrafficPolicy", "Cluster");
            }
            let kind = spec.str_at(&["type"]).to_owned();
            if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
                defaults::text(spec, "internalTrafficPolicy", "Cluster");
            }
            if kind == "LoadBalancer" {
                value(spec, "allocateLoadBalancerNodePorts", true);
            }
        });
        if o.str_at(&["spec", "type"]) == "LoadBalancer" {
            each_of(o, &["status", "loadBalancer", "ingress"], |i| {
                if !i.str_at(&["ip"]).is_empty() {
                    defaults::text(i, "ipMode", "VIP");
                }
            });
        }
    }

    fn prepare_for_create(&self, o: &mut Value, _cx: &Context) {
        o.set_at(&["status"], defaults::empty_map());
        o.set_at(&["status", "loadBalancer"], defaults::empty_map());
    }

    /// What the new type does not have and the write did not touch goes away.
    // k8s: pkg/registry/core/service/strategy.go dropTypeDependentFields
    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &Context) {
        keep_other_half(new, old, op);
        let (Operation::Update, Some(before)) = (op, old.get("spec")) else { return };
        let Some(after) = new.get_mut("spec") else { return };
        type Has = fn(&Value) -> bool;
        let parts: [(Has, &[&str]); 4] = [
            (
                |s| s.str_at(&["type"]) != "ExternalName",
                &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"],
            ),
            (needs_health_check, &["healthCheckNodePort"]),
            (
                |s| s.str_at(&["type"]) == "LoadBalancer",
                &["allocateLoadBalancerNodePorts", "loadBalancerClass"],
            ),
            (is_external, &["externalTrafficPolicy"]),
        ];
        for (has, fields) in parts {
            if has(before) && !has(after) {
                for field in fields.iter().filter(|f| same(before.get(f), after.get(f))).collect::<Vec<_>>() {
                    after.remove_at(&[field]);
                }
            }
        }
        let node_ports = |s: &Value| -> Vec<i64> {
            let all = s.list_at(&["ports"]).iter().filter_map(|p| p.int_at(&["nodePort"]));
            let mut all: Vec<i64> = all.filter(|n| *n != 0).collect();
            all.sort_unstable();
            all
        };
        if needs_node_ports(before) && !needs_node_ports(after) && node_ports(before) == node_ports(after) {
            each_of(after, &["ports"], |p| {
                p.remove_at(&["nodePort"]);
            });
        }
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let empty = defaults::empty_map();
        service_rules::validate(o, o.get("spec").unwrap_or(&empty))
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        let empty = defaults::empty_map();
        let (after, before) = (new.get("spec").unwrap_or(&empty), old.get("spec").unwrap_or(&empty));
        if op == Operation::UpdateStatus {
            return service_rules::validate_status(new);
        }
        let mut errors = service_rules::validate_update(after, before);
        errors.extend(self.validate(new));
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{row, texts, yaml};

    fn defaulted(spec: &str) -> Value {
        let mut o = yaml(&format!("metadata: {{name: s}}\nspec: {spec}"));
        ServiceStrategy.default_fields(&mut o);
        o
    }

    #[test]
    fn defaults_and_row() {
        let o = defaulted(
            "{selector: {a: b}, type: NodePort, ports: [{port: 80, nodePort: 30080}], clusterIP: 10.0.0.1}",
        );
        assert_eq!(o.at(&["spec", "ports"]).unwrap().as_list().unwrap()[0].int_at(&["targetPort"]), Some(80));
        assert_eq!(o.str_at(&["spec", "externalTrafficPolicy"]), "Cluster");
        assert_eq!(o.str_at(&["spec", "internalTrafficPolicy"]), "Cluster");
        let cells: Vec<String> = row(&KIND, &o, "2026-01-01T00:00:00Z").into_iter().map(|c| c.1).collect();
        assert_eq!(cells, ["s", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP", "<unknown>", "a=b"]);
    }

    #[test]
    fn a_type_takes_its_fields_along() {
        let old = defaulted(
            "{type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30001, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ports: [{port: 80, nodePort: 30080}]}",
        );
        let mut new = old.clone();
        new.set_at(&["spec", "type"], "ClusterIP");
        ServiceStrategy.prepare_for_update(&mut new, &old, Operation::Update, &Context::default());
        for gone in ["externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts"] {
            assert_eq!(new.at(&["spec", gone]), None, "{gone}");
        }
        assert_eq!(new.list_at(&["spec", "ports"])[0].int_at(&["nodePort"]), None);
        let none = Vec::<String>::new();
        assert_eq!(texts(&ServiceStrategy.validate_update(&new, &old, Operation::Update)), none);
        let mut new = old.clone();
        new.set_at(&["spec", "type"], "ExternalName");
        new.set_at(&["spec", "externalName"], "a.b");
        ServiceStrategy.prepare_for_update(&mut new, &old, Operation::Update, &Context::default());
        assert_eq!(new.at(&["spec", "clusterIPs"]), None);
        assert_eq!(texts(&ServiceStrategy.validate_update(&new, &old, Operation::Update)), none);
    }
}
