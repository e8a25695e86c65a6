//! The admission plugins of upstream's API server in the order in which they are asked, and which of them are on.
//! A plugin is one line here and one file. It must never be asked while a request waits.
// k8s: pkg/kubeapiserver/options/plugins.go AllOrderedPlugins, DefaultOffAdmissionPlugins

use super::plugins::always_pull_images::AlwaysPullImages;
use super::plugins::certificate_approval::CertificateApproval;
use super::plugins::certificate_signing::CertificateSigning;
use super::plugins::certificate_subject_restriction::CertificateSubjectRestriction;
use super::plugins::cluster_trust_bundle_attest::ClusterTrustBundleAttest;
use super::plugins::default_ingress_class::DefaultIngressClass;
use super::plugins::default_storage_class::DefaultStorageClass;
use super::plugins::default_toleration_seconds::DefaultTolerationSeconds;
use super::plugins::deny_service_external_ips::DenyServiceExternalIps;
use super::plugins::extended_resource_toleration::ExtendedResourceToleration;
use super::plugins::hard_anti_affinity::LimitPodHardAntiAffinityTopology;
use super::plugins::limit_ranger::LimitRanger;
use super::plugins::namespace_lifecycle::NamespaceLifecycle;
use super::plugins::node_restriction::NodeRestriction;
use super::plugins::node_taint::TaintNodesByCondition;
use super::plugins::pod_resize::PodResizeValidator;
use super::plugins::pod_topology_labels::PodTopologyLabels;
use super::plugins::priority::Priority;
use super::plugins::runtime_class::RuntimeClass;
use super::plugins::service_account::ServiceAccount;
use super::plugins::volume_claim_resize::PersistentVolumeClaimResize;
use crate::storage::Plugin;

/// Makes a plugin.
type Make = fn() -> Box<dyn Plugin>;

/// A plugin that upstream has.
struct Listed {
    name: &'static str,
    /// Asked unless it is switched off.
    on: bool,
    /// Nothing where this server does not have it.
    make: Option<Make>,
}

/// On by default.
const fn on(name: &'static str, make: Make) -> Listed {
    Listed { name, on: true, make: Some(make) }
}

/// Off by default.
const fn off(name: &'static str, make: Make) -> Listed {
    Listed { name, on: false, make: Some(make) }
}

/// Not here.
const fn missing(name: &'static str) -> Listed {
    Listed { name, on: false, make: None }
}

const ALL: &[Listed] = &[
    missing("AlwaysAdmit"),
    missing("NamespaceAutoProvision"),
    on("NamespaceLifecycle", || Box::new(NamespaceLifecycle)),
    missing("NamespaceExists"),
    off("LimitPodHardAntiAffinityTopology", || Box::new(LimitPodHardAntiAffinityTopology)),
    on("LimitRanger", || Box::new(LimitRanger)),
    on("ServiceAccount", || Box::new(ServiceAccount)),
    off("NodeRestriction", || Box::new(NodeRestriction)),
    on("TaintNodesByCondition", || Box::new(TaintNodesByCondition)),
    off("AlwaysPullImages", || Box::new(AlwaysPullImages)),
    missing("ImagePolicyWebhook"),
    missing("PodSecurity"),
    missing("PodNodeSelector"),
    on("Priority", || Box::new(Priority)),
    on("DefaultTolerationSeconds", || Box::new(DefaultTolerationSeconds)),
    missing("PodTolerationRestriction"),
    missing("EventRateLimit"),
    off("ExtendedResourceToleration", || Box::new(ExtendedResourceToleration)),
    on("DefaultStorageClass", || Box::new(DefaultStorageClass)),
    missing("StorageObjectInUseProtection"),
    missing("PodGroupProtection"),
    missing("OwnerReferencesPermissionEnforcement"),
    on("PersistentVolumeClaimResize", || Box::new(PersistentVolumeClaimResize)),
    on("RuntimeClass", || Box::new(RuntimeClass)),
    on("CertificateApproval", || Box::new(CertificateApproval)),
    on("CertificateSigning", || Box::new(CertificateSigning)),
    on("ClusterTrustBundleAttest", || Box::new(ClusterTrustBundleAttest)),
    on("CertificateSubjectRestriction", || Box::new(CertificateSubjectRestriction)),
    on("DefaultIngressClass", || Box::new(DefaultIngressClass)),
    off("DenyServiceExternalIPs", || Box::new(DenyServiceExternalIps)),
    on("PodTopologyLabels", || Box::new(PodTopologyLabels)),
    missing("PodGroupWorkloadExists"),
    missing("NodeDeclaredFeatureValidator"),
    missing("JobValidation"),
    on("PodResizeValidator", || Box::new(PodResizeValidator)),
    missing("MutatingAdmissionPolicy"),
    missing("MutatingAdmissionWebhook"),
    missing("ValidatingAdmissionPolicy"),
    missing("ValidatingAdmissionWebhook"),
    missing("ResourceQuota"),
    missing("AlwaysDeny"),
];

