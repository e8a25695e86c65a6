//! CertificateSigningRequest: a wish for a certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::quoted;
use meta::{FieldError, Path};
use schema::{Map, Value};

use super::signer::signer_name;
use super::x509;
use crate::columns::{AGE, NAME, text, text_at};
use crate::defaults::empty_map;
use crate::kind::{
    Cell, Column, Context, Kind, NameRule, Operation, STATUS, Strategy, Subresource, carry, keep_other_half,
};
use crate::rules::Errors;
use crate::selectable::{Selectable, field};

const SUBRESOURCES: &[Subresource] =
    &[Subresource { name: "approval", kind: None, verbs: &["get", "patch", "update"] }, STATUS];

/// `certificates.k8s.io/v1` CertificateSigningRequest.
pub static KIND: Kind = Kind::cluster_kind(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "certificatesigningrequest",
)
.with_short_names(&["csr"])
.with_names(NameRule::PathSegment)
.with_subresources(SUBRESOURCES)
.with_columns(COLUMNS)
.with_strategy(&RequestStrategy)
.with_selectable_fields(FIELDS);

const COLUMNS: &[Column] = &[
    NAME,
    AGE,
    text("SignerName", "Who is to sign.", |o, _| text_at(o, &["spec", "signerName"])),
    text("Requestor", "Who asks.", |o, _| text_at(o, &["spec", "username"])),
    text("RequestedDuration", "How long it is to be valid.", |o, _| Cell::Text(duration(o))),
    text("Condition", "What has become of it.", |o, _| Cell::Text(condition(o))),
];

const FIELDS: &[Selectable] = &[field("spec.signerName")];

fn duration(o: &Value) -> String {
    o.int_at(&["spec", "expirationSeconds"]).map_or_else(|| "<none>".to_owned(), meta::time::human_duration)
}

// k8s: pkg/printers/internalversion/printers.go extractCSRStatus
fn condition(o: &Value) -> String {
    let has = |kind: &str| o.list_at(&["status", "conditions"]).iter().any(|c| c.str_at(&["type"]) == kind);
    let mut shown = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        shown.push_str(",Failed");
    }
    if !o.str_at(&["status", "certificate"]).is_empty() {
        shown.push_str(",Issued");
    }
    shown
}

struct RequestStrategy;

impl Strategy for RequestStrategy {
    /// The server says who asks, whatever the request says.
    // k8s: pkg/registry/certificates/certificates/strategy.go PrepareForCreate
    fn prepare_for_create(&self, o: &mut Value, cx: &Context) {
        if o.get("spec").is_none() {
            o.set_at(&["spec"], empty_map());
        }
        for field in ["uid", "groups", "extra"] {
            o.remove_at(&["spec", field]);
        }
        o.set_at(&["spec", "username"], cx.user.as_str());
        if !cx.user_uid.is_empty() {
            o.set_at(&["spec", "uid"], cx.user_uid.as_str());
        }
        let list = |of: &[String]| Value::from(of.iter().map(|s| s.as_str().into()).collect::<Vec<Value>>());
        if !cx.groups.is_empty() {
            o.set_at(&["spec", "groups"], list(&cx.groups));
        }
        if !cx.extra.is_empty() {
            let mut extra = Map::new();
            for (key, values) in &cx.extra {
                extra.set(key.clone(), list(values));
            }
            o.set_at(&["spec", "extra"], extra);
        }
        o.set_at(&["status"], empty_map());
    }

