//! AlwaysPullImages: who may use a private image is asked for every pod.
// k8s: plugin/pkg/admission/alwayspullimages/admission.go

use kinds::core::pod;
use meta::{FieldError, Path, Status};
use schema::Value;

use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(in crate::admission) struct AlwaysPullImages;

impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if is_about(request) {
            set(request.object);
        }
        Reply::now(Ok(()))
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if !is_about(request) {
            return Reply::now(Ok(()));
        }
        let errors = wrong(request.object).into_iter().map(|e| request.forbidden(&e).message).collect();
        Reply::now(match super::aggregate(errors) {
            None => Ok(()),
            Some(message) => Err(Status { message, ..request.forbidden("") }),
        })
    }
}

/// A new pod, or one that gets images which it did not have.
fn is_about(request: &AdmissionRequest<'_>) -> bool {
    if request.operation == Op::Delete || !request.is_whole(&pod::KIND) {
        return false;
    }
    let Some(old) = request.old else { return true };
    let images = |pod: &'_ Value| -> Vec<String> {
        let containers = LISTS.iter().flat_map(|list| pod.list_at(&["spec", list]));
        let own = containers.map(|c| c.str_at(&["image"]).to_owned());
        let volumes = pod.list_at(&["spec", "volumes"]).iter().filter_map(|v| v.at(&["image"]));
        own.chain(volumes.map(|i| i.str_at(&["reference"]).to_owned())).collect()
    };
    let before = images(old);
    images(request.object).iter().any(|image| !before.contains(image))
}

fn set(pod: &mut Value) {
    for list in LISTS {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut);
        for container in containers.into_iter().flatten() {
            container.set_at(&["imagePullPolicy"], "Always");
        }
    }
    let volumes = pod.at_mut(&["spec", "volumes"]).and_then(Value::as_list_mut);
    for volume in volumes.into_iter().flatten().filter(|v| v.get("image").is_some()) {
        volume.set_at(&["image", "pullPolicy"], "Always");
    }
}

/// Where something else is asked for after all.
fn wrong(pod: &Value) -> Vec<String> {
    let spec = Path::new("spec");
    let refuse = |path: Path, said: &str| FieldError::not_supported(&path, said, &["Always"]).to_string();
    let mut errors = Vec::new();
    for list in LISTS {
        for (i, container) in pod.list_at(&["spec", list]).iter().enumerate() {
            let said = container.str_at(&["imagePullPolicy"]);
            if said != "Always" {
                errors.push(refuse(spec.child(list).index(i).child("imagePullPolicy"), said));
            }
        }
    }
    for (i, volume) in pod.list_at(&["spec", "volumes"]).iter().enumerate() {
        let Some(image) = volume.get("image") else { continue };
        let said = image.str_at(&["pullPolicy"]);
        if said != "Always" {
            errors.push(refuse(spec.child("volumes").index(i).child("image").child("pullPolicy"), said));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_pulled() {
        let json = br#"{"spec":{"containers":[{"image":"a","imagePullPolicy":"Never"}],
            "initContainers":[{"image":"b"}],"volumes":[{"image":{"reference":"c"}},{"emptyDir":{}}]}}"#;
        let mut pod = schema::decode_plain(json).unwrap();
        assert_eq!(wrong(&pod).len(), 3);
        assert_eq!(
            wrong(&pod)[1],
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Never\": supported values: \"Always\""
        );
        set(&mut pod);
        assert!(wrong(&pod).is_empty());
        assert_eq!(pod.list_at(&["spec", "volumes"])[0].str_at(&["image", "pullPolicy"]), "Always");
    }
}
