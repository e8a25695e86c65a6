//! Making images present, by policy.
// k8s: pkg/kubelet/images/image_manager.go EnsureImageExists

use cri::v1;
use k8s_openapi::api::core::v1::Pod;

use super::{Shared, credentials};
use crate::spec::image::{self, Policy};
use crate::spec::{PodExt, image::parse};
use crate::worker::task::{Image, Why};

/// The container's image, present; or why not.
pub(super) async fn ensure(shared: &Shared, pod: &Pod, name: &str) -> Result<Image, Why> {
    let Some(spec) = pod.container(name) else {
        return Err(Why::new("InvalidImageName", format!("container {name} is not in the pod's spec")));
    };
    let image = spec.image.clone().unwrap_or_default();
    let event = |warning: bool, reason: &'static str, message: String| {
        shared.events.pod(pod, warning, reason, message, Some(name));
    };
    let Some(reference) = parse(&image) else {
        let message = format!(
            "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format"
        );
        event(true, "InspectFailed", message.clone());
        return Err(Why::new("InvalidImageName", message));
    };
    let full = match (&reference.tag, &reference.digest) {
        (None, None) => format!("{image}:latest"),
        _ => image.clone(),
    };
    let policy = image::policy(&spec);
    if policy != Policy::Always {
        let present = present(shared, &full).await.map_err(|e| {
            let message = format!("Failed to inspect image \"{image}\": {e}");
            event(true, "InspectFailed", message.clone());
            Why::new("ImageInspectError", message)
        })?;
        if let Some(found) = present {
            event(
                false,
                "Pulled",
                format!(
                    "Container image \"{image}\" already present on machine and can be accessed by the pod"
                ),
            );
            return Ok(found);
        }
        if policy == Policy::Never {
            let message = format!("Container image \"{image}\" is not present with pull policy of Never");
            event(true, "ErrImageNeverPull", message.clone());
            return Err(Why::new("ErrImageNeverPull", message));
        }
    }
    pull(shared, pod, name, &image, &full).await
}

async fn present(shared: &Shared, full: &str) -> cri::Result<Option<Image>> {
    let spec = v1::ImageSpec { image: full.to_owned(), ..Default::default() };
    let answer = shared.runtime.image_status(spec, false).await?;
    Ok(answer.image.map(|i| Image {
        reference: i.id,
        uid: i.uid.map(|u| u.value),
        username: i.username,
        size_bytes: i.size,
    }))
}

async fn pull(shared: &Shared, pod: &Pod, name: &str, image: &str, full: &str) -> Result<Image, Why> {
    let event = |warning: bool, reason: &'static str, message: String| {
        shared.events.pod(pod, warning, reason, message, Some(name));
    };
    event(false, "Pulling", format!("Pulling image \"{image}\""));
    let asked = shared.ctx.clock.monotonic();
    let permit = shared.pulls.acquire().await;
    let begun = shared.ctx.clock.monotonic();
    let mut auths: Vec<Option<v1::AuthConfig>> =
        credentials::for_image(shared, pod, image).await.into_iter().map(Some).collect();
    if auths.is_empty() {
        auths.push(None);
    }
    let mut last = None;
    let mut done = false;
    for auth in auths {
        let spec = v1::ImageSpec {
            image: full.to_owned(),
            user_specified_image: image.to_owned(),
            ..Default::default()
        };
        match shared.runtime.pull_image(spec, auth, None).await {
            Ok(_) => {
                done = true;
                break;
            }
            Err(e) => last = Some(e),
        }
    }
    drop(permit);
    let now = shared.ctx.clock.monotonic();
    if !done {
        let e = last.map(|e| e.message().to_owned()).unwrap_or_default();
        event(true, "Failed", format!("Failed to pull image \"{image}\": {e}"));
        return Err(Why::new("ErrImagePull", e));
    }
    let found = present(shared, full).await.ok().flatten();
    let Some(found) = found else {
        return Err(Why::new("ErrImagePull", format!("image \"{image}\" is not there after its pull")));
    };
    let (took, waited) = (seconds(now - begun), seconds(now - asked));
    event(
        false,
        "Pulled",
        format!(
            "Successfully pulled image \"{image}\" in {took} ({waited} including waiting). Image size: {} bytes.",
            found.size_bytes
        ),
    );
    Ok(found)
}

fn seconds(d: std::time::Duration) -> String {
    if d.as_secs() == 0 {
        format!("{}ms", d.as_millis())
    } else {
        format!("{}s", f64::from(u32::try_from(d.as_millis()).unwrap_or(u32::MAX)) / 1000.0)
    }
}
