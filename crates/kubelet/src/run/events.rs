//! Events about pods and the node.

use control::{Context, Recorder};
use k8s_openapi::api::core::v1::Pod;
use reconcile::{EventRecord, EventType, ObjectReference};

use crate::spec::PodExt;

/// Records events in the name of the node agent.
pub(crate) struct Events {
    recorder: Recorder,
    node: String,
}

impl Events {
    pub fn new(ctx: &Context, node: &str) -> Self {
        Events { recorder: Recorder::new(ctx, node), node: node.to_owned() }
    }

    /// About a pod or one of its containers.
    pub fn pod(
        &self,
        pod: &Pod,
        warning: bool,
        reason: &'static str,
        message: String,
        container: Option<&str>,
    ) {
        let field_path = container.map(|name| {
            let spec = pod.sp();
            let list = if spec.init_containers.iter().flatten().any(|c| c.name == name) {
                "initContainers"
            } else if spec.ephemeral_containers.iter().flatten().any(|c| c.name == name) {
                "ephemeralContainers"
            } else {
                "containers"
            };
            format!("spec.{list}{{{name}}}")
        });
        let regarding = ObjectReference {
            kind: "Pod".to_owned(),
            namespace: pod.ns().to_owned(),
            name: pod.nm().to_owned(),
            uid: pod.uid().to_owned(),
            api_version: "v1".to_owned(),
            resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
            field_path: field_path.unwrap_or_default(),
        };
        self.write(regarding, warning, reason, message);
    }

    /// About the node.
    pub fn node(&self, warning: bool, reason: &'static str, message: String) {
        let regarding = ObjectReference {
            kind: "Node".to_owned(),
            name: self.node.clone(),
            uid: self.node.clone(),
            ..ObjectReference::default()
        };
        self.write(regarding, warning, reason, message);
    }

    fn write(&self, regarding: ObjectReference, warning: bool, reason: &'static str, message: String) {
        let kind = if warning { EventType::Warning } else { EventType::Normal };
        self.recorder.record("kubelet", EventRecord { regarding, kind, reason, message });
    }
}
