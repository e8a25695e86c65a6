//! Pods that upstream refuses, with its words: each row is a spec and everything that is said of it.
// k8s: pkg/apis/core/validation/validation_test.go

use schema::Value;

use crate::testing::{texts, yaml};
use crate::{Operation, Strategy};

fn pod(spec: &str) -> Value {
    let mut o = yaml(&format!("metadata: {{name: p, namespace: n}}\nspec: {spec}"));
    crate::core::pod::PodStrategy.default_fields(&mut o);
    o
}

fn check(rows: &[(&str, &[&str])]) {
    for (spec, want) in rows {
        let o = pod(spec);
        assert_eq!(texts(&crate::core::pod::PodStrategy.validate(&o)), *want, "{spec}");
    }
}

/// A pod of one container with more fields.
fn with(fields: &str) -> String {
    format!("{{containers: [{{name: c, image: i, {fields}}}]}}")
}

fn check_container(rows: &[(&str, &[&str])]) {
    for (fields, want) in rows {
        check(&[(&with(fields), want)]);
    }
}

/// A pod of one plain container and more fields of the spec.
fn check_spec(rows: &[(&str, &[&str])]) {
    for (fields, want) in rows {
        check(&[(&format!("{{containers: [{{name: c, image: i}}], {fields}}}"), want)]);
    }
}

#[test]
fn environment() {
    check_container(&[
        (
            "env: [{name: A, valueFrom: {configMapKeyRef: {name: cm, key: a/b}}}]",
            &[
                "spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            ],
        ),
        (
            "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}]",
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ],
        ),
        (
            "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 3m}}}]",
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
            ],
        ),
        (
            "envFrom: [{}]",
            &[
                "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
            ],
        ),
        (
            "env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            ],
        ),
    ]);
}

#[test]
fn mounts_and_devices() {
    let spec = |more: &str| {
        format!(
            "{{volumes: [{{name: v, emptyDir: {{}}}}, {{name: p, persistentVolumeClaim: {{claimName: c}}}}], containers: [{{name: c, image: i, {more}}}]}}"
        )
    };
    let rows: &[(&str, &[&str])] = &[
        (
            "volumeMounts: [{name: v, mountPath: /a, subPath: a/b}], volumeDevices: [{name: p, devicePath: /d}]",
            &[],
        ),
        (
            "volumeMounts: [{name: v, mountPath: /a, subPath: ../b}, {name: x, mountPath: /a, subPath: /c}]",
            &[
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"../b\": must not contain '..'",
                "spec.containers[0].volumeMounts[1].name: Not found: \"x\"",
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"/c\": must be a relative path",
            ],
        ),
        (
            "volumeMounts: [{name: v, mountPath: /a, subPath: a, subPathExpr: b, mountPropagation: Bidirectional, recursiveReadOnly: Enabled}]",
            &[
                "spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: \"b\": subPathExpr and subPath are mutually exclusive",
                "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified",
            ],
        ),
        (
            "volumeDevices: [{name: v, devicePath: /d/../e}, {name: p, devicePath: /d}, {name: p, devicePath: /d}]",
            &[
                "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                "spec.containers[0].volumeDevices[0].devicePath: Invalid value: \"/d/../e\": can not contain backsteps ('..')",
                "spec.containers[0].volumeDevices[2].name: Invalid value: \"p\": must be unique",
                "spec.containers[0].volumeDevices[2].devicePath: Invalid value: \"/d\": must be unique",
            ],
        ),
    ];
    for (more, want) in rows {
        check(&[(&spec(more), want)]);
    }
}

