//! What a pod can ask for that not every node can give. Each ask that this node cannot meet is refused, in upstream's
//! words and at upstream's step; nothing of it may be left out silently. Pure.

use std::collections::BTreeMap;

use cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use crate::spec::container::{apparmor_profile, is_wholly_read_only};
use crate::spec::{PodExt, resources};
use crate::worker::task::Why;

/// What the node's runtime and kernel can do beyond running containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// By the handlers' names; the default one's is empty.
    handlers: BTreeMap<String, v1::RuntimeHandlerFeatures>,
    pub supplemental_groups_policy: bool,
    /// AppArmor profiles are enforced, by the kernel and through the runtime.
    pub apparmor: bool,
}

impl Abilities {
    /// As the runtime tells them. `apparmor`: the kernel has it.
    pub fn of(status: &v1::StatusResponse, apparmor: bool) -> Self {
        let handlers = status.runtime_handlers.iter();
        Abilities {
            handlers: handlers.map(|h| (h.name.clone(), h.features.unwrap_or_default())).collect(),
            supplemental_groups_policy: status.features.is_some_and(|f| f.supplemental_groups_policy),
            apparmor: apparmor && !cri::facts::of_runtime(status).apparmor_disabled,
        }
    }

    /// Whether read-only mounts can be so with all that is mounted below them.
    pub fn recursive_read_only(&self, handler: &str) -> bool {
        self.handlers.get(handler).is_some_and(|f| f.recursive_read_only_mounts)
    }

    /// `runtimeHandlers` of the Node's status. User namespaces are not offered: this agent maps no ids.
    pub fn handlers(&self) -> Value {
        let one = |(name, f): (&String, &v1::RuntimeHandlerFeatures)| {
            json!({"name": name, "features": {
                "recursiveReadOnlyMounts": f.recursive_read_only_mounts, "userNamespaces": false}})
        };
        self.handlers.iter().map(one).collect()
    }
}

/// The step at which an ask is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The pod fails.
    Admission,
    /// There is no sandbox until the node can.
    Sandbox,
    /// The container waits with `CreateContainerConfigError`.
    Container,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub pod: &'a Pod,
    /// The container, at its step.
    pub container: Option<&'a Container>,
    /// The runtime handler of the pod's RuntimeClass.
    pub handler: &'a str,
    pub node: &'a Abilities,
}

