//! Registry credentials out of a pod's pull secrets.

use std::time::Duration;

use cri::v1::AuthConfig;
use k8s_openapi::api::core::v1::Pod;

use super::Shared;
use crate::spec::{PodExt, image};

/// Credentials that fit the image, best first. Secrets that are missing are left out.
pub(super) async fn for_image(shared: &Shared, pod: &Pod, name: &str) -> Vec<AuthConfig> {
    let mut secrets = Vec::new();
    for r in pod.sp().image_pull_secrets.iter().flatten() {
        match shared.objects.secret(pod.ns(), &r.name, Duration::from_secs(10)).await {
            Ok(Some(s)) => secrets.push(s),
            Ok(None) => {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    r.name
                );
                shared.events.pod(pod, true, "FailedToRetrieveImagePullSecret", message, None);
            }
            Err(e) => tracing::debug!(pod = %pod.text(), "pull secret {}: {e}", r.name),
        }
    }
    image::credentials(name, &secrets)
}
