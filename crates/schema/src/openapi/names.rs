//! Names of definitions and operations, as upstream's Go packages make them.

/// `io.k8s.api.apps.v1.Deployment` of the table's `apps/v1.Deployment`.
#[must_use]
pub fn definition_name(full_name: &str) -> String {
    let (gv, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
    let (group, version) = gv.split_once('/').unwrap_or(("", gv));
    let package = match group {
        "" => "io.k8s.api.core".to_owned(),
        "meta.k8s.io" => "io.k8s.apimachinery.pkg.apis.meta".to_owned(),
        "apiextensions.k8s.io" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions".to_owned(),
        "apiregistration.k8s.io" => "io.k8s.kube-aggregator.pkg.apis.apiregistration".to_owned(),
        "metrics.k8s.io" => "io.k8s.metrics.pkg.apis.metrics".to_owned(),
        "internal.apiserver.k8s.io" => "io.k8s.api.apiserverinternal".to_owned(),
        group => format!("io.k8s.api.{}", group.split('.').next().unwrap_or(group)),
    };
    format!("{package}.{version}.{name}")
}

/// `Apps` of `apps`, `Core` of the core group, `RbacAuthorization` of `rbac.authorization.k8s.io`.
pub fn group_title(group: &str) -> String {
    let group = group.strip_suffix(".k8s.io").unwrap_or(group);
    if group.is_empty() {
        return "Core".to_owned();
    }
    group.split(['.', '-']).map(title).collect()
}

/// First letter upper case.
pub fn title(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + chars.as_str(),
        None => String::new(),
    }
}
