//! AppArmor profiles that annotations name, as pods had them before there was a field.
// k8s: pkg/registry/core/pod/strategy.go applyAppArmorVersionSkew, pkg/api/pod/util.go ApparmorFieldForAnnotation

use meta::Path;
use schema::Value;

use crate::defaults::empty_map;

const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
const FIELD: &[&str] = &["securityContext", "appArmorProfile"];
/// Most bytes of a profile's name.
const LIMIT_NAME_BYTES: usize = 4095;

/// The field that says what the annotation says; `None`: it says nothing that is valid.
fn field(annotation: &str) -> Option<Value> {
    let (kind, file) = match (annotation, annotation.strip_prefix("localhost/")) {
        ("unconfined", _) => ("Unconfined", None),
        ("runtime/default", _) => ("RuntimeDefault", None),
        (_, Some(file)) if !file.is_empty() && file.trim() == file && file.len() <= LIMIT_NAME_BYTES => {
            ("Localhost", Some(file))
        }
        _ => return None,
    };
    let mut profile = empty_map();
    profile.set_at(&["type"], kind);
    if let Some(file) = file {
        profile.set_at(&["localhostProfile"], file);
    }
    Some(profile)
}

/// What to tell of a container whose profile only an annotation names; `None` where a field says the same.
pub(super) fn deprecated<'a>(
    spec: &Value,
    container: &Value,
    path: &Path,
    annotation: impl Fn(&str) -> Option<&'a str>,
) -> Option<String> {
    let key = format!("{PREFIX}{}", container.str_at(&["name"]));
    let given = annotation(&key)?;
    let of_pod = spec.at(FIELD);
    if container.at(FIELD).is_some() || of_pod.is_some_and(|p| field(given).as_ref() == Some(p)) {
        return None;
    }
    let at = path.child("metadata").child("annotations").key(&key);
    Some(format!("{at}: deprecated since v1.30; use the \"appArmorProfile\" field instead"))
}

/// Puts what annotations of a new pod say into its containers' fields, and says so.
pub fn carry_over(pod: &mut Value) -> Vec<String> {
    let mut told = Vec::new();
    let Some(annotations) = pod.at(&["metadata", "annotations"]).cloned() else { return told };
    let named = annotations.as_map().is_some_and(|m| m.iter().any(|(k, _)| k.starts_with(PREFIX)));
    let Some(spec) = pod.get("spec").filter(|s| named && s.str_at(&["os", "name"]) != "windows").cloned()
    else {
        return told;
    };
    let annotation = |key: &str| annotations.get(key).and_then(Value::as_str);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for c in pod.at_mut(&["spec", list]).and_then(Value::as_list_mut).into_iter().flatten() {
            let Some(text) = deprecated(&spec, c, &Path::new(""), annotation) else { continue };
            told.push(text);
            let given = annotation(&format!("{PREFIX}{}", c.str_at(&["name"]))).unwrap_or_default();
            if let Some(profile) = field(given) {
                c.set_at(FIELD, profile);
            }
        }
    }
    told
}
