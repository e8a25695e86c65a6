//! The client suite over both transports.

use std::path::PathBuf;
use std::sync::Arc;

use client::{Kubeconfig, Local, Remote, suite};
use meta::{Handler, User};
use store::HistoryLimits;
use store::mem::MemStore;
use sys::{Clock, SystemClock, SystemEntropy};
use tokio::net::TcpListener;
use wire::pki::{Leaf, Pki};
use wire::server::{Config, serve};
use wire::tls::Tls;

use crate::handler::ConfigMaps;

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Serves `handler` over TLS and gives the path of a kubeconfig for it.
async fn serve_tls(handler: Arc<dyn Handler>) -> (Dir, PathBuf) {
    let dir = Dir(std::env::temp_dir().join(format!("client-{}", sys::uuid_v4(&SystemEntropy))));
    let pki = Pki::open(&dir.0, SystemClock.now()).expect("opens");
    let names = vec!["127.0.0.1".to_owned()];
    let serving =
        pki.leaf(&Leaf::server("apiserver", "kube-apiserver", names), SystemClock.now()).expect("makes");
    let admin = pki
        .leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters"), SystemClock.now())
        .expect("makes");
    let ca = Some(pki.ca_pem().as_bytes());
    let tls = Tls::new(serving.cert_pem.as_bytes(), serving.key_pem.as_bytes(), ca).expect("good files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let server = format!("https://{}", listener.local_addr().expect("bound"));
    let config = Config { tls: Some(Arc::new(tls)), ..Config::plain(Arc::new(SystemClock)) };
    tokio::spawn(serve(listener, config, handler, std::future::pending()));
    let path = dir.0.join("admin.kubeconfig");
    Kubeconfig::with_certificate("corten", &server, pki.ca_pem(), &admin.cert_pem, &admin.key_pem)
        .write(&path)
        .expect("writes");
    (dir, path)
}

#[tokio::test]
async fn local_and_remote_answer_alike() {
    let local = Local::new(Arc::new(ConfigMaps::default()), User::new("admin", &["system:masters"]), "test");
    let want = suite::run(&local, "default").await;
    let (_dir, path) = serve_tls(Arc::new(ConfigMaps::default())).await;
    let endpoint = Kubeconfig::read(&path).and_then(|k| k.endpoint(None)).expect("a good kubeconfig");
    let remote = Remote::new(&endpoint, "test", Arc::new(SystemClock)).expect("a good endpoint");
    assert_eq!(suite::run(&remote, "default").await, want);
    assert!(want.len() > 8);
}

/// The API server itself over a store in memory.
async fn api_server() -> Arc<dyn Handler> {
    let store = Arc::new(MemStore::new(HistoryLimits::default()));
    let config = apiserver::Config::new(
        store,
        Arc::new(SystemClock),
        Arc::new(SystemEntropy),
        Arc::new(apiserver::NoTimer),
    );
    let server = apiserver::Server::new(config).expect("a good configuration");
    server.bootstrap().await.expect("starts");
    server
}

#[tokio::test]
async fn local_and_remote_answer_alike_with_the_api_server() {
    let user = User::new("kubernetes-admin", &["system:masters"]);
    let local = Local::new(api_server().await, user, "test");
    let want = suite::run(&local, "default").await;
    let (_dir, path) = serve_tls(api_server().await).await;
    let endpoint = Kubeconfig::read(&path).and_then(|k| k.endpoint(None)).expect("a good kubeconfig");
    let remote = Remote::new(&endpoint, "test", Arc::new(SystemClock)).expect("a good endpoint");
    assert_eq!(suite::run(&remote, "default").await, want);
}

#[tokio::test]
async fn kubeconfig_is_private_plain_yaml_and_stays() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (_dir, path) = serve_tls(Arc::new(ConfigMaps::default())).await;
    let text = std::fs::read_to_string(&path).expect("reads");
    assert!(text.lines().all(|l| l.contains(':') || l.trim() == "-"), "one line a field:\n{text}");
    let before = std::fs::metadata(&path).expect("is there");
    assert_eq!(before.permissions().mode() & 0o777, 0o600);
    Kubeconfig::read(&path).and_then(|k| k.write(&path)).expect("writes");
    assert_eq!(std::fs::metadata(&path).expect("is there").ino(), before.ino(), "not written again");
}