    /// The wish itself never changes; approval changes only the conditions, and the signer only the rest of the status.
    // k8s: pkg/registry/certificates/certificates/strategy.go csrApprovalStrategy, csrStatusStrategy
    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &Context) {
        carry(new, old, "spec");
        match op {
            Operation::UpdateSubresource(_) => {
                let conditions = new.at(&["status", "conditions"]).cloned();
                carry(new, old, "status");
                match conditions {
                    Some(c) => new.set_at(&["status", "conditions"], c),
                    None => {
                        new.remove_at(&["status", "conditions"]);
                    }
                }
            }
            _ => keep_other_half(new, old, op),
        }
    }

    // k8s: pkg/apis/certificates/validation/validation.go ValidateCertificateSigningRequestCreate
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        whole(o, Leave::default())
    }

    // k8s: pkg/apis/certificates/validation/validation.go validateCertificateSigningRequestUpdate
    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        let mut errors = whole(new, Leave::of(new, old));
        let approving = op == Operation::UpdateSubresource("approval");
        let path = Path::new("status").child("conditions");
        for kind in FINAL {
            if all_of(new, kind).len() < all_of(old, kind).len() {
                let why = format!("updates may not remove a condition of type {}", quoted(kind));
                errors.push(FieldError::forbidden(&path, why));
            }
        }
        for kind in ["Approved", "Denied"].into_iter().filter(|_| !approving) {
            let (after, before) = (all_of(new, kind), all_of(old, kind));
            if after.len() < before.len() || after == before {
                continue;
            }
            let what = if after.len() > before.len() { "add" } else { "modify" };
            let why = format!("updates may not {what} a condition of type {}", quoted(kind));
            errors.push(FieldError::forbidden(&path, why));
        }
        let certificate = |o: &Value| o.str_at(&["status", "certificate"]).to_owned();
        if certificate(new) != certificate(old) {
            let at = Path::new("status").child("certificate");
            if op != Operation::UpdateStatus {
                errors.push(FieldError::forbidden(&at, "updates may not set certificate content"));
            } else if !certificate(old).is_empty() {
                let why = "updates may not modify existing certificate content";
                errors.push(FieldError::forbidden(&at, why));
            }
        }
        errors
    }
}

/// Conditions that stay once they are there.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

fn all_of<'a>(o: &'a Value, kind: &str) -> Vec<&'a Value> {
    o.list_at(&["status", "conditions"]).iter().filter(|c| c.str_at(&["type"]) == kind).collect()
}

/// What is wrong and stays as it is, since it was stored so.
// k8s: pkg/apis/certificates/validation/validation.go getValidationOptions
#[derive(Clone, Copy, Debug, Default)]
struct Leave {
    both_decisions: bool,
    legacy_signer: bool,
    repeated_conditions: bool,
    nameless_conditions: bool,
    any_certificate: bool,
    repeated_usages: bool,
    unknown_usages: bool,
}

impl Leave {
    fn of(new: &Value, old: &Value) -> Self {
        let kinds: Vec<&str> =
            old.list_at(&["status", "conditions"]).iter().map(|c| c.str_at(&["type"])).collect();
        let usages = old.list_at(&["spec", "usages"]);
        let certificate = |o: &Value| certificate_text(o);
        Leave {
            both_decisions: kinds.contains(&"Approved") && kinds.contains(&"Denied"),
            legacy_signer: old.str_at(&["spec", "signerName"]) == LEGACY,
            repeated_conditions: kinds.iter().enumerate().any(|(i, k)| kinds[..i].contains(k)),
            nameless_conditions: kinds.contains(&""),
            any_certificate: certificate(new) == certificate(old)
                || x509::certificates(&certificate(old)).is_err(),
            repeated_usages: usages.iter().enumerate().any(|(i, u)| usages[..i].contains(u)),
            unknown_usages: usages.iter().any(|u| !USAGES.contains(&u.as_str().unwrap_or(""))),
        }
    }
}

const LEGACY: &str = "kubernetes.io/legacy-unknown";

fn decoded(base64: &str) -> String {
    String::from_utf8_lossy(&STANDARD.decode(base64).unwrap_or_default()).into_owned()
}

fn certificate_text(o: &Value) -> String {
    decoded(o.str_at(&["status", "certificate"]))
}

// k8s: pkg/apis/certificates/validation/validation.go validateCertificateSigningRequest
fn whole(o: &Value, leave: Leave) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let request = o.str_at(&["spec", "request"]);
    if let Err(why) = x509::pem_request(&decoded(request)) {
        errors.push(FieldError::invalid(&path.child("request"), quoted(request), why));
    }
    usages(&mut errors, o.list_at(&["spec", "usages"]), leave, &path.child("usages"));
    let signer = o.str_at(&["spec", "signerName"]);
    let at = path.child("signerName");
    if signer == LEGACY && !leave.legacy_signer {
        let why = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(&at, quoted(signer), why));
    } else {
        signer_name(&mut errors, signer, &at);
    }
    if let Some(n) = o.int_at(&["spec", "expirationSeconds"]).filter(|n| *n < 600) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), n.to_string(), why));
    }
    conditions(&mut errors, o, leave);
    if !leave.any_certificate
        && let Err(why) = x509::certificates(&certificate_text(o))
    {
        let at = Path::new("status").child("certificate");
        errors.push(FieldError::invalid(&at, "\"<certificate data>\"", why));
    }
    errors
}

