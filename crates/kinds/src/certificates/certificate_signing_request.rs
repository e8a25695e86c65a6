//! CertificateSigningRequest: a wish for a certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::{Map, Value};

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

    // k8s: pkg/apis/certificates/validation/validation.go validateCertificateSigningRequest
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let request = o.str_at(&["spec", "request"]);
        if !is_pem_request(request) {
            let why = "PEM block type must be CERTIFICATE REQUEST";
            errors.push(FieldError::invalid(&path.child("request"), quoted(request), why));
        }
        let usages = o.list_at(&["spec", "usages"]);
        let at = path.child("usages");
        if usages.is_empty() {
            errors.push(FieldError::required(&at, "usages must be provided"));
        }
        for (i, u) in usages.iter().enumerate() {
            let text = u.as_str().unwrap_or("");
            if !USAGES.contains(&text) {
                errors.push(FieldError::not_supported(&at.index(i), text, USAGES));
            }
            if usages[..i].contains(u) {
                errors.push(FieldError::duplicate(&at.index(i), quoted(text)));
            }
        }
        let signer = o.str_at(&["spec", "signerName"]);
        let at = path.child("signerName");
        if signer == "kubernetes.io/legacy-unknown" {
            let why = "the legacy signerName is not allowed via this API version";
            errors.push(FieldError::invalid(&at, quoted(signer), why));
        } else {
            signer_name(&mut errors, signer, &at);
        }
        if let Some(n) = o.int_at(&["spec", "expirationSeconds"]).filter(|n| *n < 600) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.push(FieldError::invalid(&path.child("expirationSeconds"), n.to_string(), why));
        }
        errors.extend(conditions(o));
        errors
    }

    // k8s: pkg/apis/certificates/validation/validation.go validateCertificateSigningRequestUpdate
    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        let mut errors = conditions(new);
        let find = |o: &Value, kind: &str| {
            o.list_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == kind).cloned()
        };
        let approving = op == Operation::UpdateSubresource("approval");
        for kind in ["Approved", "Denied", "Failed"] {
            let (after, before) = (find(new, kind), find(old, kind));
            let path = Path::new("status").child("conditions");
            if before.is_some() && after.is_none() {
                let why = format!("updates may not remove a condition of type {}", quoted(kind));
                errors.push(FieldError::forbidden(&path, why));
            } else if kind != "Failed" && !approving && after != before {
                let why = format!("updates may not add or modify a condition of type {}", quoted(kind));
                errors.push(FieldError::forbidden(&path, why));
            }
        }
        let certificate = |o: &Value| o.str_at(&["status", "certificate"]).to_owned();
        if !certificate(old).is_empty() && certificate(new) != certificate(old) {
            let at = Path::new("status").child("certificate");
            let why = "updates may not modify existing certificate content";
            errors.push(FieldError::forbidden(&at, why));
        }
        errors
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

/// Whether base64 text holds a PEM block of a certificate request; what is inside is the signer's to judge.
fn is_pem_request(base64: &str) -> bool {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.contains("-----BEGIN CERTIFICATE REQUEST-----") && text.contains("-----END CERTIFICATE REQUEST-----")
}

/// `example.com/signer-name`.
// k8s: pkg/apis/core/validation/names.go ValidateSignerName
fn signer_name(errors: &mut Errors, name: &str, path: &Path) {
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
    for (part, check) in
        [(domain, name::dns1123_label as fn(&str) -> Vec<String>), (rest, name::dns1123_subdomain)]
    {
        for label in part.split('.') {
            let complaints = check(label);
            if complaints.is_empty() {
                continue;
            }
            for why in complaints {
                let why = format!("validating label {}: {why}", quoted(label));
                errors.push(FieldError::invalid(path, quoted(part), why));
            }
            break;
        }
    }
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, quoted(domain), why));
    }
}

// k8s: pkg/apis/certificates/validation/validation.go validateConditions
fn conditions(o: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status").child("conditions");
    let list = o.list_at(&["status", "conditions"]);
    for (i, c) in list.iter().enumerate() {
        let at = path.index(i);
        let kind = c.str_at(&["type"]);
        if kind.is_empty() {
            errors.push(FieldError::required(&at.child("type"), ""));
        }
        let fixed = matches!(kind, "Approved" | "Denied" | "Failed");
        let words: &[&str] = if fixed { &["True"] } else { &["False", "True", "Unknown"] };
        match c.str_at(&["status"]) {
            "" => errors.push(FieldError::required(&at.child("status"), "")),
            s if !words.contains(&s) => {
                errors.push(FieldError::not_supported(&at.child("status"), s, words));
            }
            _ => {}
        }
        let excluded = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if list[..i].iter().any(|o| o.str_at(&["type"]) == excluded && !excluded.is_empty()) {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&at.child("type"), quoted(kind), why));
        }
        if list[..i].iter().any(|o| o.str_at(&["type"]) == kind) {
            errors.push(FieldError::duplicate(&at.child("type"), quoted(kind)));
        }
    }
    errors
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

    #[test]
    fn refuses() {
        let pem =
            STANDARD.encode("-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n");
        let table: &[(&str, &[&str])] = &[
            ("signerName: example.com/a, usages: [client auth]", &[]),
            (
                "signerName: a, usages: [nope, signing, signing], expirationSeconds: 5",
                &[
                    "spec.usages[2]: Duplicate value: \"signing\"",
                    "spec.signerName: Invalid value: \"a\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
                    "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
                ],
            ),
            (
                "signerName: com/a, usages: [signing]",
                &[
                    "spec.signerName: Invalid value: \"com\": should be a domain with at least two segments separated by dots",
                ],
            ),
        ];
        for (spec, want) in table {
            let o = yaml(&format!("spec: {{request: {pem}, {spec}}}"));
            let got = texts(&RequestStrategy.validate(&o));
            let got: Vec<&String> = got.iter().filter(|e| !e.contains("supported values")).collect();
            assert_eq!(got, *want, "{spec}");
        }
        let bare = texts(&RequestStrategy.validate(&yaml("spec: {request: eA==, signerName: a.b/c}")));
        assert_eq!(
            bare,
            [
                "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
                "spec.usages: Required value: usages must be provided",
            ]
        );
        let both =
            yaml("status: {conditions: [{type: Approved, status: 'True'}, {type: Denied, status: 'False'}]}");
        let e = texts(&RequestStrategy.validate_update(
            &both,
            &yaml("{}"),
            Operation::UpdateSubresource("approval"),
        ));
        assert_eq!(
            e,
            [
                "status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\"",
                "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
            ]
        );
    }
}
