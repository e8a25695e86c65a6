//! ClusterTrustBundle: whom to trust, of one signer or at large.

use std::collections::BTreeMap;

use meta::{FieldError, Path, pem};
use schema::Value;

use super::signer::{bundle_name, signer_name};
use super::x509;
use crate::columns::{NAME, text, text_or};
use crate::kind::{Column, Kind, NameRule, Operation, Strategy};
use crate::rules::{Errors, each, immutable};
use crate::selectable::{Selectable, field};

/// `certificates.k8s.io/v1` ClusterTrustBundle.
pub static KIND: Kind = Kind::cluster_kind(
    "certificates.k8s.io",
    "v1",
    "ClusterTrustBundle",
    "clustertrustbundles",
    "clustertrustbundle",
)
.with_names(NameRule::PathSegment)
.with_columns(COLUMNS)
.with_strategy(&BundleStrategy)
.with_selectable_fields(FIELDS);

// k8s: pkg/printers/internalversion/printers.go printClusterTrustBundle
const COLUMNS: &[Column] = &[
    NAME,
    text("SignerName", "Whom it tells to trust.", |o, _| text_or(o, &["spec", "signerName"], "<none>")),
];

// k8s: pkg/apis/certificates/v1/conversion.go
const FIELDS: &[Selectable] = &[field("spec.signerName")];

/// The longest text.
// k8s: pkg/apis/certificates/types.go MaxTrustBundleSize
const LIMIT_BYTES: usize = 1 << 20;

struct BundleStrategy;

impl Strategy for BundleStrategy {
    // k8s: pkg/apis/certificates/validation/validation.go ValidateClusterTrustBundle
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = identity(o);
        anchors(&mut errors, o.str_at(&["spec", "trustBundle"]), &Path::new("spec").child("trustBundle"));
        errors
    }

    // k8s: pkg/apis/certificates/validation/validation.go ValidateClusterTrustBundleUpdate
    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let path = Path::new("spec");
        let mut errors = identity(new);
        // What is stored already stays good, whatever later versions think of it.
        let text = |o: &Value| o.str_at(&["spec", "trustBundle"]).to_owned();
        if text(new) != text(old) {
            anchors(&mut errors, &text(new), &path.child("trustBundle"));
        }
        let signer = |o: &Value| Some(Value::from(o.str_at(&["spec", "signerName"])));
        immutable(&mut errors, signer(new).as_ref(), signer(old).as_ref(), &path.child("signerName"));
        errors
    }

    // k8s: pkg/registry/certificates/clustertrustbundle/strategy.go AllowUnconditionalUpdate
    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

/// What is wrong with the name and the signer.
fn identity(o: &Value) -> Errors {
    let mut errors = Errors::new();
    let signer = o.str_at(&["spec", "signerName"]);
    for (field, prefix) in [("generateName", true), ("name", false)] {
        let name = o.str_at(&["metadata", field]);
        // What cannot stand in a path is told of already.
        if !name.is_empty() && NameRule::PathSegment.complaints(name, prefix).is_empty() {
            each(&mut errors, &Path::new("metadata").child(field), name, bundle_name(signer, name, prefix));
        }
    }
    if !signer.is_empty() {
        signer_name(&mut errors, signer, &Path::new("spec").child("signerName"));
    }
    errors
}

