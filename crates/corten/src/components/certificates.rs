//! Renews the certificates that this process has made for itself while it runs, and hands them to those that use
//! them. Open connections go on with the old ones. When one is due `wire::pki` decides.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use client::Kubeconfig;
use jiff::Timestamp;
use sys::Clock;
use tokio_util::sync::CancellationToken;
use wire::pki::{Pair, Pki};
use wire::tls::Tls;
use wire::tunnel::Dialer;

/// How often it is looked whether a certificate is due.
const LOOK: Duration = Duration::from_secs(3600);

/// Who uses certificates of this process.
pub struct Users {
    pub pki: Arc<Pki>,
    /// The listener; `None` when its certificate is the user's own.
    pub tls: Option<Arc<Tls>>,
    /// Connections to kubelets.
    pub dialer: Option<Arc<Dialer>>,
    /// Where the kubeconfigs are, each named after its certificate. Those that are there are kept up.
    pub kubeconfigs: PathBuf,
    /// What the server listens on.
    pub listen: SocketAddr,
    /// What kubeconfigs call the cluster.
    pub context: String,
}

/// A kubeconfig with a client certificate of this process's making.
pub struct KubeconfigFile {
    path: PathBuf,
    server: String,
    context: String,
}

impl KubeconfigFile {
    /// For a server that listens on this address.
    #[must_use]
    pub fn new(path: PathBuf, listen: SocketAddr, context: &str) -> Self {
        let host = if listen.ip().is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { listen.ip() };
        let server = format!("https://{}", SocketAddr::new(host, listen.port()));
        KubeconfigFile { path, server, context: context.to_owned() }
    }

    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, ca_pem: &str, own: &Pair) -> Result<()> {
        let config =
            Kubeconfig::with_certificate(&self.context, &self.server, ca_pem, &own.cert_pem, &own.key_pem);
        Ok(config.write(&self.path)?)
    }
}

impl Users {
    /// Renews what is due at `now`; how many.
    fn step(&self, now: Timestamp) -> usize {
        let mut count = 0;
        for one in self.pki.renew(now) {
            let done = one.pair.map_err(Into::into).and_then(|pair| self.hand_on(&one.file, &pair));
            match done {
                Ok(()) => {
                    tracing::info!("the certificate {} is renewed", one.file);
                    count += 1;
                }
                Err(e) => tracing::warn!("renewing the certificate {}: {e:#}", one.file),
            }
        }
        count
    }

    fn hand_on(&self, file: &str, pair: &Pair) -> Result<()> {
        let (cert, key) = (pair.cert_pem.as_bytes(), pair.key_pem.as_bytes());
        match file {
            "apiserver" => self.tls.iter().try_for_each(|tls| tls.replace(cert, key))?,
            "apiserver-kubelet-client" => {
                self.dialer.iter().try_for_each(|dialer| dialer.replace(cert, key))?;
            }
            _ => {
                let path = self.kubeconfigs.join(format!("{file}.kubeconfig"));
                if path.exists() {
                    KubeconfigFile::new(path, self.listen, &self.context).write(self.pki.ca_pem(), pair)?;
                }
            }
        }
        Ok(())
    }
}

/// Looks after the certificates until `stop`.
pub async fn run(users: &Users, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        users.step(clock.now());
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use wire::pki::{CLIENTS, Leaf};

    use super::*;

    #[test]
    fn every_certificate_reaches_its_user_when_it_is_due() {
        let dir = std::env::temp_dir().join(format!("corten-certificates-{}", std::process::id()));
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let pki = Arc::new(Pki::open(&dir, now).unwrap());
        let serving = Leaf::server("apiserver", "kube-apiserver", vec!["localhost".to_owned()]);
        let serving = pki.leaf(&serving, now).unwrap();
        for (file, user, group) in CLIENTS {
            pki.leaf(&Leaf::client(file, user, group), now).unwrap();
        }
        let tls = Tls::new(serving.cert_pem.as_bytes(), serving.key_pem.as_bytes(), None).unwrap();
        let file = |name: &str| dir.join(format!("{name}.kubeconfig"));
        let listen = "0.0.0.0:6443".parse().unwrap();
        for name in ["admin", "kube-scheduler"] {
            std::fs::write(file(name), "old").unwrap();
        }
        let users = Users {
            pki: pki.clone(),
            tls: Some(Arc::new(tls)),
            dialer: Some(Arc::new(Dialer::new(&Default::default()).unwrap())),
            kubeconfigs: dir.clone(),
            listen,
            context: "corten-a".to_owned(),
        };
        let day = SignedDuration::from_hours(24);
        assert_eq!((users.step(now), users.step(now + day * 240)), (0, 0));
        assert_eq!(std::fs::read_to_string(file("admin")).unwrap(), "old");
        assert_eq!(users.step(now + day * 250), CLIENTS.len() + 1);
        assert_eq!(users.step(now + day * 250), 0, "once");
        for name in ["admin", "kube-scheduler"] {
            let written = std::fs::read_to_string(file(name)).unwrap();
            assert!(written.contains("https://127.0.0.1:6443"), "{written}");
            assert!(written.contains("current-context: corten-a"), "{written}");
        }
        assert!(!file("kube-proxy").exists(), "only what is there is kept up");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
