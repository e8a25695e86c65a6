//! DenyServiceExternalIPs: no Service gets traffic for addresses that it names itself.
// k8s: plugin/pkg/admission/network/denyserviceexternalips/admission.go

use kinds::core::service;
use meta::Status;
use schema::Value;

use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

pub(in crate::admission) struct DenyServiceExternalIps;

impl Plugin for DenyServiceExternalIps {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_write = request.operation != Op::Delete && request.is_whole(&service::KIND);
        if !is_write || !names_more(request.object, request.old) {
            return Reply::now(Ok(()));
        }
        Reply::now(Err(request.forbidden("Use of external IPs is denied by admission control")))
    }
}

/// Whether the Service names an address that it did not name before.
fn names_more(new: &Value, old: Option<&Value>) -> bool {
    let before = old.map_or(&[][..], |old| old.list_at(&["spec", "externalIPs"]));
    new.list_at(&["spec", "externalIPs"]).iter().any(|ip| !before.contains(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_addresses() {
        let of = |ips: &str| {
            schema::decode_plain(format!(r#"{{"spec":{{"externalIPs":{ips}}}}}"#).as_bytes()).unwrap()
        };
        for (new, old, want) in [
            ("[]", None, false),
            (r#"["1.1.1.1"]"#, None, true),
            (r#"["1.1.1.1"]"#, Some(r#"["1.1.1.1","2.2.2.2"]"#), false),
            (r#"["1.1.1.1","2.2.2.2"]"#, Some(r#"["1.1.1.1"]"#), true),
        ] {
            assert_eq!(names_more(&of(new), old.map(of).as_ref()), want, "{new} {old:?}");
        }
    }
}
