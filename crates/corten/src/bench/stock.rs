//! Upstream's own programs as a control plane: etcd without TLS and API server with upstream's defaults, and for the
//! whole of it controller manager and scheduler with their clients' limits lifted and nobody to vote with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Result, bail};
use sys::{Clock, SystemClock};
use wire::pki::{Leaf, Pki, apiserver_names};

use super::process::{Process, Server, free_port, text};
use crate::components::certificates::KubeconfigFile;

/// Requests a second that the components' clients may send: more than they can.
const UNLIMITED: &str = "100000";
const SERVICE_CIDR: &str = "10.96.0.0/16";
const SERVICE_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The programs in a directory.
#[derive(Clone, Copy)]
pub struct Stock<'a>(pub &'a Path);

impl Stock<'_> {
    fn start(self, dir: &Path, name: &str, args: &[String]) -> Result<Process> {
        let program = self.0.join(name);
        if !program.is_file() {
            bail!("--stock: {} is not there", program.display());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Process::program(&program, dir, name, &args)
    }

    /// etcd and the API server.
    ///
    /// # Errors
    /// When a program is missing or they do not become ready.
    pub async fn api(self, dir: &Path) -> Result<Server> {
        let (now, pki) = (SystemClock.now(), dir.join("stock-pki"));
        let own = Pki::open(&pki, now)?;
        let names = apiserver_names("cluster.local", IpAddr::V4(SERVICE_IP), &[]);
        own.leaf(&Leaf::server("apiserver", "kube-apiserver", names), now)?;
        let admin = own.leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters"), now)?;
        let port = free_port()?;
        let kubeconfig = kubeconfig(dir);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        KubeconfigFile::new(kubeconfig.clone(), listen, "stock").write(own.ca_pem(), &admin)?;
        let store = format!("http://127.0.0.1:{}", free_port()?);
        let began = SystemClock.monotonic();
        let etcd = self.start(dir, "etcd", &etcd_flags(dir, &store)?)?;
        let flags = api_flags(&pki, &store, port)?;
        let server = self.start(dir, "kube-apiserver", &flags)?;
        Server::ready(began, vec![etcd, server], &port.to_string(), kubeconfig).await
    }

    /// The same with controller manager and scheduler.
    ///
    /// # Errors
    /// When a program is missing or they do not become ready.
    pub async fn control_plane(self, dir: &Path) -> Result<Server> {
        let mut server = self.api(dir).await?;
        let pki = dir.join("stock-pki");
        let common = [
            format!("--kubeconfig={}", text(&kubeconfig(dir))?),
            "--bind-address=127.0.0.1".to_owned(),
            "--leader-elect=false".to_owned(),
            format!("--kube-api-qps={UNLIMITED}"),
            format!("--kube-api-burst={UNLIMITED}"),
        ];
        let mut flags = common.to_vec();
        flags.push(format!("--secure-port={}", free_port()?));
        flags.push(format!("--service-account-private-key-file={}", text(&pki.join("sa.key"))?));
        flags.push(format!("--root-ca-file={}", text(&pki.join("ca.crt"))?));
        flags.push("--use-service-account-credentials=true".to_owned());
        server.process.push(self.start(dir, "kube-controller-manager", &flags)?);
        let mut flags = common.to_vec();
        flags.push(format!("--secure-port={}", free_port()?));
        server.process.push(self.start(dir, "kube-scheduler", &flags)?);
        Ok(server)
    }
}

fn kubeconfig(dir: &Path) -> std::path::PathBuf {
    dir.join("stock.kubeconfig")
}

fn etcd_flags(dir: &Path, client: &str) -> Result<Vec<String>> {
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    Ok(vec![
        format!("--data-dir={}", text(&dir.join("etcd"))?),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=error".to_owned(),
    ])
}

fn api_flags(pki: &Path, store: &str, port: u16) -> Result<Vec<String>> {
    let file = |name: &str| text(&pki.join(name));
    Ok(vec![
        format!("--etcd-servers={store}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("apiserver.crt")?),
        format!("--tls-private-key-file={}", file("apiserver.key")?),
        format!("--client-ca-file={}", file("ca.crt")?),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("sa.pub")?),
        format!("--service-account-signing-key-file={}", file("sa.key")?),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
    ])
}
