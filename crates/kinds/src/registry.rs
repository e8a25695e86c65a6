//! All built-in kinds, and the ways to find one.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Kind;

static ALL: &[&Kind] = &[
    &crate::admissionregistration::mutating_admission_policy::KIND,
    &crate::admissionregistration::mutating_admission_policy_binding::KIND,
    &crate::admissionregistration::mutating_webhook_configuration::KIND,
    &crate::admissionregistration::validating_admission_policy::KIND,
    &crate::admissionregistration::validating_admission_policy_binding::KIND,
    &crate::admissionregistration::validating_webhook_configuration::KIND,
    &crate::apiextensions::custom_resource_definition::KIND,
    &crate::apiregistration::api_service::KIND,
    &crate::apps::controller_revision::KIND,
    &crate::apps::daemon_set::KIND,
    &crate::apps::deployment::KIND,
    &crate::apps::replica_set::KIND,
    &crate::apps::stateful_set::KIND,
    &crate::authentication::self_subject_review::KIND,
    &crate::authentication::token_review::KIND,
    &crate::authorization::local_subject_access_review::KIND,
    &crate::authorization::self_subject_access_review::KIND,
    &crate::authorization::self_subject_rules_review::KIND,
    &crate::authorization::subject_access_review::KIND,
    &crate::autoscaling::horizontal_pod_autoscaler::KIND,
    &crate::autoscaling::horizontal_pod_autoscaler_v1::KIND,
    &crate::batch::cron_job::KIND,
    &crate::batch::job::KIND,
    &crate::certificates::certificate_signing_request::KIND,
    &crate::certificates::cluster_trust_bundle::KIND,
    &crate::certificates::pod_certificate_request::KIND,
    &crate::coordination::lease::KIND,
    &crate::core::binding::KIND,
    &crate::core::component_status::KIND,
    &crate::core::config_map::KIND,
    &crate::core::endpoints::KIND,
    &crate::core::event::KIND,
    &crate::core::limit_range::KIND,
    &crate::core::namespace::KIND,
    &crate::core::node::KIND,
    &crate::core::persistent_volume::KIND,
    &crate::core::persistent_volume_claim::KIND,
    &crate::core::pod::KIND,
    &crate::core::pod_template::KIND,
    &crate::core::replication_controller::KIND,
    &crate::core::resource_quota::KIND,
    &crate::core::secret::KIND,
    &crate::core::service::KIND,
    &crate::core::service_account::KIND,
    &crate::discovery::endpoint_slice::KIND,
    &crate::events::event::KIND,
    &crate::flowcontrol::flow_schema::KIND,
    &crate::flowcontrol::priority_level_configuration::KIND,
    &crate::networking::ingress::KIND,
    &crate::networking::ingress_class::KIND,
    &crate::networking::ip_address::KIND,
    &crate::networking::network_policy::KIND,
    &crate::networking::service_cidr::KIND,
    &crate::node::runtime_class::KIND,
    &crate::policy::pod_disruption_budget::KIND,
    &crate::rbac::cluster_role::KIND,
    &crate::rbac::cluster_role_binding::KIND,
    &crate::rbac::role::KIND,
    &crate::rbac::role_binding::KIND,
    &crate::resource::device_class::KIND,
    &crate::resource::device_taint_rule::KIND,
    &crate::resource::resource_claim::KIND,
    &crate::resource::resource_claim_template::KIND,
    &crate::resource::resource_slice::KIND,
    &crate::scheduling::priority_class::KIND,
    &crate::storage::csi_driver::KIND,
    &crate::storage::csi_node::KIND,
    &crate::storage::csi_storage_capacity::KIND,
    &crate::storage::storage_class::KIND,
    &crate::storage::volume_attachment::KIND,
    &crate::storage::volume_attributes_class::KIND,
    &crate::storagemigration::storage_version_migration::KIND,
];