#[test]
fn volumes() {
    check_spec(&[
        (
            "volumes: [{name: v, projected: {sources: [{secret: {name: s, items: [{key: a, path: p}]}}, {configMap: {name: c, items: [{key: a, path: p}]}, secret: {name: s}}]}}]",
            &[
                "spec.volumes[0].projected: Invalid value: \"c\": conflicting duplicate paths",
                "spec.volumes[0].projected.sources[1]: Forbidden: may not specify more than 1 volume type per source",
            ],
        ),
        (
            "volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: 'a.b:c', path: p}}, {clusterTrustBundle: {name: 'a:', path: q}}, {clusterTrustBundle: {signerName: x, path: p}}]}}]",
            &[
                "spec.volumes[0].projected.sources[1].clusterTrustBundlePEM.name: Invalid value: \"a:\": not a valid clustertrustbundlename: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "spec.volumes[0].projected.sources[2].clusterTrustBundlePEM.signerName: Invalid value: \"x\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
                "spec.volumes[0].projected: Invalid value: \"p\": conflicting duplicate paths",
            ],
        ),
        (
            "volumes: [{name: v, projected: {sources: [{podCertificate: {signerName: a.b/c, keyType: ED25519, maxExpirationSeconds: 3600, keyPath: k, certificateChainPath: l}}, {podCertificate: {signerName: a.b/c, keyType: DSA, maxExpirationSeconds: 3599, userAnnotations: {x: y}}}, {podCertificate: {signerName: kubernetes.io/c, keyType: RSA4096, maxExpirationSeconds: 86401, credentialBundlePath: ../k, keyPath: k}}]}}]",
            &[
                "spec.volumes[0].projected.sources[1].podCertificate.keyType: Unsupported value: \"DSA\": supported values: \"RSA3072\", \"RSA4096\", \"ECDSAP256\", \"ECDSAP384\", \"ECDSAP521\", \"ED25519\"",
                "spec.volumes[0].projected.sources[1].podCertificate.maxExpirationSeconds: Invalid value: 3599: if provided, maxExpirationSeconds must be >= 3600",
                "spec.volumes[0].projected.sources[1].podCertificate: Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath",
                "spec.volumes[0].projected.sources[1].podCertificate.userAnnotations: Invalid value: \"x\": must be a domain-prefixed key (such as \"acme.io/foo\")",
                "spec.volumes[0].projected.sources[2].podCertificate.maxExpirationSeconds: Invalid value: 86401: if provided, maxExpirationSeconds must be <= 86400",
                "spec.volumes[0].projected.sources[2].podCertificate.credentialBundlePath: Invalid value: \"../k\": must not contain '..'",
                "spec.volumes[0].projected: Invalid value: \"k\": conflicting duplicate paths",
            ],
        ),
        (
            "volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 5}}]}}]",
            &[
                "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
                "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
            ],
        ),
        (
            "volumes: [{name: v, downwardAPI: {items: [{path: /a}, {path: b, fieldRef: {fieldPath: spec.nodeName}}]}}]",
            &[
                "spec.volumes[0].downwardAPI.path: Invalid value: \"/a\": must be a relative path",
                "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
                "spec.volumes[0].downwardAPI.fieldRef.fieldPath: Unsupported value: \"spec.nodeName\": supported values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"",
            ],
        ),
        (
            "volumes: [{name: v, hostPath: {path: /a/../b, type: Odd}}, {name: w, nfs: {server: s, path: a}}, {name: x, csi: {driver: A_}}]",
            &[
                "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                "spec.volumes[0].hostPath.type: Unsupported value: \"Odd\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
                "spec.volumes[1].nfs.path: Invalid value: \"a\": must be an absolute path",
                "spec.volumes[2].csi.driver: Invalid value: \"A_\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
        (
            "volumes: [{name: e, ephemeral: {volumeClaimTemplate: {spec: {}}}}, {name: c, persistentVolumeClaim: {claimName: p-e}}]",
            &[
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
                "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"p-e\": must not reference a PVC that gets created for an ephemeral volume",
            ],
        ),
    ]);
}

#[test]
fn probes_and_hooks() {
    check_container(&[
        ("lifecycle: {preStop: {sleep: {seconds: 0}}}", &[]),
        (
            "lifecycle: {preStop: {sleep: {seconds: 31}}, postStart: {exec: {command: []}, tcpSocket: {port: 1}}}",
            &[
                "spec.containers[0].lifecycle.postStart.exec.command: Required value",
                "spec.containers[0].lifecycle.postStart.tcpSocket: Forbidden: may not specify more than 1 handler type",
                "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
            ],
        ),
        (
            "livenessProbe: {httpGet: {port: 0, scheme: X, httpHeaders: [{name: 'a b', value: v}]}, successThreshold: 2}, readinessProbe: {grpc: {port: 70000}, terminationGracePeriodSeconds: 1}",
            &[
                "spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.containers[0].livenessProbe.httpGet.scheme: Unsupported value: \"X\": supported values: \"HTTP\", \"HTTPS\"",
                "spec.containers[0].livenessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
                "spec.containers[0].readinessProbe.grpc.port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes",
            ],
        ),
    ]);
}

#[test]
fn resources() {
    check_container(&[
        ("resources: {limits: {a.b/c: 1, hugepages-2Mi: 4Mi, cpu: 1}}", &[]),
        (
            "resources: {limits: {pods: 1, foo: 1, a.b/c: 500m}}",
            &[
                "spec.containers[0].resources.limits[a.b/c]: Invalid value: \"500m\": must be an integer",
                "spec.containers[0].resources.limits[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.limits[foo]: Invalid value: \"foo\": must be a standard resource for containers",
                "spec.containers[0].resources.limits[pods]: Invalid value: \"pods\": must be a standard resource for containers",
                "spec.containers[0].resources.requests[a.b/c]: Invalid value: \"500m\": must be an integer",
                "spec.containers[0].resources.requests[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.requests[foo]: Invalid value: \"foo\": must be a standard resource for containers",
                "spec.containers[0].resources.requests[pods]: Invalid value: \"pods\": must be a standard resource for containers",
            ],
        ),
        (
            "resources: {limits: {hugepages-2Mi: 3Mi}, requests: {hugepages-2Mi: 3Mi}}",
            &[
                "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
            ],
        ),
        (
            "resources: {claims: [{name: x}]}",
            &[
                "spec.containers[0].resources.claims[0]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims which is empty",
            ],
        ),
        (
            "resizePolicy: [{resourceName: cpu, restartPolicy: Maybe}, {resourceName: cpu, restartPolicy: NotRequired}]",
            &[
                "spec.containers[0].resizePolicy: Unsupported value: \"Maybe\": supported values: \"NotRequired\", \"RestartContainer\"",
                "spec.containers[0].resizePolicy[1]: Duplicate value: \"cpu\"",
            ],
        ),
    ]);
}

#[test]
fn of_the_whole_pod() {
    check_spec(&[
        ("imagePullSecrets: [{}], dnsConfig: {searches: [_a.b_c, '.', a.]}", &[]),
        (
            "hostNetwork: true, initContainers: [{name: c, image: i, livenessProbe: {}}]",
            &[
                "spec.initContainers[0].name: Duplicate value: \"c\"",
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        ),
        (
            "dnsPolicy: Odd, dnsConfig: {options: [{}], nameservers: [x]}",
            &[
                "spec.dnsPolicy: Unsupported value: \"Odd\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
                "spec.dnsConfig.nameservers[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "spec.dnsConfig.options[0]: Required value: must not be empty",
            ],
        ),
        (
            "preemptionPolicy: Always, hostUsers: false, hostPID: true",
            &[
                "spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false",
                "spec.preemptionPolicy: Unsupported value: \"Always\": supported values: \"PreemptLowerPriority\", \"Never\"",
            ],
        ),
        (
            "securityContext: {sysctls: [{name: net.a, value: x}, {name: net.a, value: x}], supplementalGroupsPolicy: X, appArmorProfile: {type: Localhost}, seccompProfile: {type: Unconfined, localhostProfile: p}}",
            &[
                "spec.securityContext.sysctls[1].name: Duplicate value: \"net.a\"",
                "spec.securityContext.seccompProfile.localhostProfile: Invalid value: {\"localhostProfile\":\"p\",\"type\":\"Unconfined\"}: can only be set when seccomp type is Localhost",
                "spec.securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost",
                "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"X\": supported values: \"Merge\", \"Strict\"",
            ],
        ),
        (
            "topologySpreadConstraints: [{maxSkew: 0, topologyKey: a, whenUnsatisfiable: DoNotSchedule, matchLabelKeys: [k]}, {maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: X}]",
            &[
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{a, DoNotSchedule}\"",
                "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
                "spec.topologySpreadConstraints[1].nodeTaintsPolicy: Unsupported value: \"X\": supported values: \"Honor\", \"Ignore\"",
            ],
        ),
        (
            "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: ['-']}]}]}}}",
            &[
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ],
        ),
        (
            "os: {name: windows}, securityContext: {runAsUser: 1}, hostPID: true",
            &[
                "spec.hostPID: Forbidden: cannot be set for a windows pod",
                "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
            ],
        ),
    ]);
    check(&[(
        "{hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 81}]}]}",
        &[
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
        ],
    )]);
}

#[test]
fn restart_rules() {
    check_container(&[
        (
            "restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]",
            &[],
        ),
        (
            "restartPolicyRules: [{action: Wait}]",
            &[
                "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
                "spec.containers[0].restartPolicyRules[0].action: Unsupported value: \"Wait\": supported values: \"Restart\", \"RestartAllContainers\"",
                "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified",
            ],
        ),
    ]);
}

#[test]
fn gated_pods_take_more_to_look_for() {
    let old = pod(
        "{schedulingGates: [{name: g}], containers: [{name: c, image: i}], nodeSelector: {a: b}, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}}",
    );
    let strategy = crate::core::pod::PodStrategy;
    let mut new = old.clone();
    new.set_at(&["spec", "nodeSelector", "c"], "d");
    let none = Vec::<String>::new();
    assert_eq!(texts(&strategy.validate_update(&new, &old, Operation::Update)), none);
    new.set_at(&["spec", "nodeSelector", "a"], "x");
    new.remove_at(&["spec", "affinity"]);
    assert_eq!(
        texts(&strategy.validate_update(&new, &old, Operation::Update)),
        [
            "spec.nodeSelector: Invalid value: {\"a\":\"x\",\"c\":\"d\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Invalid value: null: no additions/deletions to non-empty NodeSelectorTerms list are allowed",
        ]
    );
}