/// Which plugins are switched on and off besides what is on by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// `--enable-admission-plugins`.
    pub enabled: Vec<String>,
    /// `--disable-admission-plugins`.
    pub disabled: Vec<String>,
}

impl Default for Chosen {
    /// What is on in a cluster made by kubeadm: kubelets write only what is theirs.
    fn default() -> Self {
        Chosen { enabled: vec!["NodeRestriction".to_owned()], disabled: Vec::new() }
    }
}

impl Chosen {
    /// Says what is wrong with the choice.
    ///
    /// # Errors
    /// Names that nobody knows, that stand on both sides, and those of plugins that this server does not have, in
    /// upstream's words as far as it has any.
    // k8s: staging/src/k8s.io/apiserver/pkg/server/options/admission.go Validate
    pub fn check(&self) -> Result<(), String> {
        let mut errors = Vec::new();
        for (flag, names) in [("enable", &self.enabled), ("disable", &self.disabled)] {
            for name in names.iter().filter(|name| find(name).is_none()) {
                let shown = meta::field::quoted(name);
                errors.push(format!("{flag}-admission-plugins plugin {shown} is unknown"));
            }
        }
        let mut both: Vec<&str> =
            self.enabled.iter().filter(|name| self.disabled.contains(name)).map(|name| &**name).collect();
        both.sort_unstable();
        both.dedup();
        if !both.is_empty() {
            let shown = both.join(" ");
            errors.push(format!(
                "[{shown}] in enable-admission-plugins and disable-admission-plugins overlapped"
            ));
        }
        for name in &self.enabled {
            if find(name).is_some_and(|listed| listed.make.is_none()) {
                let shown = meta::field::quoted(name);
                errors.push(format!(
                    "enable-admission-plugins plugin {shown} is not there: this server does not have it yet"
                ));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors.join(", ")) }
    }

    /// The plugins that are on, in their order.
    ///
    /// # Errors
    /// As [`Chosen::check`].
    pub(super) fn plugins(&self) -> Result<Vec<Box<dyn Plugin>>, String> {
        self.check()?;
        let has = |names: &[String], listed: &Listed| names.iter().any(|name| name == listed.name);
        let is_on =
            |listed: &&Listed| has(&self.enabled, listed) || listed.on && !has(&self.disabled, listed);
        Ok(ALL.iter().filter(is_on).filter_map(|listed| listed.make).map(|make| make()).collect())
    }
}

fn find(name: &str) -> Option<&'static Listed> {
    ALL.iter().find(|listed| listed.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(enabled: &[&str], disabled: &[&str]) -> Chosen {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Chosen { enabled: own(enabled), disabled: own(disabled) }
    }

    #[test]
    fn every_plugin_goes_by_its_name() {
        for listed in ALL {
            if let Some(make) = listed.make {
                assert_eq!(make().name(), listed.name);
            }
        }
    }

    #[test]
    fn what_is_on() {
        let names = |c: &Chosen| c.plugins().unwrap().iter().map(|p| p.name()).collect::<Vec<_>>();
        let usual = names(&chosen(&[], &[]));
        assert_eq!(usual[..3], ["NamespaceLifecycle", "LimitRanger", "ServiceAccount"]);
        assert!(!usual.contains(&"NodeRestriction") && usual.contains(&"Priority"));
        assert!(names(&Chosen::default()).contains(&"NodeRestriction"));
        // What is asked for twice is asked once, and what is not here can be switched off.
        assert_eq!(names(&chosen(&["Priority", "Priority"], &["AlwaysDeny"])), usual);
        assert!(!names(&chosen(&[], &["Priority"])).contains(&"Priority"));
    }

    #[test]
    fn what_is_wrong_with_a_choice() {
        let cases: [(&[&str], &[&str], &str); 4] = [
            (&["Nope"], &[], "enable-admission-plugins plugin \"Nope\" is unknown"),
            (&[], &["Nope"], "disable-admission-plugins plugin \"Nope\" is unknown"),
            (
                &["Priority", "ServiceAccount"],
                &["ServiceAccount", "Priority"],
                "[Priority ServiceAccount] in enable-admission-plugins and disable-admission-plugins overlapped",
            ),
            (
                &["ImagePolicyWebhook"],
                &[],
                "enable-admission-plugins plugin \"ImagePolicyWebhook\" is not there: this server does not have it yet",
            ),
        ];
        for (enabled, disabled, want) in cases {
            assert_eq!(chosen(enabled, disabled).check().unwrap_err(), want);
        }
    }
}
