//! Image references, pull policies and registry credentials. Pure.

use base64::Engine;
use cri::v1::AuthConfig;
use k8s_openapi::api::core::v1::{Container, Secret};
use serde::Deserialize;
use std::collections::BTreeMap;

/// When to pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Always,
    IfNotPresent,
    Never,
}

/// The container's policy; without one: `Always` for `:latest` or no tag.
#[must_use]
pub fn policy(container: &Container) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        Some("IfNotPresent") => Policy::IfNotPresent,
        _ => {
            let image = container.image.as_deref().unwrap_or_default();
            match parse(image) {
                Some(r) if r.digest.is_none() && r.tag.as_deref().unwrap_or("latest") == "latest" => {
                    Policy::Always
                }
                _ => Policy::IfNotPresent,
            }
        }
    }
}

/// A reference in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

/// Takes a reference apart; `None` when it is not one.
// k8s: github.com/distribution/reference, as far as its grammar goes
#[must_use]
pub fn parse(image: &str) -> Option<Reference> {
    let (rest, digest) = match image.split_once('@') {
        Some((r, d)) => (r, Some(d.to_owned())),
        None => (image, None),
    };
    if let Some(d) = &digest {
        let (algorithm, hex) = d.split_once(':')?;
        if algorithm.is_empty() || hex.len() < 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
    }
    let (name, tag) = match rest.rsplit_once(':') {
        Some((n, t)) if !t.contains('/') => (n, Some(t.to_owned())),
        _ => (rest, None),
    };
    if let Some(t) = &tag {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if t.is_empty() || t.len() > 128 || !t.bytes().all(ok) || t.starts_with(['.', '-']) {
            return None;
        }
    }
    let (registry, path) = match name.split_once('/') {
        Some((host, p)) if host.contains(['.', ':']) || host == "localhost" => (host, p),
        _ => ("docker.io", name),
    };
    let part_ok = |p: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        p.bytes().all(inner) && edge(p.as_bytes().first()) && edge(p.as_bytes().last())
    };
    if path.len() > 255 || path.is_empty() || !path.split('/').all(part_ok) {
        return None;
    }
    let repository = if registry == "docker.io" && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    Some(Reference { registry: registry.to_owned(), repository, tag, digest })
}

#[derive(Deserialize, Default)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DockerAuth {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

/// Credentials for an image among the pull secrets: the longest matching entries first.
#[must_use]
pub fn credentials(image: &str, secrets: &[Secret]) -> Vec<AuthConfig> {
    let Some(reference) = parse(image) else { return Vec::new() };
    let target = format!("{}/{}", reference.registry, reference.repository);
    let mut found: Vec<(usize, AuthConfig)> = Vec::new();
    for s in secrets {
        for (key, auth) in entries(s) {
            let name = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
            let name = name.trim_end_matches("/v1").trim_end_matches("/v2");
            let name =
                if matches!(name, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { name };
            if matches_entry(name, &target) {
                found.push((name.len(), auth_config(&key, auth)));
            }
        }
    }
    found.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    found.into_iter().map(|(_, a)| a).collect()
}

fn entries(s: &Secret) -> BTreeMap<String, DockerAuth> {
    let Some(data) = &s.data else { return BTreeMap::new() };
    if let Some(b) = data.get(".dockerconfigjson") {
        return serde_json::from_slice::<DockerConfig>(&b.0).unwrap_or_default().auths;
    }
    if let Some(b) = data.get(".dockercfg") {
        return serde_json::from_slice(&b.0).unwrap_or_default();
    }
    BTreeMap::new()
}

/// `*.example.com/path` against `reg.example.com/path/image`: each host label may be a star.
fn matches_entry(entry: &str, target: &str) -> bool {
    let (eh, ep) = entry.split_once('/').unwrap_or((entry, ""));
    let (th, tp) = target.split_once('/').unwrap_or((target, ""));
    let (el, tl): (Vec<&str>, Vec<&str>) = (eh.split('.').collect(), th.split('.').collect());
    let hosts = el.len() == tl.len()
        && el.iter().zip(&tl).all(|(e, t)| match e.strip_prefix('*') {
            Some(rest) => t.ends_with(rest),
            None => e == t,
        });
    hosts && (ep.is_empty() || tp == ep || tp.starts_with(&format!("{ep}/")))
}

fn auth_config(server: &str, a: DockerAuth) -> AuthConfig {
    let mut out = AuthConfig {
        username: a.username,
        password: a.password,
        server_address: server.to_owned(),
        identity_token: a.identitytoken,
        registry_token: a.registrytoken,
        ..AuthConfig::default()
    };
    if let Ok(raw) = base64::engine::general_purpose::STANDARD.decode(a.auth.as_bytes())
        && let Ok(text) = String::from_utf8(raw)
        && let Some((user, password)) = text.split_once(':')
    {
        out.username = user.to_owned();
        out.password = password.trim_end_matches('\0').to_owned();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let cases = [
            ("nginx", Some(("docker.io", "library/nginx", None))),
            ("a/b:1", Some(("docker.io", "a/b", Some("1")))),
            ("localhost:5000/x/y:v1", Some(("localhost:5000", "x/y", Some("v1")))),
            ("127.0.0.1:5000/web", Some(("127.0.0.1:5000", "web", None))),
            ("Upper", None),
            ("a:", None),
            ("", None),
            ("a//b", None),
            ("x@sha256:12", None),
        ];
        for (image, want) in cases {
            let got = parse(image);
            let got = got.as_ref().map(|r| (r.registry.as_str(), r.repository.as_str(), r.tag.as_deref()));
            assert_eq!(got, want, "{image}");
        }
    }

    #[test]
    fn default_policies() {
        for (image, given, want) in [
            ("a", None, Policy::Always),
            ("a:latest", None, Policy::Always),
            ("a:1", None, Policy::IfNotPresent),
            ("a:1", Some("Never"), Policy::Never),
        ] {
            let c = Container {
                image: Some(image.into()),
                image_pull_policy: given.map(str::to_owned),
                ..Container::default()
            };
            assert_eq!(policy(&c), want, "{image}");
        }
    }

    #[test]
    fn pull_secrets_match_by_registry_and_path() {
        let config = r#"{"auths":{"reg.io":{"auth":"dTpw"},"reg.io/team":{"username":"t","password":"x"},
            "https://index.docker.io/v1/":{"username":"hub"},"*.my.io":{"username":"star"}}}"#;
        let s = Secret {
            data: Some(
                [(".dockerconfigjson".to_owned(), k8s_openapi::ByteString(config.as_bytes().to_vec()))]
                    .into(),
            ),
            ..Secret::default()
        };
        let users = |image: &str| -> Vec<String> {
            credentials(image, std::slice::from_ref(&s)).into_iter().map(|a| a.username).collect()
        };
        assert_eq!(users("reg.io/team/a"), ["t", "u"]);
        assert_eq!(users("reg.io/other"), ["u"]);
        assert_eq!(users("nginx"), ["hub"]);
        assert_eq!(users("a.my.io/x"), ["star"]);
        assert!(users("b.a.my.io/x").is_empty());
    }
}