fn usages(errors: &mut Errors, usages: &[Value], leave: Leave, at: &Path) {
    if usages.is_empty() {
        errors.push(FieldError::required(at, ""));
    }
    let text = |u: &Value| u.as_str().unwrap_or("").to_owned();
    for (i, u) in usages.iter().enumerate().filter(|_| !leave.unknown_usages) {
        if !USAGES.contains(&text(u).as_str()) {
            errors.push(FieldError::not_supported(&at.index(i), &text(u), USAGES));
        }
    }
    for (i, u) in usages.iter().enumerate().filter(|_| !leave.repeated_usages) {
        if usages[..i].contains(u) {
            errors.push(FieldError::duplicate(&at.index(i), quoted(&text(u))));
        }
    }
}

/// Usages in the order of messages.
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

// k8s: pkg/apis/certificates/validation/validation.go validateConditions
fn conditions(errors: &mut Errors, o: &Value, leave: Leave) {
    let path = Path::new("status").child("conditions");
    let list = o.list_at(&["status", "conditions"]);
    for (i, c) in list.iter().enumerate() {
        let at = path.index(i);
        let kind = c.str_at(&["type"]);
        if kind.is_empty() && !leave.nameless_conditions {
            errors.push(FieldError::required(&at.child("type"), ""));
        }
        let fixed = FINAL.contains(&kind);
        let words: &[&str] = if fixed { &["True"] } else { &["False", "True", "Unknown"] };
        match c.str_at(&["status"]) {
            "" => errors.push(FieldError::required(&at.child("status"), "")),
            s if !words.contains(&s) => {
                errors.push(FieldError::not_supported(&at.child("status"), s, words));
            }
            _ => {}
        }
        let excluded = match kind {
            "Approved" if !leave.both_decisions => "Denied",
            "Denied" if !leave.both_decisions => "Approved",
            _ => "",
        };
        if list[..i].iter().any(|o| o.str_at(&["type"]) == excluded && !excluded.is_empty()) {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&at.child("type"), quoted(kind), why));
        }
        if !leave.repeated_conditions && list[..i].iter().any(|o| o.str_at(&["type"]) == kind) {
            errors.push(FieldError::duplicate(&at.child("type"), quoted(kind)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn the_wish_stays_what_it_was() {
        let old = yaml("spec: {username: u, request: eA==}\nstatus: {}");
        let cx = Context { user: "who".to_owned(), groups: vec!["g".to_owned()], ..Context::default() };
        let mut created = yaml("spec: {username: root, groups: [system:masters]}");
        RequestStrategy.prepare_for_create(&mut created, &cx);
        assert_eq!(created, yaml("spec: {username: who, groups: [g]}\nstatus: {}"));
        let mut new =
            yaml("spec: {username: v}\nstatus: {certificate: eA==, conditions: [{type: Approved}]}");
        RequestStrategy.prepare_for_update(&mut new, &old, Operation::UpdateSubresource("approval"), &cx);
        assert_eq!(new, yaml("spec: {username: u, request: eA==}\nstatus: {conditions: [{type: Approved}]}"));
    }

    /// A request as it is stored.
    fn stored(rest: &str) -> Value {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        let pem = STANDARD.encode(made.pem().unwrap());
        yaml(&format!("spec: {{request: {pem}, {rest}"))
    }

    fn cert() -> String {
        rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn refuses() {
        let table: &[(&str, &[&str])] = &[
            ("signerName: example.com/a, usages: [client auth]}", &[]),
            (
                "signerName: a, usages: [nope, signing, signing], expirationSeconds: 5}",
                &[
                    "spec.usages[2]: Duplicate value: \"signing\"",
                    "spec.signerName: Invalid value: \"a\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
                    "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
                ],
            ),
            (
                "signerName: kubernetes.io/legacy-unknown, usages: []}",
                &[
                    "spec.usages: Required value",
                    "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
                ],
            ),
        ];
        for (spec, want) in table {
            let got = texts(&RequestStrategy.validate(&stored(spec)));
            let got: Vec<&String> = got.iter().filter(|e| !e.contains("supported values")).collect();
            assert_eq!(got, *want, "{spec}");
        }
        let empty = "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n";
        for (request, want) in [("x", "PEM block type must be CERTIFICATE REQUEST"), (empty, "x509: ")] {
            let mut o = stored("signerName: a.b/c, usages: [signing]}");
            o.set_at(&["spec", "request"], STANDARD.encode(request));
            let got = texts(&RequestStrategy.validate(&o));
            assert!(got.len() == 1 && got[0].contains(want), "{got:?}");
        }
    }

    const GOOD: &str = "signerName: a.b/c, usages: [signing]}\nstatus: ";

    #[test]
    fn decisions_exclude_each_other_and_stay() {
        let approved = "conditions: [{type: Approved, status: 'True'}]";
        let both = "conditions: [{type: Approved, status: 'True'}, {type: Denied, status: 'False'}]";
        let twice = "conditions: [{type: Approved, status: 'True'}, {type: Approved, status: 'True'}]";
        let approval = Operation::UpdateSubresource("approval");
        let status = "status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\"";
        let table: &[(&str, &str, Operation, &[&str])] = &[
            ("", approved, approval, &[]),
            (
                "",
                approved,
                Operation::UpdateStatus,
                &["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""],
            ),
            (
                approved,
                "",
                approval,
                &["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""],
            ),
            (
                approved,
                "conditions: [{type: Approved, status: 'True', reason: R}]",
                Operation::UpdateStatus,
                &["status.conditions: Forbidden: updates may not modify a condition of type \"Approved\""],
            ),
            (
                "",
                both,
                approval,
                &[
                    status,
                    "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
                ],
            ),
            // What was stored so stays.
            (both, both, approval, &[status]),
            ("", twice, approval, &["status.conditions[1].type: Duplicate value: \"Approved\""]),
            (twice, twice, Operation::UpdateStatus, &[]),
            (
                "",
                "certificate: eA==",
                approval,
                &[
                    "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block",
                    "status.certificate: Forbidden: updates may not set certificate content",
                ],
            ),
        ];
        for (before, after, op, want) in table {
            let old = stored(&format!("{GOOD}{{{before}}}"));
            let mut new = yaml(&format!("status: {{{after}}}"));
            carry(&mut new, &old, "spec");
            assert_eq!(texts(&RequestStrategy.validate_update(&new, &old, *op)), *want, "{before} {after}");
        }
    }

    #[test]
    fn what_is_issued_are_certificates() {
        let good = cert();
        let wrong =
            |why: &str| vec![format!("status.certificate: Invalid value: \"<certificate data>\": {why}")];
        let table = [
            (good.clone(), vec![]),
            (good.clone() + &cert(), vec![]),
            ("x".to_owned(), wrong("must contain at least one CERTIFICATE PEM block")),
            (
                good.replace("CERTIFICATE", "THING"),
                wrong("only CERTIFICATE PEM blocks are allowed, found \"THING\""),
            ),
            (good.replacen('\n', "\nk: v\n\n", 1), wrong("no PEM block headers are permitted")),
            (
                meta::pem::encode("CERTIFICATE", b""),
                wrong("found CERTIFICATE PEM block containing 0 certificates"),
            ),
            (meta::pem::encode("CERTIFICATE", b"x"), wrong("x509: malformed certificate")),
        ];
        let old = stored(&format!("{GOOD}{{}}"));
        for (text, want) in table {
            let mut new = old.clone();
            new.set_at(&["status", "certificate"], STANDARD.encode(&text));
            let got = texts(&RequestStrategy.validate_update(&new, &old, Operation::UpdateStatus));
            assert_eq!(got, want, "{text}");
        }
        let mut first = old.clone();
        first.set_at(&["status", "certificate"], STANDARD.encode(&good));
        let mut second = old;
        second.set_at(&["status", "certificate"], STANDARD.encode(cert()));
        let got = texts(&RequestStrategy.validate_update(&second, &first, Operation::UpdateStatus));
        assert_eq!(
            got,
            ["status.certificate: Forbidden: updates may not modify existing certificate content"]
        );
    }
}
