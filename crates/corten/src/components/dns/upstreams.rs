//! The outer resolvers: what the machine's resolver configuration names, read again when it changes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The nameservers of a resolver configuration.
pub(super) struct Upstreams {
    resolv_conf: PathBuf,
    own: SocketAddr,
    read: Mutex<(Option<SystemTime>, Arc<[SocketAddr]>)>,
}

impl Upstreams {
    /// Those that the file names now. `own` is never among them.
    pub(super) fn new(resolv_conf: PathBuf, own: SocketAddr) -> Self {
        let this = Upstreams { resolv_conf, own, read: Mutex::new((None, Arc::from([]))) };
        this.current();
        this
    }

    /// One that no file names.
    #[cfg(test)]
    pub(super) fn fixed(upstream: SocketAddr) -> Self {
        let own = SocketAddr::from(([0, 0, 0, 0], 0));
        Upstreams { resolv_conf: PathBuf::new(), own, read: Mutex::new((None, Arc::from([upstream]))) }
    }

    /// Those that the file names, read anew if it was written since the last look. While it is missing, or cannot
    /// be read, the last ones hold.
    pub(super) fn current(&self) -> Arc<[SocketAddr]> {
        let written = std::fs::metadata(&self.resolv_conf).and_then(|m| m.modified()).ok();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if written.is_some()
            && written != read.0
            && let Ok(text) = std::fs::read_to_string(&self.resolv_conf)
        {
            *read = (written, nameservers(&text, self.own).into());
        }
        Arc::clone(&read.1)
    }
}

fn nameservers(text: &str, own: SocketAddr) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|l| l.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, 53))
        .filter(|a| *a != own)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = std::env::temp_dir().join(format!("corten-resolv-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("resolv.conf");
        let write = |text: &str, seconds: u64| {
            std::fs::write(&path, text).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        write("# mine\nsearch a.b\nnameserver 192.0.2.1\n nameserver  192.0.2.2 \nnameserver x\n", 1000);
        let upstreams = Upstreams::new(path.clone(), "192.0.2.2:53".parse().unwrap());
        let ips = || upstreams.current().iter().map(|a| a.ip().to_string()).collect::<Vec<_>>();
        assert_eq!(ips(), ["192.0.2.1"], "without ourselves");
        write("nameserver 192.0.2.3\n", 1000);
        assert_eq!(ips(), ["192.0.2.1"], "an unchanged time means an unchanged file");
        write("nameserver 192.0.2.3\nnameserver 2001:db8::1\n", 1001);
        assert_eq!(ips(), ["192.0.2.3", "2001:db8::1"]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ips(), ["192.0.2.3", "2001:db8::1"], "the last ones hold while there is no file");
        let missing = Upstreams::new(path.clone(), "192.0.2.2:53".parse().unwrap());
        assert!(missing.current().is_empty());
        write("nameserver 192.0.2.4\n", 900);
        assert_eq!(missing.current().len(), 1, "it comes later");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
