//! Requests byte for byte: what kubectl would never send.

use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use testkit::cluster::Cluster;

/// With which credentials a request comes.
#[derive(Clone, Debug)]
pub enum As {
    /// The admin's certificate.
    Admin,
    /// Nothing.
    Nobody,
    /// A bearer token.
    Token(String),
}

/// Runs async work in the cluster's namespace with a kube-rs client.
pub fn with_client<T, F>(cluster: &Cluster, who: As, work: impl FnOnce(Client) -> F + Send) -> T
where
    T: Send,
    F: Future<Output = T>,
{
    let path = cluster.kubeconfig();
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut kubeconfig = Kubeconfig::read_from(path).unwrap();
            for user in &mut kubeconfig.auth_infos {
                match &who {
                    As::Admin => {}
                    As::Nobody => user.auth_info = Some(kube::config::AuthInfo::default()),
                    As::Token(token) => {
                        let info = serde_json::json!({ "token": token });
                        user.auth_info = Some(serde_json::from_value(info).unwrap());
                    }
                }
            }
            let options = KubeConfigOptions::default();
            let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
            // An answer that refuses is what a test wants to see.
            config.default_retry = false;
            work(Client::try_from(config).unwrap()).await
        })
    };
    cluster.netns().inside(run).unwrap()
}

/// An answer: status code and text.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub text: String,
}

impl Answer {
    /// The answer as a Status object.
    #[track_caller]
    pub fn status(&self) -> Value {
        let value: Value = serde_json::from_str(&self.text).unwrap_or_default();
        assert_eq!(value["kind"], "Status", "{self:?}");
        value
    }
}

/// One request.
pub async fn send(client: &Client, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
    let mut request = http::Request::builder().method(method).uri(path);
    if !content_type.is_empty() {
        request = request.header("Content-Type", content_type);
    }
    let response = client.send(request.body(Body::from(body)).unwrap()).await;
    let response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await;
    let bytes = bytes.unwrap_or_else(|error| panic!("{method} {path}: {error}")).to_bytes();
    Answer { code, text: String::from_utf8_lossy(&bytes).into_owned() }
}
