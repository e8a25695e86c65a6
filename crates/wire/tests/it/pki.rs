//! The directory of certificates: made once, used again, made anew when due, never overwritten when damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use wire::pki::{Leaf, Pki, PkiError, apiserver_names};

/// A directory of its own that is removed at the end.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new(name: &str) -> Self {
        let id = sys::uuid_v4(&sys::SystemEntropy);
        Dir(std::env::temp_dir().join(format!("wire-{name}-{id}")))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().expect("a time")
}

fn names() -> Vec<String> {
    apiserver_names("cluster.local", "10.96.0.1".parse().expect("an address"), &["host-1".into()])
}

#[test]
fn made_once_and_used_again() {
    let dir = Dir::new("pki");
    let first = Pki::open(&dir.0, now()).expect("opens");
    let server = first.leaf(&Leaf::server("apiserver", "kube-apiserver", names())).expect("makes");
    let admin = Leaf::client("admin", "kubernetes-admin", "system:masters");
    let client = first.leaf(&admin).expect("makes");
    let second = Pki::open(&dir.0, now()).expect("opens");
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert_eq!(first.service_account_key().key_pem, second.service_account_key().key_pem);
    let again = second.leaf(&Leaf::server("apiserver", "kube-apiserver", names())).expect("reads");
    assert_eq!(again.cert_pem, server.cert_pem);
    assert_eq!(second.leaf(&admin).expect("reads").cert_pem, client.cert_pem);
    for (file, mode) in [("ca.key", 0o600), ("sa.key", 0o600), ("admin.key", 0o600), ("ca.crt", 0o644)] {
        let got = fs::metadata(dir.0.join(file)).expect("is there").permissions().mode() & 0o777;
        assert_eq!(got, mode, "{file}");
    }
    assert!(
        fs::read_dir(&dir.0)
            .expect("reads")
            .all(|f| f.expect("reads").path().extension() != Some("tmp".as_ref()))
    );
}

#[test]
fn made_anew_when_due() {
    let dir = Dir::new("pki");
    let pki = Pki::open(&dir.0, now()).expect("opens");
    let leaf = Leaf::server("apiserver", "kube-apiserver", names());
    let first = pki.leaf(&leaf).expect("makes");
    let mut other = leaf.clone();
    other.names.push("10.0.0.9".into());
    let renamed = pki.leaf(&other).expect("makes");
    assert_ne!(renamed.cert_pem, first.cert_pem, "another name");
    assert_eq!(renamed.key_pem, first.key_pem);
    let day = SignedDuration::from_hours(24);
    let soon = Pki::open(&dir.0, now() + day * 200).expect("opens");
    assert_eq!(soon.leaf(&other).expect("reads").cert_pem, renamed.cert_pem);
    let late = Pki::open(&dir.0, now() + day * 300).expect("opens");
    assert_ne!(late.leaf(&other).expect("makes").cert_pem, renamed.cert_pem, "about to end");
    // An empty file is what a power failure may leave.
    fs::write(dir.0.join("apiserver.crt"), "").expect("writes");
    late.leaf(&other).expect("makes");
    let error = Pki::open(&dir.0, now() + day * 4000).err().expect("the authority has ended");
    assert!(matches!(error, PkiError::CaEnded { .. }), "{error}");
}

#[test]
fn damage_is_said_and_nothing_is_overwritten() {
    for (file, content, want) in [
        ("ca.key", Some("nonsense"), "ca.key is damaged"),
        ("ca.crt", Some("nonsense"), "ca.crt is damaged"),
        ("ca.key", None, "ca.key is missing while"),
        ("sa.key", None, "sa.key is missing while"),
        ("apiserver.crt", Some("nonsense"), "apiserver.crt is damaged"),
        ("apiserver.key", Some("nonsense"), "remove it and it is made anew"),
    ] {
        let dir = Dir::new("pki");
        let leaf = Leaf::server("apiserver", "kube-apiserver", names());
        Pki::open(&dir.0, now()).and_then(|p| p.leaf(&leaf)).expect("makes");
        let path = dir.0.join(file);
        match content {
            Some(text) => fs::write(&path, text).expect("writes"),
            None => fs::remove_file(&path).expect("removes"),
        }
        let error = Pki::open(&dir.0, now()).and_then(|p| p.leaf(&leaf)).expect_err("an error").to_string();
        assert!(error.contains(want), "{file}: {error}");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), content, "{file}");
    }
}
