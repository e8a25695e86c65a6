//! Objects that promise protection which this server does not give yet: whoever writes one is told so. It must
//! never refuse anything. A row goes when what it names is enforced.

use schema::Value;

/// Group, resource, and what does not happen.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration is stored, but no webhook is called",
    ),
    (
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration is stored, but no webhook is called",
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy is stored, but not evaluated: nothing is refused by it",
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding is stored, but no policy is evaluated",
    ),
    (
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicies",
        "MutatingAdmissionPolicy is stored, but not evaluated: nothing is changed by it",
    ),
    (
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding is stored, but no policy is evaluated",
    ),
    ("networking.k8s.io", "networkpolicies", "NetworkPolicy is stored, but not enforced: all traffic passes"),
    ("", "resourcequotas", "ResourceQuota is stored, but not enforced: nothing is counted or refused"),
    (
        "flowcontrol.apiserver.k8s.io",
        "flowschemas",
        "FlowSchema is stored, but not enforced: requests are limited by their number only",
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations",
        "PriorityLevelConfiguration is stored, but not enforced: requests are limited by their number only",
    ),
];

/// Prefix of the labels by which a namespace asks for PodSecurity.
const POD_SECURITY: &str = "pod-security.kubernetes.io/";

/// What to tell whoever writes the object; `old` is what it was before.
pub(super) fn warning(gvr: &meta::Gvr, new: &Value, old: Option<&Value>) -> Option<String> {
    let found = KINDS.iter().find(|(group, plural, _)| *group == gvr.group && *plural == gvr.resource);
    if let Some((_, _, why)) = found {
        return Some((*why).to_owned());
    }
    match (&*gvr.group, &*gvr.resource) {
        ("", "namespaces") if asks_for_pod_security(new, old) => Some(format!(
            "the labels {POD_SECURITY}* are stored, but PodSecurity is not enforced: pods of every kind are admitted"
        )),
        ("apiextensions.k8s.io", "customresourcedefinitions") => of_definition(new),
        ("apiregistration.k8s.io", "apiservices") if new.at(&["spec", "service"]).is_some() => {
            Some("APIService is stored, but requests are not passed on to its service".to_owned())
        }
        _ => None,
    }
}

fn of_definition(new: &Value) -> Option<String> {
    let mut versions = new.list_at(&["spec", "versions"]).iter();
    if versions.any(|v| v.at(&["schema", "openAPIV3Schema"]).is_some_and(has_rules)) {
        let why =
            "the schema's x-kubernetes-validations are stored, but not evaluated: nothing is refused by them";
        return Some(why.to_owned());
    }
    (new.str_at(&["spec", "conversion", "strategy"]) == "Webhook").then(|| {
        "the conversion webhook is stored, but not called: only the stored version can be read".to_owned()
    })
}

/// Whether a schema, or one inside it, has rules in CEL. Schemas are nested no deeper than any object.
fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Map(map) => {
            let named = |(key, v): (&str, &Value)| {
                has_rules(v)
                    || (key == "x-kubernetes-validations" && v.as_list().is_some_and(|l| !l.is_empty()))
            };
            map.iter().any(named)
        }
        Value::List(list) => list.iter().any(has_rules),
        _ => false,
    }
}

/// Whether labels for PodSecurity come or change.
fn asks_for_pod_security(new: &Value, old: Option<&Value>) -> bool {
    let label = |key: &str| old.and_then(|o| o.at(&["metadata", "labels", key]));
    let labels = new.at(&["metadata", "labels"]).and_then(Value::as_map);
    labels.is_some_and(|m| m.iter().any(|(k, v)| k.starts_with(POD_SECURITY) && label(k) != Some(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_a_stored_kind() {
        for (group, plural, _) in KINDS {
            let named = |k: &&&kinds::Kind| k.group == *group && k.plural == *plural && k.is_stored();
            assert!(kinds::all().iter().any(|k| named(&k)), "{group} {plural}");
        }
    }
}
