//! PodCertificateRequest: a kubelet's wish for a certificate of a pod. Its answer is in [`super::pod_certificate_status`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::pod_certificate_status;
use super::signer::{LIFE_MIN_SECONDS, life_max_seconds, signer_name, user_annotations};
use super::x509::{self, KeyKind};
use crate::kind::{Kind, Operation, Strategy, USER_METADATA, WITH_STATUS};
use crate::rules::{Errors, each, immutable};
use crate::selectable::{Selectable, field};

/// `certificates.k8s.io/v1` PodCertificateRequest.
pub static KIND: Kind = Kind::namespaced_kind(
    "certificates.k8s.io",
    "v1",
    "PodCertificateRequest",
    "podcertificaterequests",
    "podcertificaterequest",
)
.with_subresources(WITH_STATUS)
.with_status_keeping(USER_METADATA)
.with_strategy(&RequestStrategy)
.with_selectable_fields(FIELDS);

// k8s: pkg/apis/certificates/v1/conversion.go
const FIELDS: &[Selectable] = &[field("spec.signerName"), field("spec.podName"), field("spec.nodeName")];

const UID_LIMIT_BYTES: usize = 128;
/// The longest request for a certificate.
// k8s: pkg/apis/certificates/types.go MaxStubPKCS10RequestSize
const STUB_LIMIT_BYTES: usize = 10 * 1024;

struct RequestStrategy;

