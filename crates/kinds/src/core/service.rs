//! Service: a stable address for pods. Addresses and node ports are allocated by the API server.
// k8s: pkg/registry/core/service/strategy.go, pkg/apis/core/validation/validation.go ValidateService

use meta::field::quoted;
use meta::{FieldError, Gvk, Path, name};
use schema::Value;

use crate::columns::{AGE, NAME, labels_text, text, text_at, wide};
use crate::defaults::{self, each as each_of, value, with_map};
use crate::kind::{
    Cell, Column, Context, FieldReader, Kind, NameRule, Operation, STATUS, Strategy, Subresource,
    keep_other_half,
};
use crate::rules::{Errors, each, labels, one_of, printed};

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
    .with_strategy(&ServiceStrategy);

const FIELDS: &[(&str, FieldReader)] = &[
    ("spec.clusterIP", |o| o.str_at(&["spec", "clusterIP"]).to_owned()),
    ("spec.type", |o| o.str_at(&["spec", "type"]).to_owned()),
];

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

/// Types of services that have node ports.
fn has_node_ports(kind: &str) -> bool {
    matches!(kind, "NodePort" | "LoadBalancer")
}

impl Strategy for ServiceStrategy {
    // k8s: pkg/apis/core/v1/defaults.go SetDefaults_Service
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            defaults::text(spec, "sessionAffinity", "None");
            defaults::text(spec, "type", "ClusterIP");
            if spec.str_at(&["sessionAffinity"]) == "ClientIP" {
                with_map(spec, "sessionAffinityConfig", |c| {
                    with_map(c, "clientIP", |c| value(c, "timeoutSeconds", 10800));
                });
            } else {
                spec.remove_at(&["sessionAffinityConfig"]);
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
            let kind = spec.str_at(&["type"]).to_owned();
            if has_node_ports(&kind) {
                defaults::text(spec, "externalTrafficPolicy", "Cluster");
            }
            if has_node_ports(&kind) || kind == "ClusterIP" {
                defaults::text(spec, "internalTrafficPolicy", "Cluster");
            }
            if kind == "LoadBalancer" {
                value(spec, "allocateLoadBalancerNodePorts", true);
            }
        });
    }

    fn prepare_for_create(&self, o: &mut Value, _cx: &Context) {
        o.set_at(&["status"], defaults::empty_map());
        o.set_at(&["status", "loadBalancer"], defaults::empty_map());
    }

    /// A write that leaves out what was allocated keeps it.
    // k8s: pkg/registry/core/service/storage/alloc.go patchAllocatedValues
    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &Context) {
        keep_other_half(new, old, op);
        if op != Operation::Update {
            return;
        }
        let kinds = (new.str_at(&["spec", "type"]).to_owned(), old.str_at(&["spec", "type"]).to_owned());
        if kinds.0 != "ExternalName" && kinds.1 != "ExternalName" {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if new.at(&["spec", field]).is_none()
                    && let Some(v) = old.at(&["spec", field])
                {
                    new.set_at(&["spec", field], v.clone());
                }
            }
        }
        if has_node_ports(&kinds.0) && has_node_ports(&kinds.1) {
            let before = old.list_at(&["spec", "ports"]).to_vec();
            each_of(new, &["spec", "ports"], |p| {
                let key = |p: &Value| (p.int_at(&["port"]), p.str_at(&["protocol"]).to_owned());
                let allocated =
                    before.iter().find(|b| key(b) == key(p)).and_then(|b| b.int_at(&["nodePort"]));
                if let (0, Some(n)) = (p.int_at(&["nodePort"]).unwrap_or(0), allocated) {
                    p.set_at(&["nodePort"], n);
                }
            });
        }
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = defaults::empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        let kind = spec.str_at(&["type"]);
        let headless = spec.str_at(&["clusterIP"]) == "None";
        addresses(&mut errors, spec, kind, headless, &path);
        labels(&mut errors, spec.get("selector"), &path.child("selector"));
        one_of(&mut errors, spec, "sessionAffinity", &path, &["ClientIP", "None"]);
        if let Some(n) = spec.int_at(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"])
            && !(1..=86400).contains(&n)
        {
            let at = path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
            errors.push(FieldError::invalid(&at, n.to_string(), name::inclusive_range(1, 86400)));
        }
        one_of(&mut errors, spec, "type", &path, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
        let list = spec.list_at(&["ports"]);
        if list.is_empty() && !headless && kind != "ExternalName" {
            errors.push(FieldError::required(&path.child("ports"), ""));
        }
        service_ports(&mut errors, list, kind, &path.child("ports"));
        for (field, allowed) in
            [("externalTrafficPolicy", ["Cluster", "Local"]), ("internalTrafficPolicy", ["Cluster", "Local"])]
        {
            crate::rules::optional_one_of(&mut errors, spec, field, &path, &allowed);
        }
        errors
    }

    // k8s: pkg/apis/core/validation/validation.go ValidateServiceUpdate
    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return Vec::new();
        }
        let mut errors = Errors::new();
        let kind = |o: &Value| o.str_at(&["spec", "type"]) == "ExternalName";
        let before = old.str_at(&["spec", "clusterIP"]);
        let after = new.str_at(&["spec", "clusterIP"]);
        if !kind(new) && !kind(old) && !before.is_empty() && after != before {
            let at = Path::new("spec").child("clusterIPs").index(0);
            let shown = printed(new.at(&["spec", "clusterIPs"]));
            errors.push(FieldError::invalid(&at, shown, "may not change once set"));
        }
        errors.extend(self.validate(new));
        errors
    }
}