/// Groups in the order of preference that discovery lists them in; versions of one group, best first.
static GROUPS: &[(&str, &[&str])] = &[
    ("", &["v1"]),
    ("apiregistration.k8s.io", &["v1"]),
    ("apps", &["v1"]),
    ("events.k8s.io", &["v1"]),
    ("authentication.k8s.io", &["v1"]),
    ("authorization.k8s.io", &["v1"]),
    ("autoscaling", &["v2", "v1"]),
    ("batch", &["v1"]),
    ("certificates.k8s.io", &["v1"]),
    ("networking.k8s.io", &["v1"]),
    ("policy", &["v1"]),
    ("rbac.authorization.k8s.io", &["v1"]),
    ("storage.k8s.io", &["v1"]),
    ("admissionregistration.k8s.io", &["v1"]),
    ("apiextensions.k8s.io", &["v1"]),
    ("scheduling.k8s.io", &["v1"]),
    ("coordination.k8s.io", &["v1"]),
    ("node.k8s.io", &["v1"]),
    ("discovery.k8s.io", &["v1"]),
    ("resource.k8s.io", &["v1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1"]),
    ("storagemigration.k8s.io", &["v1"]),
];

type Triple = (&'static str, &'static str, &'static str);

static BY_RESOURCE: LazyLock<HashMap<Triple, &'static Kind>> =
    LazyLock::new(|| ALL.iter().map(|k| ((&*k.group, &*k.version, &*k.plural), *k)).collect());
static BY_KIND: LazyLock<HashMap<Triple, &'static Kind>> =
    LazyLock::new(|| ALL.iter().map(|k| ((&*k.group, &*k.version, &*k.kind), *k)).collect());

/// Every built-in kind that is served.
#[must_use]
pub fn all() -> &'static [&'static Kind] {
    ALL
}

/// The groups of built-in kinds with their versions: groups in the order discovery lists them, the preferred
/// version first. The core group is empty.
#[must_use]
pub fn groups() -> &'static [(&'static str, &'static [&'static str])] {
    GROUPS
}

/// The kind served as that resource.
#[must_use]
pub fn by_resource(group: &str, version: &str, resource: &str) -> Option<&'static Kind> {
    lookup(&BY_RESOURCE, group, version, resource)
}

/// The kind of that name.
#[must_use]
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    lookup(&BY_KIND, group, version, kind)
}

/// The kinds of one group and version.
pub fn of_version<'a>(group: &'a str, version: &'a str) -> impl Iterator<Item = &'static Kind> + use<'a> {
    ALL.iter().copied().filter(move |k| k.group == group && k.version == version)
}

fn lookup<'a>(
    map: &HashMap<(&'a str, &'a str, &'a str), &'static Kind>,
    group: &'a str,
    version: &'a str,
    last: &'a str,
) -> Option<&'static Kind> {
    map.get(&(group, version, last)).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_found_and_belongs_to_a_listed_group() {
        for k in all() {
            assert!(std::ptr::eq(by_resource(&k.group, &k.version, &k.plural).unwrap(), *k), "{}", k.plural);
            assert!(std::ptr::eq(by_kind(&k.group, &k.version, &k.kind).unwrap(), *k), "{}", k.kind);
            assert!(groups().iter().any(|(g, v)| *g == k.group && v.contains(&&*k.version)), "{}", k.group);
        }
        let unique: BTreeSet<_> = all().iter().map(|k| k.gvr()).collect();
        assert_eq!(unique.len(), all().len());
    }

    #[test]
    fn stored_keys_are_unique_but_for_shared_storage() {
        let mut seen = BTreeSet::new();
        for k in all().iter().filter(|k| matches!(k.storage, crate::Storage::Stored)) {
            assert!(seen.insert(k.prefix()), "{}", k.prefix());
        }
        assert_eq!(by_resource("", "v1", "pods").unwrap().key("a", "b"), "/registry/pods/a/b");
        assert_eq!(
            by_resource("apps", "v1", "deployments").unwrap().key("a", "b"),
            "/registry/apps/deployments/a/b"
        );
    }
}