// k8s: pkg/registry/certificates/podcertificaterequest/strategy.go. Whether the writer of a status stands for the
// signer, and what takes a clock, the admission of the API server sees to.
impl Strategy for RequestStrategy {
    // k8s: pkg/apis/certificates/validation/validation.go ValidatePodCertificateRequestCreate
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec(&mut errors, o, &Path::new("spec"));
        errors
    }

    // k8s: pkg/apis/certificates/validation/validation.go ValidatePodCertificateRequestUpdate
    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return pod_certificate_status::validate(new, old);
        }
        let mut errors = Errors::new();
        immutable(&mut errors, new.get("spec"), old.get("spec"), &Path::new("spec"));
        errors
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn spec(errors: &mut Errors, o: &Value, path: &Path) {
    let text = |field: &str| o.str_at(&["spec", field]);
    let signer = text("signerName");
    signer_name(errors, signer, &path.child("signerName"));
    user_annotations(
        errors,
        o.at(&["spec", "unverifiedUserAnnotations"]),
        &path.child("unverifiedUserAnnotations"),
    );
    for (name_field, uid_field) in
        [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")]
    {
        let (name, uid) = (text(name_field), text(uid_field));
        each(errors, &path.child(name_field), name, name::dns1123_subdomain(name));
        let at = path.child(uid_field);
        if uid.is_empty() {
            errors.push(FieldError::invalid(&at, quoted(uid), "must not be empty"));
        }
        if uid.len() > UID_LIMIT_BYTES {
            errors.push(FieldError::too_long(&at, UID_LIMIT_BYTES));
        }
    }
    let at = path.child("maxExpirationSeconds");
    let Some(seconds) = o.int_at(&["spec", "maxExpirationSeconds"]) else {
        errors.push(FieldError::required(&at, "must be set"));
        return;
    };
    let most = life_max_seconds(signer);
    if !(LIFE_MIN_SECONDS..=most).contains(&seconds) {
        let why = format!("must be in the range [{LIFE_MIN_SECONDS}, {most}]");
        errors.push(FieldError::invalid(&at, seconds.to_string(), why));
    }
    stub(errors, text("stubPKCS10Request"), &path.child("stubPKCS10Request"));
}

/// The request for a certificate whose key the kubelet has: it is signed with it.
fn stub(errors: &mut Errors, base64: &str, path: &Path) {
    if base64.is_empty() {
        errors.push(FieldError::required(path, "must be set"));
        return;
    }
    let der = STANDARD.decode(base64).unwrap_or_default();
    if der.len() > STUB_LIMIT_BYTES {
        errors.push(FieldError::too_long(path, STUB_LIMIT_BYTES));
        return;
    }
    let key = match x509::request(&der) {
        Ok(key) => key,
        Err(why) => {
            let why = format!(
                "must be a valid PKCS#10 certificate signing request, signed with its own key: {why}"
            );
            errors.push(FieldError::invalid(path, quoted(base64), why));
            return;
        }
    };
    match key.kind {
        KeyKind::Ed25519
        | KeyKind::P256
        | KeyKind::P384
        | KeyKind::P521
        | KeyKind::Rsa { bits: 3072 | 4096 } => {}
        KeyKind::Rsa { bits } => {
            let why = "RSA keys must have modulus size 3072 or 4096";
            errors.push(FieldError::invalid(path, quoted(&format!("{bits}-bit modulus")), why));
        }
        KeyKind::Other => {
            let why = "unknown public key type; supported types are Ed25519, ECDSA, and RSA";
            errors.push(FieldError::invalid(path, quoted(base64), why));
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};

    use super::*;
    use crate::testing::{texts, yaml};

    /// A good request over a key.
    fn request(key: &KeyPair) -> Value {
        let mut o = yaml(
            "metadata: {name: r, namespace: n}\nspec: {signerName: a.b/c, podName: p, podUID: '1', serviceAccountName: s, serviceAccountUID: '2', nodeName: m, nodeUID: '3', maxExpirationSeconds: 86400}",
        );
        let stub = CertificateParams::default().serialize_request(key).unwrap();
        o.set_at(&["spec", "stubPKCS10Request"], STANDARD.encode(stub.der()));
        o
    }

    #[test]
    fn the_spec_is_checked() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let good = request(&key);
        assert_eq!(texts(&RequestStrategy.validate(&good)), [""; 0]);
        let range = |n, most| {
            format!("spec.maxExpirationSeconds: Invalid value: {n}: must be in the range [3600, {most}]")
        };
        let table: &[(&'static str, Value, &[&str])] = &[
            (
                "signerName",
                "a.b".into(),
                &[
                    "spec.signerName: Invalid value: \"a.b\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
                ],
            ),
            ("podUID", "".into(), &["spec.podUID: Invalid value: \"\": must not be empty"]),
            ("nodeUID", "u".repeat(129).into(), &["spec.nodeUID: Too long: may not be more than 128 bytes"]),
            (
                "maxExpirationSeconds",
                Value::Null,
                &["spec.maxExpirationSeconds: Required value: must be set"],
            ),
            ("maxExpirationSeconds", 3599.into(), &[&range(3599, 7_862_400)]),
            ("maxExpirationSeconds", 7_862_400.into(), &[]),
            ("maxExpirationSeconds", 7_862_401.into(), &[&range(7_862_401, 7_862_400)]),
            ("unverifiedUserAnnotations", yaml("{a.b/C: x}"), &[]),
            (
                "unverifiedUserAnnotations",
                yaml("{c: x}"),
                &[
                    "spec.unverifiedUserAnnotations: Invalid value: \"c\": must be a domain-prefixed key (such as \"acme.io/foo\")",
                ],
            ),
            ("stubPKCS10Request", "".into(), &["spec.stubPKCS10Request: Required value: must be set"]),
            (
                "stubPKCS10Request",
                STANDARD.encode(vec![0; STUB_LIMIT_BYTES + 1]).into(),
                &["spec.stubPKCS10Request: Too long: may not be more than 10240 bytes"],
            ),
        ];
        for (field, value, want) in table {
            let mut o = good.clone();
            o.set_at(&["spec", field], value.clone());
            assert_eq!(texts(&RequestStrategy.validate(&o)), *want, "{field} {value:?}");
        }
        let mut own = good.clone();
        own.set_at(&["spec", "signerName"], "kubernetes.io/c");
        own.set_at(&["spec", "maxExpirationSeconds"], 86_401);
        assert_eq!(texts(&RequestStrategy.validate(&own)), [range(86_401, 86_400)]);
    }

    #[test]
    fn the_key_is_one_that_the_asker_has() {
        let weak = request(&KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());
        assert_eq!(
            texts(&RequestStrategy.validate(&weak)),
            [
                "spec.stubPKCS10Request: Invalid value: \"2048-bit modulus\": RSA keys must have modulus size 3072 or 4096"
            ]
        );
        let mut forged = request(&KeyPair::generate_for(&PKCS_ED25519).unwrap());
        let mut der = STANDARD.decode(forged.str_at(&["spec", "stubPKCS10Request"])).unwrap();
        *der.last_mut().unwrap() ^= 1;
        forged.set_at(&["spec", "stubPKCS10Request"], STANDARD.encode(der));
        let got = texts(&RequestStrategy.validate(&forged));
        assert!(got[0].ends_with("signed with its own key: x509: Ed25519 verification failure"), "{got:?}");
    }

    #[test]
    fn the_spec_stays() {
        let old = request(&KeyPair::generate_for(&PKCS_ED25519).unwrap());
        let mut new = old.clone();
        assert_eq!(texts(&RequestStrategy.validate_update(&new, &old, Operation::Update)), [""; 0]);
        new.set_at(&["spec", "podName"], "q");
        let got = texts(&RequestStrategy.validate_update(&new, &old, Operation::Update));
        assert!(got.len() == 1 && got[0].ends_with("field is immutable"), "{got:?}");
    }
}