fn addresses(errors: &mut Errors, spec: &Value, kind: &str, headless: bool, path: &Path) {
    let cluster_ip = spec.str_at(&["clusterIP"]);
    if kind == "ExternalName" {
        if !cluster_ip.is_empty() {
            let why = "may not be set for ExternalName services";
            errors.push(FieldError::forbidden(&path.child("clusterIPs").index(0), why));
        }
        let external = spec.str_at(&["externalName"]).trim_end_matches('.');
        if external.is_empty() {
            errors.push(FieldError::required(&path.child("externalName"), ""));
        } else {
            let complaints = name::dns1123_subdomain(external);
            each(errors, &path.child("externalName"), external, complaints);
        }
    } else if headless && has_node_ports(kind) {
        let why = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "\"None\"", why));
    } else if !headless && !cluster_ip.is_empty() {
        each(errors, &path.child("clusterIPs").index(0), cluster_ip, name::ip(cluster_ip));
    }
    for (i, ip) in spec.list_at(&["externalIPs"]).iter().enumerate() {
        let ip = ip.as_str().unwrap_or("");
        each(errors, &path.child("externalIPs").index(i), ip, name::ip(ip));
    }
}

fn service_ports(errors: &mut Errors, list: &[Value], kind: &str, path: &Path) {
    let (mut names, mut pairs, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    for (i, p) in list.iter().enumerate() {
        let at = path.index(i);
        let n = p.str_at(&["name"]);
        if n.is_empty() && list.len() > 1 {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else if !n.is_empty() {
            each(errors, &at.child("name"), n, name::dns1123_label(n));
            if names.contains(&n) {
                errors.push(FieldError::duplicate(&at.child("name"), quoted(n)));
            }
            names.push(n);
        }
        let number = p.int_at(&["port"]).unwrap_or(0);
        for why in name::port_number(number) {
            errors.push(FieldError::invalid(&at.child("port"), number.to_string(), why));
        }
        one_of(errors, p, "protocol", &at, &["SCTP", "TCP", "UDP"]);
        target_port(errors, p.get("targetPort"), &at.child("targetPort"));
        let node_port = p.int_at(&["nodePort"]).unwrap_or(0);
        if node_port != 0 && !has_node_ports(kind) {
            let why = format!("may not be used when `type` is '{kind}'");
            errors.push(FieldError::forbidden(&at.child("nodePort"), why));
        }
        let protocol = p.str_at(&["protocol"]);
        if pairs.contains(&(number, protocol)) {
            let shown = format!("{{\"port\":{number},\"protocol\":{}}}", quoted(protocol));
            errors.push(FieldError::duplicate(&at, shown));
        }
        pairs.push((number, protocol));
        if node_port != 0 && nodes.contains(&(node_port, protocol)) {
            errors.push(FieldError::duplicate(&at.child("nodePort"), node_port.to_string()));
        }
        nodes.push((node_port, protocol));
    }
}

fn target_port(errors: &mut Errors, v: Option<&Value>, path: &Path) {
    match v {
        Some(Value::Int(n)) => {
            for why in name::port_number(*n) {
                errors.push(FieldError::invalid(path, n.to_string(), why));
            }
        }
        Some(Value::Str(s)) => each(errors, path, s, name::port_name(s)),
        _ => {}
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
    fn refuses() {
        let table: &[(&str, &[&str])] = &[
            ("{clusterIP: None}", &[]),
            ("{}", &["spec.ports: Required value"]),
            (
                "{ports: [{port: 0}, {name: a, port: 80, nodePort: 1}]}",
                &[
                    "spec.ports[0].name: Required value",
                    "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "spec.ports[1].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
                ],
            ),
            ("{type: ExternalName}", &["spec.externalName: Required value"]),
            (
                "{type: Magic, ports: [{port: 1}]}",
                &[
                    "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
                ],
            ),
        ];
        for (spec, want) in table {
            assert_eq!(texts(&ServiceStrategy.validate(&defaulted(spec))), *want, "{spec}");
        }
    }

    #[test]
    fn allocated_values_stay() {
        let old = defaulted(
            "{type: NodePort, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ports: [{port: 80, nodePort: 30080}]}",
        );
        let mut new = defaulted("{type: NodePort, ports: [{port: 80}]}");
        ServiceStrategy.prepare_for_update(&mut new, &old, Operation::Update, &Context::default());
        assert_eq!(new.str_at(&["spec", "clusterIP"]), "10.0.0.1");
        assert_eq!(new.list_at(&["spec", "ports"])[0].int_at(&["nodePort"]), Some(30080));
        assert_eq!(
            texts(&ServiceStrategy.validate_update(&new, &old, Operation::Update)),
            Vec::<String>::new()
        );
        new.set_at(&["spec", "clusterIP"], "10.0.0.2");
        new.set_at(&["spec", "clusterIPs"], vec![Value::from("10.0.0.2")]);
        assert_eq!(
            texts(&ServiceStrategy.validate_update(&new, &old, Operation::Update)),
            ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"]
        );
    }
}
