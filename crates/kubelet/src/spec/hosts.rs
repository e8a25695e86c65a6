//! The text of a pod's `/etc/hosts` and its host name.
// k8s: pkg/kubelet/kubelet_pods.go ensureHostsFile, GeneratePodHostNameAndDomain

use std::fmt::Write;

use k8s_openapi::api::core::v1::Pod;

use crate::spec::PodExt;

const HOST_NAME_LIMIT: usize = 63;

/// The pod's host name and (with a subdomain) its domain name.
#[must_use]
pub fn names(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = pod.sp();
    let mut host = spec.hostname.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| pod.nm().to_owned());
    if host.len() > HOST_NAME_LIMIT {
        host.truncate(HOST_NAME_LIMIT);
        host.truncate(host.trim_end_matches(['-', '.']).len());
    }
    if let Some(fqdn) = spec.hostname_override.as_deref().filter(|h| !h.is_empty()) {
        return (fqdn.to_owned(), String::new());
    }
    let domain = match spec.subdomain.as_deref().filter(|s| !s.is_empty()) {
        Some(sub) => format!("{sub}.{}.svc.{cluster_domain}", pod.ns()),
        None => String::new(),
    };
    (host, domain)
}

/// The managed file of a pod with its own network.
#[must_use]
pub fn managed(pod: &Pod, ips: &[String], host: &str, domain: &str) -> String {
    let mut out = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    for ip in ips {
        let _ = if domain.is_empty() {
            writeln!(out, "{ip}\t{host}")
        } else {
            writeln!(out, "{ip}\t{host}.{domain}\t{host}")
        };
    }
    out + &aliases(pod)
}

/// The file of a pod on the host's network: the host's own, then the aliases.
#[must_use]
pub fn of_host(pod: &Pod, host_file: &str) -> String {
    format!("# Kubernetes-managed hosts file (host network).\n{host_file}{}", aliases(pod))
}

fn aliases(pod: &Pod) -> String {
    let all = pod.sp().host_aliases.as_deref().unwrap_or_default();
    if all.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n# Entries added by HostAliases.\n");
    for a in all {
        let names = a.hostnames.as_deref().unwrap_or_default();
        let _ = writeln!(out, "{}\t{}", a.ip, names.join("\t"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_names() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p-0", "namespace": "ns"},
            "spec": {"subdomain": "sub", "containers": [],
                "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}}))
        .unwrap();
        let (host, domain) = names(&pod, "cluster.local");
        assert_eq!((host.as_str(), domain.as_str()), ("p-0", "sub.ns.svc.cluster.local"));
        let text = managed(&pod, &["10.0.0.2".into()], &host, &domain);
        assert!(text.contains("10.0.0.2\tp-0.sub.ns.svc.cluster.local\tp-0\n"), "{text}");
        assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{text}");
        let long: Pod = serde_json::from_value(
            serde_json::json!({"metadata": {"name": format!("{}-b", "a".repeat(62))}}),
        )
        .unwrap();
        assert_eq!(names(&long, "x").0, "a".repeat(62));
    }
}