struct Ask {
    step: Step,
    /// Of the failed pod, the event or the waiting container.
    reason: &'static str,
    /// Why it cannot be met; `None` where it is not asked, or can.
    unmet: fn(Asker<'_>) -> Option<String>,
}

/// All of them, in upstream's order of looking.
const ASKS: [Ask; 9] = [
    Ask { step: Step::Admission, reason: "AppArmor", unmet: apparmor },
    Ask { step: Step::Admission, reason: "PodOSSelectorNodeLabelDoesNotMatch", unmet: os_label },
    Ask { step: Step::Admission, reason: "PodOSNotSupported", unmet: os },
    Ask { step: Step::Admission, reason: "SupplementalGroupsPolicyNotSupported", unmet: groups_policy },
    Ask { step: Step::Sandbox, reason: "FailedPrepareDynamicResources", unmet: claims },
    Ask { step: Step::Sandbox, reason: "FailedCreatePodSandBox", unmet: user_namespace },
    // A pod that was not admitted by this agent, and containers that came later.
    Ask { step: Step::Container, reason: "CreateContainerConfigError", unmet: apparmor },
    Ask { step: Step::Container, reason: "CreateContainerConfigError", unmet: recursive_read_only },
    Ask { step: Step::Container, reason: "CreateContainerConfigError", unmet: devices },
];

/// The first ask of that step that this node cannot meet: the reason's word and the message.
pub(crate) fn unmet(step: Step, asker: Asker<'_>) -> Option<(&'static str, String)> {
    let mut asks = ASKS.iter().filter(|a| a.step == step);
    asks.find_map(|a| Some((a.reason, (a.unmet)(asker)?)))
}

/// The same for admission, as the pod's failure.
pub(super) fn refused(asker: Asker<'_>) -> Option<Why> {
    unmet(Step::Admission, asker).map(|(reason, message)| super::rejected(reason, message))
}

// k8s: pkg/security/apparmor/validate.go
fn apparmor(a: Asker<'_>) -> Option<String> {
    let wanted = |c: &Container| apparmor_profile(a.pod, c).is_some_and(|p| p.type_ != "Unconfined");
    let any = match a.container {
        Some(c) => wanted(c),
        None => resources::all_containers(a.pod.sp()).any(wanted) || a.pod.ephemeral().iter().any(wanted),
    };
    (any && !a.node.apparmor)
        .then(|| "Cannot enforce AppArmor: AppArmor is not enabled on the host".to_owned())
}

// k8s: pkg/kubelet/lifecycle/predicate.go rejectPodAdmissionBasedOnOSSelector
fn os_label(a: Asker<'_>) -> Option<String> {
    let label = a.pod.metadata.labels.as_ref()?.get("kubernetes.io/os")?;
    (label != "linux")
        .then(|| "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label".to_owned())
}

fn os(a: Asker<'_>) -> Option<String> {
    let os = a.pod.sp().os.as_ref()?;
    (os.name != "linux").then(|| "Failed to admit pod as the OS field doesn't match node OS".to_owned())
}

fn groups_policy(a: Asker<'_>) -> Option<String> {
    let strict =
        a.pod.sp().security_context.as_ref()?.supplemental_groups_policy.as_deref() == Some("Strict");
    (strict && !a.node.supplemental_groups_policy)
        .then(|| "SupplementalGroupsPolicy=Strict is not supported in this node".to_owned())
}

// k8s: pkg/kubelet/kuberuntime/kuberuntime_manager.go SyncPod (PrepareDynamicResources)
fn claims(a: Asker<'_>) -> Option<String> {
    let any = a.pod.sp().resource_claims.as_ref().is_some_and(|c| !c.is_empty());
    any.then(|| {
        "Failed to prepare dynamic resources: no DRA driver is registered with this kubelet".to_owned()
    })
}

// k8s: pkg/kubelet/userns/userns_manager.go GetOrCreateUserNamespaceMappings
fn user_namespace(a: Asker<'_>) -> Option<String> {
    if a.pod.sp().host_users != Some(false) {
        return None;
    }
    let offered = a.node.handlers.get(a.handler).is_some_and(|f| f.user_namespaces);
    let why = match (offered, a.handler) {
        (true, _) => "this kubelet does not map user ids".to_owned(),
        (false, "") => "runtime does not support user namespaces".to_owned(),
        (false, handler) => format!("RuntimeClass handler \"{handler}\" does not support user namespaces"),
    };
    Some(format!("Failed to create pod sandbox: can't set `spec.hostUsers: false`, {why}"))
}

fn recursive_read_only(a: Asker<'_>) -> Option<String> {
    let mounts = a.container?.volume_mounts.as_ref()?;
    let supported = a.node.recursive_read_only(a.handler);
    let problem = mounts.iter().find_map(|m| is_wholly_read_only(m, supported).err())?;
    Some(format!("failed to resolve recursive read-only mode: {problem}"))
}

/// Raw block devices come with claims, which this node cannot mount either.
fn devices(a: Asker<'_>) -> Option<String> {
    let first = a.container?.volume_devices.as_ref()?.first()?;
    Some(format!("cannot find volume \"{}\" to pass into container \"{}\"", first.name, a.container?.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        spec["containers"] = match spec.get_mut("c") {
            Some(c) => json!([c.take()]),
            None => json!([{"name": "c"}]),
        };
        serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec})).unwrap()
    }

    fn old_runtime() -> Abilities {
        Abilities::of(&v1::StatusResponse::default(), false)
    }

    fn new_runtime() -> Abilities {
        let features = v1::RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: true };
        let handler = v1::RuntimeHandler { name: String::new(), features: Some(features) };
        let status = v1::StatusResponse {
            runtime_handlers: vec![handler],
            features: Some(v1::RuntimeFeatures { supplemental_groups_policy: true, ..Default::default() }),
            ..Default::default()
        };
        Abilities::of(&status, true)
    }

    /// What a runtime of old and one that can more answer to each ask.
    #[test]
    #[allow(clippy::too_many_lines, reason = "one table, a row an ask")]
    fn what_cannot_be_met_is_refused_with_upstreams_reason() {
        let mount = |mode: &str, read_only: bool| {
            json!({"c": {"name": "c", "volumeMounts": [
                {"name": "v", "mountPath": "/v", "readOnly": read_only, "recursiveReadOnly": mode}]}})
        };
        let userns = "Failed to create pod sandbox: can't set `spec.hostUsers: false`, ";
        let rro = "failed to resolve recursive read-only mode: volume \"v\" requested recursive read-only mode, but it is ";
        let cases = [
            (json!({}), Step::Admission, "", ""),
            (
                json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}),
                Step::Admission,
                "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host",
                "",
            ),
            (
                json!({"c": {"name": "c", "securityContext": {"appArmorProfile":
                    {"type": "Localhost", "localhostProfile": "mine"}}}}),
                Step::Admission,
                "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host",
                "",
            ),
            (
                json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
                Step::Admission,
                "",
                "",
            ),
            (
                json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}),
                Step::Container,
                "CreateContainerConfigError: Cannot enforce AppArmor: AppArmor is not enabled on the host",
                "",
            ),
            (
                json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}},
                    "c": {"name": "c", "securityContext": {"appArmorProfile": {"type": "Unconfined"}}}}),
                Step::Container,
                "",
                "",
            ),
            (
                json!({"os": {"name": "windows"}}),
                Step::Admission,
                "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS",
                "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS",
            ),
            (
                json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}}),
                Step::Admission,
                "SupplementalGroupsPolicyNotSupported: SupplementalGroupsPolicy=Strict is not supported in this node",
                "",
            ),
            (json!({"securityContext": {"supplementalGroupsPolicy": "Merge"}}), Step::Admission, "", ""),
            (json!({"hostUsers": true}), Step::Sandbox, "", ""),
            (
                json!({"hostUsers": false,
                    "c": {"name": "c", "securityContext": {"procMount": "Unmasked"}}}),
                Step::Sandbox,
                &format!("FailedCreatePodSandBox: {userns}runtime does not support user namespaces"),
                &format!("FailedCreatePodSandBox: {userns}this kubelet does not map user ids"),
            ),
            (
                json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "x"}]}),
                Step::Sandbox,
                "FailedPrepareDynamicResources: Failed to prepare dynamic resources: no DRA driver is registered with this kubelet",
                "FailedPrepareDynamicResources: Failed to prepare dynamic resources: no DRA driver is registered with this kubelet",
            ),
            (
                mount("Enabled", true),
                Step::Container,
                &format!("CreateContainerConfigError: {rro}not supported by the runtime"),
                "",
            ),
            (mount("IfPossible", true), Step::Container, "", ""),
            (mount("Disabled", true), Step::Container, "", ""),
            (
                mount("Enabled", false),
                Step::Container,
                &format!("CreateContainerConfigError: {rro}not read-only"),
                &format!("CreateContainerConfigError: {rro}not read-only"),
            ),
            (
                json!({"c": {"name": "c", "volumeDevices": [{"name": "d", "devicePath": "/d"}]}}),
                Step::Container,
                "CreateContainerConfigError: cannot find volume \"d\" to pass into container \"c\"",
                "CreateContainerConfigError: cannot find volume \"d\" to pass into container \"c\"",
            ),
        ];
        for (spec, step, old, new) in &cases {
            let pod = pod(spec.clone());
            for (node, want) in [(old_runtime(), old), (new_runtime(), new)] {
                let container = (*step == Step::Container).then(|| &pod.sp().containers[0]);
                let asker = Asker { pod: &pod, container, handler: "", node: &node };
                let got = unmet(*step, asker).map(|(r, m)| format!("{r}: {m}")).unwrap_or_default();
                assert_eq!(got, **want, "{spec}");
            }
        }
    }

    #[test]
    fn the_handler_of_a_runtime_class_is_named() {
        let pod = pod(json!({"hostUsers": false}));
        let node = new_runtime();
        let asker = Asker { pod: &pod, container: None, handler: "kata", node: &node };
        let (_, message) = unmet(Step::Sandbox, asker).unwrap();
        assert!(
            message.ends_with("RuntimeClass handler \"kata\" does not support user namespaces"),
            "{message}"
        );
    }
}
