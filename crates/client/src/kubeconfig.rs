//! kubeconfig files and the credentials that a pod finds inside itself. It must never guess: what it does not
//! support is an error that says so.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::remote::{Endpoint, Token};

/// Where a pod's own credentials are.
pub const IN_CLUSTER_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Longest file that is read.
const LIMIT_BYTES: u64 = 16 << 20;

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is no kubeconfig: {why}")]
    Syntax { path: PathBuf, why: String },
    #[error("the kubeconfig has no {kind} named {name:?}")]
    Missing { kind: &'static str, name: String },
    #[error("the kubeconfig has no current context; name one")]
    NoContext,
    #[error("{what} in a kubeconfig is not supported yet")]
    Unsupported { what: &'static str },
    #[error("{field} of the kubeconfig is not base64")]
    Base64 { field: &'static str },
    #[error("a client certificate needs a client key, and a key a certificate")]
    HalfPair,
    #[error("this process does not run in a cluster: {0} is not set")]
    NotInCluster(&'static str),
}

/// The file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kubeconfig {
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    pub kind: String,
    pub clusters: Vec<NamedCluster>,
    pub contexts: Vec<NamedContext>,
    pub current_context: String,
    pub users: Vec<NamedUser>,
    /// The directory that relative paths are in.
    #[serde(skip)]
    pub dir: PathBuf,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedCluster {
    pub name: String,
    pub cluster: Cluster,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Cluster {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_tls_verify: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<String>,
    pub server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedContext {
    pub name: String,
    pub context: Context,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    pub cluster: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub user: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedUser {
    pub name: String,
    pub user: User,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct User {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(rename = "tokenFile", skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_provider: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User")
    }
}

impl Kubeconfig {
    /// Reads a file, YAML or JSON.
    ///
    /// # Errors
    /// When it cannot be read or is no kubeconfig.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Io { path: path.to_owned(), source };
        if fs::metadata(path).map_err(failed)?.len() > LIMIT_BYTES {
            let why = format!("it is longer than {LIMIT_BYTES} bytes");
            return Err(ConfigError::Syntax { path: path.to_owned(), why });
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let mut config =
            Self::parse(&text).map_err(|why| ConfigError::Syntax { path: path.to_owned(), why })?;
        config.dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(config)
    }

    /// Parses YAML or JSON text. Relative paths are relative to the working directory.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Kubeconfig = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        if !matches!(config.kind.as_str(), "" | "Config") {
            return Err(format!("its kind is {:?}", config.kind));
        }
        Ok(config)
    }

    /// One cluster, one user with a client certificate, one context, all named `name`.
    #[must_use]
    pub fn with_certificate(name: &str, server: &str, ca_pem: &str, cert_pem: &str, key_pem: &str) -> Self {
        let data = |pem: &str| Some(STANDARD.encode(pem));
        let user = User {
            client_certificate_data: data(cert_pem),
            client_key_data: data(key_pem),
            ..User::default()
        };
        Self::single(name, server, ca_pem, user)
    }

    /// One cluster, one user with a bearer token, one context, all named `name`.
    #[must_use]
    pub fn with_token(name: &str, server: &str, ca_pem: &str, token: &str) -> Self {
        let user = User { token: Some(token.to_owned()), ..User::default() };
        Self::single(name, server, ca_pem, user)
    }

    fn single(name: &str, server: &str, ca_pem: &str, user: User) -> Self {
        let cluster = Cluster {
            certificate_authority_data: Some(STANDARD.encode(ca_pem)),
            server: server.to_owned(),
            ..Cluster::default()
        };
        let context = Context { cluster: name.to_owned(), user: name.to_owned(), namespace: String::new() };
        Kubeconfig {
            api_version: "v1".to_owned(),
            kind: "Config".to_owned(),
            clusters: vec![NamedCluster { name: name.to_owned(), cluster }],
            contexts: vec![NamedContext { name: name.to_owned(), context }],
            current_context: name.to_owned(),
            users: vec![NamedUser { name: name.to_owned(), user }],
            dir: PathBuf::new(),
        }
    }

    /// Writes the file whole, readable by its owner only. A file that says the same is left as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let failed = |source| ConfigError::Io { path: path.to_owned(), source };
        // One line a field, so that the usual line tools can read it.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false, empty_as_braces: true };
        let text = serde_saphyr::to_string_with_options(self, options)
            .map_err(|e| ConfigError::Syntax { path: path.to_owned(), why: e.to_string() })?;
        if fs::read_to_string(path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let mut tmp = path.as_os_str().to_owned();
        tmp.push(".tmp");
        let tmp = PathBuf::from(tmp);
        let _ = fs::remove_file(&tmp);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&tmp, path).map_err(failed)
    }

    /// The endpoint of a context, the current one when `context` is `None`.
    ///
    /// # Errors
    /// When a name is not there, a file cannot be read, or something in it is not supported.
    pub fn endpoint(&self, context: Option<&str>) -> Result<Endpoint, ConfigError> {
        let name = context.unwrap_or(&self.current_context);
        if name.is_empty() {
            return Err(ConfigError::NoContext);
        }
        let missing = |kind, name: &str| ConfigError::Missing { kind, name: name.to_owned() };
        let context = &self.contexts.iter().find(|c| c.name == name).ok_or(missing("context", name))?.context;
        let name = &context.cluster;
        let cluster =
            &self.clusters.iter().find(|c| c.name == *name).ok_or(missing("cluster", name))?.cluster;
        if cluster.proxy_url.as_ref().is_some_and(|u| !u.is_empty()) {
            return Err(ConfigError::Unsupported { what: "proxy-url" });
        }
        let mut endpoint = Endpoint {
            server: cluster.server.clone(),
            ca_pem: self.data(
                ("certificate-authority-data", cluster.certificate_authority_data.as_ref()),
                cluster.certificate_authority.as_ref(),
            )?,
            insecure: cluster.insecure_skip_tls_verify.unwrap_or(false),
            server_name: cluster.tls_server_name.clone(),
            namespace: context.namespace.clone(),
            ..Endpoint::default()
        };
        if !context.user.is_empty() {
            let name = &context.user;
            let user = &self.users.iter().find(|u| u.name == *name).ok_or(missing("user", name))?.user;
            self.identify(user, &mut endpoint)?;
        }
        Ok(endpoint)
    }

    fn identify(&self, user: &User, endpoint: &mut Endpoint) -> Result<(), ConfigError> {
        for (what, given) in [
            ("exec", user.exec.is_some()),
            ("auth-provider", user.auth_provider.is_some()),
            ("username", user.username.is_some()),
        ] {
            if given {
                return Err(ConfigError::Unsupported { what });
            }
        }
        let cert = self.data(
            ("client-certificate-data", user.client_certificate_data.as_ref()),
            user.client_certificate.as_ref(),
        )?;
        let key = self.data(("client-key-data", user.client_key_data.as_ref()), user.client_key.as_ref())?;
        endpoint.client_pem = match (cert, key) {
            (Some(c), Some(k)) => Some((c, k)),
            (None, None) => None,
            _ => return Err(ConfigError::HalfPair),
        };
        endpoint.token = match (&user.token_file, &user.token) {
            (Some(file), _) if !file.is_empty() => Token::File(self.dir.join(file)),
            (_, Some(text)) if !text.is_empty() => Token::Text(text.clone()),
            _ => Token::None,
        };
        Ok(())
    }

    /// What is embedded comes before a file, as upstream has it.
    fn data(
        &self,
        (field, embedded): (&'static str, Option<&String>),
        file: Option<&String>,
    ) -> Result<Option<Vec<u8>>, ConfigError> {
        if let Some(text) = embedded.filter(|t| !t.is_empty()) {
            return STANDARD.decode(text.trim()).map(Some).map_err(|_| ConfigError::Base64 { field });
        }
        let Some(file) = file.filter(|f| !f.is_empty()) else { return Ok(None) };
        let path = self.dir.join(file);
        fs::read(&path).map(Some).map_err(|source| ConfigError::Io { path, source })
    }
}

/// The endpoint that a pod finds inside itself. `env` looks up environment variables.
///
/// # Errors
/// When this is no pod, or its files cannot be read.
// k8s: staging/src/k8s.io/client-go/rest/config.go InClusterConfig
pub fn in_cluster(env: impl Fn(&str) -> Option<String>, dir: &Path) -> Result<Endpoint, ConfigError> {
    let get = |name: &'static str| env(name).filter(|v| !v.is_empty()).ok_or(ConfigError::NotInCluster(name));
    let host = get("KUBERNETES_SERVICE_HOST")?;
    let port = get("KUBERNETES_SERVICE_PORT")?;
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read(&path).map_err(|source| ConfigError::Io { path, source })
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let token = dir.join("token");
    read("token")?;
    Ok(Endpoint {
        server: format!("https://{host}:{port}"),
        ca_pem: Some(read("ca.crt")?),
        token: Token::File(token),
        namespace: read("namespace")
            .map(|b| String::from_utf8_lossy(&b).trim().to_owned())
            .unwrap_or_default(),
        ..Endpoint::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "
apiVersion: v1
kind: Config
current-context: a
clusters:
- name: c
  cluster: {server: 'https://h:6443', insecure-skip-tls-verify: true, tls-server-name: n}
- name: p
  cluster: {server: 'https://h:6443', proxy-url: 'http://x'}
contexts:
- {name: a, context: {cluster: c, user: u, namespace: ns}}
- {name: e, context: {cluster: c, user: e}}
- {name: p, context: {cluster: p, user: u}}
- {name: h, context: {cluster: c, user: h}}
- {name: x, context: {cluster: none, user: u}}
- {name: b, context: {cluster: c, user: b}}
- {name: f, context: {cluster: c, user: f}}
users:
- {name: u, user: {token: t}}
- {name: e, user: {exec: {command: aws, apiVersion: v1}}}
- {name: h, user: {client-key-data: YQ==}}
- {name: b, user: {client-key-data: '***'}}
- {name: f, user: {tokenFile: tok, token: t}}
";

    #[test]
    fn contexts() {
        let config = Kubeconfig::parse(YAML).expect("good YAML");
        let e = config.endpoint(None).expect("the current context");
        assert_eq!((e.server.as_str(), e.namespace.as_str(), e.insecure), ("https://h:6443", "ns", true));
        assert_eq!((e.token, e.server_name.as_deref()), (Token::Text("t".into()), Some("n")));
        let e = config.endpoint(Some("f")).expect("a context");
        assert_eq!(e.token, Token::File("tok".into()));
        for (context, want) in [
            ("e", "exec in a kubeconfig is not supported yet"),
            ("p", "proxy-url in a kubeconfig is not supported yet"),
            ("h", "a client certificate needs a client key, and a key a certificate"),
            ("x", "the kubeconfig has no cluster named \"none\""),
            ("b", "client-key-data of the kubeconfig is not base64"),
            ("zz", "the kubeconfig has no context named \"zz\""),
        ] {
            let error = config.endpoint(Some(context)).err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some(want), "{context}");
        }
    }

    #[test]
    fn bad_files() {
        for text in ["[", "a: [", "kind: Pod", "clusters: 7"] {
            assert!(Kubeconfig::parse(text).is_err(), "{text}");
        }
        let json = r#"{"kind":"Config","clusters":[],"contexts":[],"users":[],"preferences":{}}"#;
        assert!(matches!(Kubeconfig::parse(json).expect("JSON").endpoint(None), Err(ConfigError::NoContext)));
    }
}
