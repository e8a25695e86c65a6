//! CertificateSigningRequest: a wish for a certificate.

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, NAME, text, text_at};
use crate::defaults::empty_map;
use crate::kind::{Cell, Column, Context, FieldReader, Kind, NameRule, STATUS, Strategy, Subresource};

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

const FIELDS: &[(&str, FieldReader)] =
    &[("spec.signerName", |o| o.str_at(&["spec", "signerName"]).to_owned())];

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
        o.set_at(&["status"], empty_map());
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        for field in ["request", "signerName"] {
            if o.str_at(&["spec", field]).is_empty() {
                errors.push(FieldError::required(&path.child(field), ""));
            }
        }
        if o.list_at(&["spec", "usages"]).is_empty() {
            errors.push(FieldError::required(&path.child("usages"), ""));
        }
        errors
    }
}
