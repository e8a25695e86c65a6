//! Pods and what they are answered with.

use schema::Value;

use super::*;
use crate::testing::yaml;

fn told(kind: &crate::Kind, new: &Value, old: Option<&Value>, operation: Operation) -> Vec<String> {
    (kind.warnings)(&Write { new, old, operation })
}

fn pod_told(spec: &str) -> Vec<String> {
    let pod = yaml(&format!("{{metadata: {{name: p}}, spec: {spec}}}"));
    told(&crate::core::pod::KIND, &pod, None, Operation::Create)
}

// k8s: pkg/api/pod/warnings_test.go
#[test]
fn pods_are_told_what_will_not_do_what_they_mean() {
    let table: &[(&str, &[&str])] = &[
        ("{containers: [{name: c, image: i}]}", &[]),
        (
            "{nodeSelector: {beta.kubernetes.io/arch: x}, topologySpreadConstraints: [{topologyKey: failure-domain.beta.kubernetes.io/zone}]}",
            &[
                "spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead",
                "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
                "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            ],
        ),
        (
            "{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a}, {key: beta.kubernetes.io/os, operator: In, values: ['-']}]}]}, preferredDuringSchedulingIgnoredDuringExecution: [{preference: {matchExpressions: [{key: a, values: ['-']}]}}]}, podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a}]}, podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{podAffinityTerm: {topologyKey: a}}]}}}",
            &[
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].key: beta.kubernetes.io/os is deprecated since v1.14; use \"kubernetes.io/os\" instead",
                "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[0]: - is invalid, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod",
                "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod",
            ],
        ),
        (
            "{volumes: [{name: a, gitRepo: {repository: r}}, {name: b, storageos: {}}, {name: c, ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 200m}}}}}, cephfs: {monitors: []}}]}",
            &[
                "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
                "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+",
                "spec.volumes[2].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value \"200m\" is invalid, must be an integer",
                "spec.volumes[2].cephfs: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            "{hostAliases: [{ip: 1.1.1.1}, {ip: 1.1.1.1}], imagePullSecrets: [{name: a}, {name: a}, {}], terminationGracePeriodSeconds: -1, dnsConfig: {nameservers: [1.2.3.4, '::F']}}",
            &[
                "spec.hostAliases[1].ip: duplicate ip \"1.1.1.1\"",
                "spec.imagePullSecrets[1].name: duplicate name \"a\"",
                "spec.imagePullSecrets[2].name: invalid empty name \"\"",
                "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
                "spec.dnsConfig.nameservers[1]: IPv6 address \"::F\" should be in RFC 5952 canonical format (\"::f\")",
            ],
        ),
        (
            "{overhead: {memory: '0.5'}, initContainers: [{name: i, resources: {limits: {memory: 1500m, cpu: 100m}}}], containers: [{name: c, resources: {requests: {memory: 1.5Gi, ephemeral-storage: 100m}}}]}",
            &[
                "spec.overhead[memory]: fractional byte value \"500m\" is invalid, must be an integer",
                "spec.initContainers[0].resources.limits[memory]: fractional byte value \"1500m\" is invalid, must be an integer",
                "spec.containers[0].resources.requests[ephemeral-storage]: fractional byte value \"100m\" is invalid, must be an integer",
            ],
        ),
        (
            "{containers: [{name: c, env: [{name: A, value: x}, {name: A, value: y}, {name: B, value: x}, {name: B, value: $(B)y}, {name: B, value: $(B)}, {name: A, valueFrom: {}}]}]}",
            &[
                "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
                "spec.containers[0].env[4]: hides previous definition of \"B\", which may be dropped when using apply",
                "spec.containers[0].env[5]: hides previous definition of \"A\", which may be dropped when using apply",
            ],
        ),
    ];
    for (spec, want) in table {
        assert_eq!(pod_told(spec), *want, "{spec}");
    }
}

#[test]
fn ports_that_lie_on_each_other_are_named() {
    let port = |c: &str| {
        format!(
            "{{containers: [{{name: c, ports: [{{containerPort: 80, protocol: TCP, name: a}}]}}, {{name: d, ports: [{c}]}}]}}"
        )
    };
    let at = "spec.containers[1].ports[0]";
    let other = "spec.containers[0].ports[0]";
    let table = [
        ("{containerPort: 81, protocol: TCP}", String::new()),
        ("{containerPort: 80, protocol: UDP}", String::new()),
        ("{containerPort: 80, protocol: TCP}", format!("{at}: duplicate port definition with {other}")),
        (
            "{containerPort: 80, protocol: TCP, hostPort: 8080}",
            format!("{at}: overlapping port definition with {other}"),
        ),
        (
            "{containerPort: 81, protocol: TCP, hostIP: 1.1.1.1, name: b}",
            format!(
                "{at}: hostIP set without hostPort: {{Name:b HostPort:0 ContainerPort:81 Protocol:TCP HostIP:1.1.1.1}}"
            ),
        ),
        (
            "{containerPort: 81, protocol: TCP, name: a}",
            format!(
                "{at}: duplicate port name \"a\" with {other}, services and probes that select ports by name will use {other}"
            ),
        ),
    ];
    for (second, want) in table {
        assert_eq!(pod_told(&port(second)).join("|"), want, "{second}");
    }
    let host = |ip: &str| format!("{{containerPort: 80, protocol: TCP, hostPort: 8080{ip}}}");
    let both = format!("{{containers: [{{ports: [{}, {}]}}]}}", host(""), host(", hostIP: 1.1.1.1"));
    let want =
        "spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]";
    assert_eq!(pod_told(&both), [want]);
}

#[test]
fn files_that_lie_on_each_other_are_named() {
    let volume = |v: &str| pod_told(&format!("{{volumes: [{{name: v, {v}}}]}}")).join("|");
    let table = [
        ("configMap: {name: m, items: [{key: a, path: a}, {key: b, path: ab}]}", ""),
        (
            "configMap: {name: m, items: [{key: a, path: a}, {key: b, path: a/b}]}",
            "volume \"v\" (ConfigMap \"m\"): overlapping paths: \"a/b\" with \"a\"",
        ),
        (
            "secret: {secretName: s, items: [{key: a, path: a/}, {key: b, path: a}]}",
            "volume \"v\" (Secret \"s\"): overlapping paths: \"a\" with \"a\"",
        ),
        (
            "downwardAPI: {items: [{path: a}, {path: a}]}",
            "volume \"v\" (DownwardAPI): overlapping paths: \"a\" with \"a\"",
        ),
        (
            "projected: {sources: [{configMap: {name: m, items: [{key: k, path: token}]}}, {serviceAccountToken: {path: token}}, {}]}",
            "volume \"v\" (Projected): overlapping paths: \"token\" (ServiceAccountToken) with \"token\" (ConfigMap \"m\")|volume \"v\" (Projected) has no sources provided",
        ),
        (
            "projected: {sources: [{clusterTrustBundle: {name: b, path: x}}, {podCertificate: {keyPath: x}}]}",
            "volume \"v\" (Projected): overlapping paths: \"x\" (PodCertificate key) with \"x\" (ClusterTrustBundle \"b\")",
        ),
    ];
    for (v, want) in table {
        assert_eq!(volume(v), want, "{v}");
    }
}

#[test]
fn profiles_belong_into_fields() {
    let object = |annotations: &str, security: &str| {
        yaml(&format!(
            "{{metadata: {{name: p, annotations: {{{annotations}}}}}, spec: {{{security} containers: [{{name: c}}]}}}}"
        ))
    };
    let seccomp = "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the \"seccompProfile\" field instead";
    let armor = "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the \"appArmorProfile\" field instead";
    let table: &[(&str, &str, &[&str])] = &[
        ("container.seccomp.security.alpha.kubernetes.io/c: x", "", &[seccomp]),
        ("container.seccomp.security.alpha.kubernetes.io/other: x", "", &[]),
        ("container.apparmor.security.beta.kubernetes.io/c: runtime/default", "", &[armor]),
        (
            "container.apparmor.security.beta.kubernetes.io/c: localhost/f",
            "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: f}},",
            &[],
        ),
        (
            "container.apparmor.security.beta.kubernetes.io/c: unconfined",
            "securityContext: {appArmorProfile: {type: RuntimeDefault}},",
            &[armor],
        ),
        (
            "scheduler.alpha.kubernetes.io/critical-pod: ''",
            "",
            &[
                "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the \"priorityClassName\" field instead",
            ],
        ),
    ];
    for (annotations, security, want) in table {
        let mut pod = object(annotations, security);
        let kind = &crate::core::pod::KIND;
        let mut said = kind.strategy().carry_over(&mut pod);
        said.extend(told(kind, &pod, None, Operation::Create));
        assert_eq!(said, *want, "{annotations}");
    }
}

#[test]
fn a_profile_of_an_annotation_becomes_a_field() {
    let cases = [
        ("localhost/f", Some("{type: Localhost, localhostProfile: f}")),
        ("runtime/default", Some("{type: RuntimeDefault}")),
        ("unconfined", Some("{type: Unconfined}")),
        ("localhost/", None),
        ("'localhost/ f'", None),
        ("else", None),
    ];
    for (annotation, want) in cases {
        let pod = |os: &str| {
            yaml(&format!(
                "{{metadata: {{name: p, annotations: {{container.apparmor.security.beta.kubernetes.io/c: {annotation}}}}}, \
                 spec: {{{os} initContainers: [{{name: i}}], containers: [{{name: c}}]}}}}"
            ))
        };
        let mut linux = pod("");
        assert_eq!(crate::core::pod_spec::app_armor::carry_over(&mut linux).len(), 1, "{annotation}");
        let field = &linux.list_at(&["spec", "containers"])[0];
        assert_eq!(
            field.at(&["securityContext", "appArmorProfile"]),
            want.map(yaml).as_ref(),
            "{annotation}"
        );
        let mut windows = pod("os: {name: windows},");
        assert!(crate::core::pod_spec::app_armor::carry_over(&mut windows).is_empty());
        assert_eq!(windows, pod("os: {name: windows},"));
    }
}

#[test]
fn very_many_ports_and_paths_are_not_compared_without_end() {
    let ports = ["{containerPort: 80, protocol: TCP}"; 20_000].join(", ");
    let paths: Vec<String> = (0..20_000).map(|i| format!("{{key: k, path: p{i}}}")).collect();
    let pod = yaml(&format!(
        "{{metadata: {{name: p}}, spec: {{containers: [{{name: c, ports: [{ports}]}}], \
         volumes: [{{name: v, configMap: {{name: m, items: [{}]}}}}]}}}}",
        paths.join(", ")
    ));
    assert_eq!(told(&crate::core::pod::KIND, &pod, None, Operation::Create).len(), 100);
}

#[test]
fn templates_are_answered_where_they_stand_and_only_when_they_change() {
    let bad = "{spec: {nodeSelector: {app.kubernetes.io/created-by: x}}}";
    let why =
        |path: &str| format!("{path}.spec.nodeSelector[app.kubernetes.io/created-by]: deprecated since v1.9");
    let kinds: [(&crate::Kind, &str, String); 7] = [
        (&crate::apps::deployment::KIND, "spec.template", format!("{{spec: {{template: {bad}}}}}")),
        (&crate::apps::replica_set::KIND, "spec.template", format!("{{spec: {{template: {bad}}}}}")),
        (&crate::apps::stateful_set::KIND, "spec.template", format!("{{spec: {{template: {bad}}}}}")),
        (&crate::apps::daemon_set::KIND, "spec.template", format!("{{spec: {{template: {bad}}}}}")),
        (&crate::batch::job::KIND, "spec.template", format!("{{spec: {{template: {bad}}}}}")),
        (
            &crate::batch::cron_job::KIND,
            "spec.jobTemplate.spec.template",
            format!("{{spec: {{jobTemplate: {{spec: {{template: {bad}}}}}}}}}"),
        ),
        (&crate::core::pod_template::KIND, "template", format!("{{template: {bad}}}")),
    ];
    for (kind, path, text) in kinds {
        let mut new = yaml(&text);
        new.set_at(&["metadata", "name"], "a");
        let mut other = new.clone();
        other.remove_at(&["spec"]);
        other.remove_at(&["template"]);
        let name = &kind.kind;
        assert_eq!(told(kind, &new, None, Operation::Create), [why(path)], "{name}");
        assert_eq!(told(kind, &new, Some(&other), Operation::Update), [why(path)], "{name}");
        assert_eq!(told(kind, &new, Some(&new), Operation::Update), [""; 0], "{name}");
        assert_eq!(told(kind, &new, Some(&other), Operation::UpdateStatus), [""; 0], "{name}");
    }
}

#[test]
fn a_name_that_is_no_label_is_named_at_the_create() {
    let new = yaml("{metadata: {name: a.b}, spec: {}}");
    for kind in [&crate::core::pod::KIND, &crate::apps::deployment::KIND, &crate::batch::job::KIND] {
        let all = told(kind, &new, None, Operation::Create);
        assert!(
            all.len() == 1 && all[0].contains("a DNS label is recommended: [must not contain dots]"),
            "{all:?}"
        );
        assert_eq!(told(kind, &new, Some(&new), Operation::Update), [""; 0]);
    }
}
