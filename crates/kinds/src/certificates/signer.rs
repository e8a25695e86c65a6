//! Names of signers, of what is named after them, and what is asked of them.

use meta::field::quoted;
use meta::name::{self, DNS_LABEL_MAX_BYTES, DNS_SUBDOMAIN_MAX_BYTES};
use meta::{FieldError, Path};
use schema::Value;

use crate::kind::NameRule;
use crate::metadata::ANNOTATIONS_LIMIT_BYTES;
use crate::rules::{Errors, each};

/// The shortest and the longest life that may be asked for, in seconds, the latter of upstream's own signers and of
/// all others.
// k8s: pkg/apis/certificates/types.go
pub const LIFE_MIN_SECONDS: i64 = 3600;
pub const LIFE_MAX_SECONDS: i64 = 91 * 86_400;
pub const LIFE_MAX_KUBERNETES_SECONDS: i64 = 86_400;

/// The longest name: a domain, a slash, and a path with room for a namespace, a dot and a name.
const NAME_MAX_BYTES: usize = DNS_SUBDOMAIN_MAX_BYTES + 1 + DNS_LABEL_MAX_BYTES + 1 + DNS_SUBDOMAIN_MAX_BYTES;

/// `example.com/signer-name`.
// k8s: pkg/apis/core/validation/names.go ValidateSignerName
pub fn signer_name(errors: &mut Errors, name: &str, path: &Path) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut parts = name.split('/');
    let (Some(domain), Some(rest), None) = (parts.next(), parts.next(), parts.next()) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, quoted(name), why));
        return;
    };
    if domain.len() > DNS_SUBDOMAIN_MAX_BYTES {
        errors.push(FieldError::too_long(path, DNS_SUBDOMAIN_MAX_BYTES));
    }
    labels(errors, domain, path, name::dns1123_label);
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, quoted(domain), why));
    }
    labels(errors, rest, path, name::dns1123_subdomain);
    if name.len() > NAME_MAX_BYTES {
        errors.push(FieldError::too_long(path, NAME_MAX_BYTES));
    }
}

/// What is wrong with the first wrong one of the parts between dots.
fn labels(errors: &mut Errors, part: &str, path: &Path, check: fn(&str) -> Vec<String>) {
    let wrong =
        part.split('.').map(|label| (label, check(label))).find(|(_, complaints)| !complaints.is_empty());
    for why in wrong.iter().flat_map(|(_, complaints)| complaints) {
        let label = quoted(wrong.as_ref().map_or("", |(label, _)| label));
        errors.push(FieldError::invalid(path, quoted(part), format!("validating label {label}: {why}")));
    }
}

/// The longest life that may be asked for of a signer.
// k8s: pkg/apis/core/validation/names.go IsKubernetesSignerName
#[must_use]
pub fn life_max_seconds(signer: &str) -> i64 {
    let domain = signer.split('/').next().unwrap_or_default();
    let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    if own { LIFE_MAX_KUBERNETES_SECONDS } else { LIFE_MAX_SECONDS }
}

/// What is wrong with the name of a ClusterTrustBundle, which begins with that of its signer.
// k8s: pkg/apis/core/validation/names.go ValidateClusterTrustBundleName
#[must_use]
pub fn bundle_name(signer: &str, name: &str, prefix: bool) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
        }
        return NameRule::Subdomain.complaints(name, prefix);
    }
    let required = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&required) {
        Some(rest) => NameRule::Subdomain.complaints(rest, prefix),
        None => {
            vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {required}")]
        }
    }
}

/// The signer that the name of a ClusterTrustBundle tells of; empty when it tells of none.
// k8s: pkg/apis/core/validation/names.go extractSignerNameFromClusterTrustBundleName
#[must_use]
pub fn signer_of_bundle(name: &str) -> String {
    name.rsplit_once(':').map(|(signer, _)| signer.replace(':', "/")).unwrap_or_default()
}

/// Annotations that a pod's author hands to a signer.
// k8s: pkg/apis/core/validation/validation.go ValidateUserAnnotations
pub fn user_annotations(errors: &mut Errors, annotations: Option<&Value>, path: &Path) {
    let mut size_bytes = 0;
    for (key, value) in annotations.and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
        size_bytes += key.len() + value.as_str().map_or(0, str::len);
        let key = key.to_lowercase();
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
            continue;
        }
        let complaints = name::qualified_name(&key);
        if complaints.is_empty() && !key.contains('/') {
            let why = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, quoted(&key), why));
        }
        each(errors, path, &key, complaints);
    }
    if size_bytes > ANNOTATIONS_LIMIT_BYTES {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;

    #[test]
    fn signers_have_a_domain_and_a_path() {
        let label = name::dns1123_label("");
        let long = format!("{}/{}", vec!["a"; 130].join("."), vec!["a"; 160].join("."));
        let table: &[(&str, &[&str])] = &[
            ("example.com/a", &[]),
            ("example.com/a.b", &[]),
            ("", &["s: Required value"]),
            (
                "a",
                &[
                    "s: Invalid value: \"a\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
                ],
            ),
            (
                "com/a",
                &[
                    "s: Invalid value: \"com\": should be a domain with at least two segments separated by dots",
                ],
            ),
            (".com/a", &[&format!("s: Invalid value: \".com\": validating label \"\": {}", label[0])]),
            (
                &long,
                &[
                    "s: Too long: may not be more than 253 bytes",
                    "s: Too long: may not be more than 571 bytes",
                ],
            ),
        ];
        for (name, want) in table {
            let mut errors = Errors::new();
            signer_name(&mut errors, name, &Path::new("s"));
            assert_eq!(texts(&errors), *want, "{name}");
        }
    }

    #[test]
    fn bundles_are_named_after_their_signer() {
        let wrong = "ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:";
        let table = [
            ("", "any.name", false, None),
            (
                "",
                "a:b",
                false,
                Some("ClusterTrustBundle without signer name must not have \":\" in its name"),
            ),
            ("a.b/c", "a.b:c:any.name", false, None),
            ("a.b/c", "a.b:c:any-", true, None),
            ("a.b/c", "a.b:d:any", false, Some(wrong)),
            ("a.b/c", "any", false, Some(wrong)),
        ];
        for (signer, name, prefix, want) in table {
            let got = bundle_name(signer, name, prefix);
            assert_eq!(got.first().map(String::as_str), want, "{signer} {name}");
        }
        assert_eq!(bundle_name("a.b/c", "a.b:c:any-", false).len(), 1);
        for (name, want) in [("a.b:c:d", "a.b/c"), ("a.b:c", "a.b"), ("a.b", "")] {
            assert_eq!(signer_of_bundle(name), want, "{name}");
        }
    }
}
