//! Groups that belong to Kubernetes itself: who defines kinds in them says who allowed it.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/apihelpers/helpers.go GetAPIApprovalState

use meta::{FieldError, Path};
use schema::Value;

/// The annotation that says it.
pub const ANNOTATION: &str = "api-approved.kubernetes.io";

/// What a definition says of its approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// The group is nobody's in particular.
    NotNeeded,
    Missing,
    /// By the pull request at this address.
    Approved(String),
    /// In spite of this reason.
    Bypassed(String),
    Invalid(String),
}

/// Whether a group belongs to Kubernetes.
#[must_use]
pub fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// What a definition says.
#[must_use]
pub fn of(definition: &Value) -> Approval {
    let said = definition.str_at(&["metadata", "annotations", ANNOTATION]);
    of_group(definition.str_at(&["spec", "group"]), said)
}

/// What the annotation says in a group; empty: it is not there.
#[must_use]
pub fn of_group(group: &str, said: &str) -> Approval {
    if !is_protected(group) {
        return Approval::NotNeeded;
    }
    if said.is_empty() {
        Approval::Missing
    } else if said.starts_with("unapproved") {
        Approval::Bypassed(said.to_owned())
    } else if is_url(said) {
        Approval::Approved(said.to_owned())
    } else {
        Approval::Invalid(said.to_owned())
    }
}

fn is_url(text: &str) -> bool {
    let behind = text.split_once("://").filter(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    behind.is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(' '))
}

/// Why an approval is none, for a person.
#[must_use]
pub fn complaint(approval: &Approval) -> Option<String> {
    let must = format!("protected groups must have approval annotation \"{ANNOTATION}\"");
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    match approval {
        Approval::Missing => Some(format!("{must}, {see}")),
        Approval::Invalid(_) => {
            Some(format!("{must} with either a URL or a reason starting with \"unapproved\", {see}"))
        }
        Approval::NotNeeded | Approval::Approved(_) | Approval::Bypassed(_) => None,
    }
}

/// The error of a definition without the approval that its group wants.
pub(super) fn missing(definition: &Value) -> Option<FieldError> {
    let approval = of(definition);
    let why = complaint(&approval)?;
    let at = Path::new("metadata").child("annotations").key(ANNOTATION);
    Some(match approval {
        Approval::Invalid(said) => FieldError::invalid(&at, meta::field::quoted(&said), &why),
        _ => FieldError::required(&at, &why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::yaml;

    #[test]
    fn what_a_definition_says() {
        for (group, said, want) in [
            ("example.com", "", Approval::NotNeeded),
            ("k8s.io", "", Approval::Missing),
            ("xk8s.io", "", Approval::NotNeeded),
            ("x.kubernetes.io", "https://a.example/1", Approval::Approved("https://a.example/1".into())),
            ("x.k8s.io", "unapproved, for a test", Approval::Bypassed("unapproved, for a test".into())),
            ("x.k8s.io", "yes", Approval::Invalid("yes".into())),
            ("x.k8s.io", "https://", Approval::Invalid("https://".into())),
        ] {
            let mut o = yaml("metadata: {annotations: {}}\nspec: {}");
            o.set_at(&["spec", "group"], group);
            o.set_at(&["metadata", "annotations", ANNOTATION], said);
            assert_eq!(of(&o), want, "{group} {said}");
            assert_eq!(missing(&o).is_some(), matches!(want, Approval::Missing | Approval::Invalid(_)));
        }
    }
}
