//! CertificateSigningRequest: a wish for a certificate.

use meta::{FieldError, Path};
use schema::{Map, Value};

use crate::columns::{AGE, NAME, text, text_at};
use crate::defaults::empty_map;
use crate::kind::{
    Cell, Column, Context, FieldReader, Kind, NameRule, Operation, STATUS, Strategy, Subresource, carry,
    keep_other_half,
};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::yaml;

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
}