/// Certificates of authorities in PEM, at least one and each once.
// k8s: pkg/apis/certificates/validation/validation.go validateTrustBundle
fn anchors(errors: &mut Errors, text: &str, path: &Path) {
    if text.len() > LIMIT_BYTES {
        errors.push(FieldError::too_long(path, LIMIT_BYTES));
        return;
    }
    let mut complaints = Vec::new();
    let mut seen: BTreeMap<Vec<u8>, (usize, Vec<String>)> = BTreeMap::new();
    for (i, block) in pem::blocks(text).enumerate() {
        let what = if block.label != x509::CERTIFICATE {
            format!("has bad block type: {}", block.label)
        } else if block.has_headers {
            "has PEM block headers".to_owned()
        } else {
            match x509::certificate(&block.contents) {
                None => "does not parse as X.509".to_owned(),
                Some(c) if !c.is_ca => "does not have the CA bit set".to_owned(),
                Some(_) => {
                    seen.entry(block.contents).or_insert_with(|| (i, Vec::new())).1.push(i.to_string());
                    continue;
                }
            }
        };
        complaints.push(format!("entry {i} {what}"));
    }
    if complaints.is_empty() {
        let mut repeated: Vec<_> = seen.values().filter(|(_, at)| at.len() > 1).collect();
        repeated.sort_unstable();
        let told =
            repeated.iter().map(|(_, at)| format!("duplicate trust anchor (indices [{}])", at.join(" ")));
        complaints.extend(told);
        if seen.is_empty() {
            complaints.push("at least one trust anchor must be provided".to_owned());
        }
    }
    errors.extend(complaints.into_iter().map(|why| FieldError::invalid(path, "\"<value omitted>\"", why)));
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ED25519, SerialNumber, date_time_ymd,
    };

    use super::*;
    use crate::testing::{row, texts, yaml};

    fn cert(is_ca: bool) -> String {
        let mut p = CertificateParams::default();
        p.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        p.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    /// Upstream's end-to-end tests make theirs so: serial number 0, of the first second of all years.
    #[test]
    fn certificates_without_times_and_number_are_anchors_too() {
        let mut p = CertificateParams::default();
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        p.serial_number = Some(SerialNumber::from_slice(&[0]));
        (p.not_before, p.not_after) = (date_time_ymd(1, 1, 1), date_time_ymd(1, 1, 1));
        let text = p.self_signed(&KeyPair::generate_for(&PKCS_ED25519).unwrap()).unwrap().pem();
        assert_eq!(texts(&BundleStrategy.validate(&bundle("n", "", &text))), [""; 0]);
    }

    fn bundle(name: &str, signer: &str, text: &str) -> Value {
        let mut o = yaml(&format!("metadata: {{name: '{name}'}}\nspec: {{signerName: '{signer}'}}"));
        o.set_at(&["spec", "trustBundle"], text);
        o
    }

    #[test]
    fn anchors_are_certificates_of_authorities() {
        let (a, b) = (cert(true), cert(true));
        let with_header = a.replacen('\n', "\nk: v\n\n", 1);
        let table: &[(String, &[&str])] = &[
            (a.clone(), &[]),
            (format!("words\n{a}between\n{b}after"), &[]),
            (String::new(), &["at least one trust anchor must be provided"]),
            ("words".to_owned(), &["at least one trust anchor must be provided"]),
            (format!("{a}{b}{a}"), &["duplicate trust anchor (indices [0 2])"]),
            (
                format!("{b}{a}{a}{b}"),
                &["duplicate trust anchor (indices [0 3])", "duplicate trust anchor (indices [1 2])"],
            ),
            (format!("{a}{with_header}"), &["entry 1 has PEM block headers"]),
            (cert(false) + &a, &["entry 0 does not have the CA bit set"]),
            (pem::encode("CERTIFICATE", b"x"), &["entry 0 does not parse as X.509"]),
            (a.replace("CERTIFICATE", "THING"), &["entry 0 has bad block type: THING"]),
        ];
        for (text, want) in table {
            let got = texts(&BundleStrategy.validate(&bundle("n", "", text)));
            let want: Vec<String> = want
                .iter()
                .map(|w| format!("spec.trustBundle: Invalid value: \"<value omitted>\": {w}"))
                .collect();
            assert_eq!(got, want, "{text}");
        }
        let long = texts(&BundleStrategy.validate(&bundle("n", "", &" ".repeat(LIMIT_BYTES + 1))));
        assert_eq!(long, ["spec.trustBundle: Too long: may not be more than 1048576 bytes"]);
    }

    #[test]
    fn rows() {
        for (signer, want) in [("", "<none>"), ("a.b/c", "a.b/c")] {
            let row = row(&KIND, &bundle("n", signer, ""), "2026-01-01T00:00:00Z");
            assert_eq!(row, [("Name", "n".to_owned()), ("SignerName", want.to_owned())]);
        }
    }

    #[test]
    fn the_name_tells_the_signer_and_the_signer_stays() {
        let text = cert(true);
        let table = [
            ("n", "", None),
            ("a.b:c:n", "a.b/c", None),
            (
                "n",
                "a.b/c",
                Some(
                    "metadata.name: Invalid value: \"n\": ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:",
                ),
            ),
            (
                "x:n",
                "",
                Some(
                    "metadata.name: Invalid value: \"x:n\": ClusterTrustBundle without signer name must not have \":\" in its name",
                ),
            ),
        ];
        for (name, signer, want) in table {
            let got = texts(&BundleStrategy.validate(&bundle(name, signer, &text)));
            assert_eq!(got.first().map(String::as_str), want, "{name} {signer}");
        }
        let old = bundle("a.b:c:n", "a.b/c", "what once was good");
        let update = |new: &Value| texts(&BundleStrategy.validate_update(new, &old, Operation::Update));
        assert_eq!(update(&old), [""; 0]);
        assert_eq!(update(&bundle("a.b:c:n", "a.b/c", &text)), [""; 0]);
        assert_eq!(update(&bundle("a.b:c:n", "a.b/c", "")).len(), 1);
        let moved = update(&bundle("a.b:c:n", "", "what once was good"));
        assert_eq!(moved[1], "spec.signerName: Invalid value: \"\": field is immutable");
    }
}
