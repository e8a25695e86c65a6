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
    let server = first.leaf(&Leaf::server("apiserver", "kube-apiserver", names()), now()).expect("makes");
    let admin = Leaf::client("admin", "kubernetes-admin", "system:masters");
    let client = first.leaf(&admin, now()).expect("makes");
    let second = Pki::open(&dir.0, now()).expect("opens");
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert_eq!(first.service_account_key().key_pem, second.service_account_key().key_pem);
    let again = second.leaf(&Leaf::server("apiserver", "kube-apiserver", names()), now()).expect("reads");
    assert_eq!(again.cert_pem, server.cert_pem);
    assert_eq!(second.leaf(&admin, now()).expect("reads").cert_pem, client.cert_pem);
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
    let first = pki.leaf(&leaf, now()).expect("makes");
    let mut other = leaf.clone();
    other.names.push("10.0.0.9".into());
    let renamed = pki.leaf(&other, now()).expect("makes");
    assert_ne!(renamed.cert_pem, first.cert_pem, "another name");
    assert_eq!(renamed.key_pem, first.key_pem);
    let day = SignedDuration::from_hours(24);
    let again = Pki::open(&dir.0, now() + day * 200).expect("opens");
    assert_eq!(again.leaf(&other, now() + day * 200).expect("reads").cert_pem, renamed.cert_pem);
    let late = now() + day * 300;
    assert_ne!(again.leaf(&other, late).expect("makes").cert_pem, renamed.cert_pem, "about to end");
    // An empty file is what a power failure may leave.
    fs::write(dir.0.join("apiserver.crt"), "").expect("writes");
    again.leaf(&other, late).expect("makes");
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
        Pki::open(&dir.0, now()).and_then(|p| p.leaf(&leaf, now())).expect("makes");
        let path = dir.0.join(file);
        match content {
            Some(text) => fs::write(&path, text).expect("writes"),
            None => fs::remove_file(&path).expect("removes"),
        }
        let error =
            Pki::open(&dir.0, now()).and_then(|p| p.leaf(&leaf, now())).expect_err("an error").to_string();
        assert!(error.contains(want), "{file}: {error}");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), content, "{file}");
    }
}

#[test]
fn renewed_while_it_runs_after_two_thirds_of_its_life() {
    let dir = Dir::new("pki");
    let pki = Pki::open(&dir.0, now()).expect("opens");
    let admin = Leaf::client("admin", "kubernetes-admin", "system:masters");
    let server = Leaf::server("apiserver", "kube-apiserver", names());
    let first = pki.leaf(&server, now()).expect("makes");
    pki.leaf(&admin, now()).expect("makes");
    let authority = pki.ca_pem().to_owned();
    let kept = |file: &str| fs::read_to_string(dir.0.join(file)).expect("is there");
    let before = ["ca.crt", "ca.key", "sa.key", "sa.pub", "apiserver.key", "admin.key"].map(kept);
    let day = SignedDuration::from_hours(24);
    // Days since the first start, and what is renewed then.
    let cases: [(i32, &[&str]); 7] = [
        (0, &[]),
        (243, &[]),
        (246, &["apiserver", "admin"]),
        (247, &[]),
        (246 + 243, &[]),
        (246 + 246, &["apiserver", "admin"]),
        // A machine that slept for longer than a certificate lives.
        (246 + 246 + 500, &["apiserver", "admin"]),
    ];
    let mut served = first.clone();
    for (days, want) in cases {
        let renewed = pki.renew(now() + day * days);
        let files: Vec<&str> = renewed.iter().map(|r| r.file.as_str()).collect();
        assert_eq!(files, want, "day {days}");
        for one in renewed {
            let pair = one.pair.expect("it can be made");
            let facts = wire::pki::facts(&pair.cert_pem).expect("a certificate");
            let left = facts.not_after.duration_since(now() + day * days);
            assert!(left > day * 364, "{}: {left}", one.file);
            assert_eq!(kept(&format!("{}.crt", one.file)), pair.cert_pem);
            if one.file == "apiserver" {
                assert_ne!(pair.cert_pem, served.cert_pem);
                served = pair;
            }
        }
    }
    assert_eq!(served.key_pem, first.key_pem);
    assert_eq!(pki.ca_pem(), authority);
    let after = ["ca.crt", "ca.key", "sa.key", "sa.pub", "apiserver.key", "admin.key"].map(kept);
    assert_eq!(after, before);
}

#[test]
fn one_that_cannot_be_renewed_does_not_keep_the_others() {
    let dir = Dir::new("pki");
    let pki = Pki::open(&dir.0, now()).expect("opens");
    pki.leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters"), now()).expect("makes");
    pki.leaf(&Leaf::server("apiserver", "kube-apiserver", names()), now()).expect("makes");
    fs::write(dir.0.join("admin.key"), "nonsense").expect("writes");
    let renewed = pki.renew(now() + SignedDuration::from_hours(24 * 300));
    let result: Vec<_> = renewed.iter().map(|r| (r.file.as_str(), r.pair.is_ok())).collect();
    assert_eq!(result, [("admin", false), ("apiserver", true)]);
    assert_eq!(fs::read_to_string(dir.0.join("admin.key")).expect("is there"), "nonsense");
}
