//! Group, version and resource; group, version and kind.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;

/// Group, version and plural resource name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvr {
    /// Empty for the core group.
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    /// Plural, lower case: `pods`.
    pub resource: Cow<'static, str>,
}

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// Empty for the core group.
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub kind: Cow<'static, str>,
}

impl Gvr {
    /// From text known at compile time.
    #[must_use]
    pub const fn new(group: &'static str, version: &'static str, resource: &'static str) -> Self {
        Gvr {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            resource: Cow::Borrowed(resource),
        }
    }

    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `pods` or `deployments.apps`, as messages name a resource.
    #[must_use]
    pub fn group_resource(&self) -> String {
        qualified(&self.resource, &self.group)
    }
}

impl Gvk {
    /// From text known at compile time.
    #[must_use]
    pub const fn new(group: &'static str, version: &'static str, kind: &'static str) -> Self {
        Gvk { group: Cow::Borrowed(group), version: Cow::Borrowed(version), kind: Cow::Borrowed(kind) }
    }

    /// From an object's `apiVersion` and `kind`.
    #[must_use]
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        let (group, version) = split_api_version(api_version);
        Gvk {
            group: Cow::Owned(group.to_owned()),
            version: Cow::Owned(version.to_owned()),
            kind: Cow::Owned(kind.to_owned()),
        }
    }

    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `Pod` or `Deployment.apps`, as messages name a kind.
    #[must_use]
    pub fn group_kind(&self) -> String {
        qualified(&self.kind, &self.group)
    }
}

impl fmt::Display for Gvr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.resource)
    }
}

/// `v1` or `apps/v1` from its parts.
#[must_use]
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Splits `apps/v1` into group and version; the core group is empty.
#[must_use]
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// Where a version of a group stands among the others: released ones before betas before alphas, newer ones first, and
/// what is no such version behind them by its name.
// k8s: staging/src/k8s.io/apimachinery/pkg/version/helpers.go CompareKubeAwareVersionStrings
#[must_use]
pub fn version_order(version: &str) -> (u8, Reverse<u64>, Reverse<u64>, String) {
    let (class, major, minor) = kube_version(version).unwrap_or((3, 0, 0));
    let name = if class == 3 { version.to_owned() } else { String::new() };
    (class, Reverse(major), Reverse(minor), name)
}

fn kube_version(version: &str) -> Option<(u8, u64, u64)> {
    let number = |digits: &str| match digits.starts_with(['0', '+']) {
        true => None,
        false => digits.parse().ok(),
    };
    let rest = version.strip_prefix('v')?;
    for (word, class) in [("alpha", 2), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((class, number(major)?, number(minor)?));
        }
    }
    Some((0, number(rest)?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_the_order_of_preference() {
        let mut versions =
            ["foo1", "v1alpha2", "v10", "v1", "v2beta1", "v1beta1", "v01", "v1alpha1", "bar", "v11beta2"];
        versions.sort_by_key(|v| version_order(v));
        let want =
            ["v10", "v1", "v11beta2", "v2beta1", "v1beta1", "v1alpha2", "v1alpha1", "bar", "foo1", "v01"];
        assert_eq!(versions, want);
    }
}
