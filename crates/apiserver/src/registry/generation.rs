//! Which kinds count the changes of their spec in `metadata.generation`.
// k8s: PrepareForCreate and PrepareForUpdate of the strategies in pkg/registry

use meta::Gvr;

const COUNTED: &[(&str, &[&str])] = &[
    ("", &["pods", "podtemplates", "replicationcontrollers"]),
    ("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("batch", &["cronjobs", "jobs"]),
    ("policy", &["poddisruptionbudgets"]),
    ("networking.k8s.io", &["ingresses", "ingressclasses", "networkpolicies"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    ("flowcontrol.apiserver.k8s.io", &["flowschemas", "prioritylevelconfigurations"]),
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("resource.k8s.io", &["resourceslices"]),
];

/// Whether objects of the resource have a generation.
#[must_use]
pub fn is_counted(gvr: &Gvr) -> bool {
    COUNTED.iter().any(|(group, plurals)| *group == gvr.group && plurals.contains(&&*gvr.resource))
}
