//! What has become of the certificate of one projected volume source. Pure: what is asked of the API and what it
//! answers pass through the caller.
// k8s: pkg/kubelet/podcertificate/podcertificatemanager.go handleProjection
//
// Initial ─► Waiting ─► Fresh ─► Refreshing ─► Fresh ...
//               └──────────┬─────────┘
//                 Denied or Failed, for good

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// A renewal that is this late is told of.
const OVERDUE: SignedDuration = SignedDuration::from_mins(10);
/// Renewals begin up to this much later than asked for, so that those of many pods spread.
pub(super) const JITTER: SignedDuration = SignedDuration::from_mins(5);

/// A request that was made, and the private key that it is about, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub key: String,
    pub request: String,
}

/// What a pod is shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Issued {
    pub key: String,
    pub chain: String,
    pub refresh_at: Timestamp,
    pub not_after: Timestamp,
    pub told_overdue: bool,
    pub told_expired: bool,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Initial,
    Waiting(Pending),
    /// `denied` or `failed`, with reason and message.
    Refused(&'static str, String, String),
    Fresh(Issued),
    Refreshing(Issued, Pending),
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Nothing,
    /// Make a key and a request.
    Create,
    /// Look at the request.
    Look(String),
}

/// A warning about the pod: reason and message.
pub(super) type Warning = (&'static str, String);

/// A PodCertificateRequest as far as it matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    pub status: SeenStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SeenStatus {
    pub conditions: Vec<Condition>,
    pub certificate_chain: String,
    pub begin_refresh_at: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub reason: String,
    pub message: String,
}

impl State {
    pub fn ask(&self, now: Timestamp) -> Ask {
        match self {
            State::Initial => Ask::Create,
            State::Waiting(p) | State::Refreshing(_, p) => Ask::Look(p.request.clone()),
            State::Fresh(i) if now >= i.refresh_at => Ask::Create,
            State::Fresh(_) | State::Refused(..) => Ask::Nothing,
        }
    }

    /// A request was made.
    pub fn created(&mut self, pending: Pending) {
        *self = match std::mem::take(self) {
            State::Fresh(i) | State::Refreshing(i, _) => State::Refreshing(i, pending),
            _ => State::Waiting(pending),
        };
    }

    /// What the request that is waited for says now; `None`: it is gone, and another has to be made.
    pub fn seen(&mut self, found: Option<&Seen>, jitter: SignedDuration) -> Vec<Warning> {
        let (issued, pending) = match std::mem::take(self) {
            State::Waiting(p) => (None, p),
            State::Refreshing(i, p) => (Some(i), p),
            other => {
                *self = other;
                return Vec::new();
            }
        };
        let Some(found) = found else {
            *self = issued.map_or(State::Initial, State::Fresh);
            return Vec::new();
        };
        for c in &found.status.conditions {
            let (word, reason) = match c.kind.as_str() {
                "Denied" => ("denied", "Denied"),
                "Failed" => ("failed", "Failed"),
                "Issued" => {
                    *self = State::Fresh(fresh(pending.key, &found.status, jitter));
                    return Vec::new();
                }
                _ => continue,
            };
            let was = if word == "denied" { "was denied" } else { "failed" };
            let (why, message) = (&c.reason, &c.message);
            let text = format!(
                "PodCertificateRequest {} {was}, reason={why:?}, message={message:?}",
                pending.request
            );
            *self = State::Refused(word, why.clone(), message.clone());
            return vec![(reason, text)];
        }
        *self = match issued {
            Some(i) => State::Refreshing(i, pending),
            None => State::Waiting(pending),
        };
        Vec::new()
    }

    /// What has become too late, each said once.
    pub fn late(&mut self, now: Timestamp) -> Vec<Warning> {
        let (State::Fresh(i) | State::Refreshing(i, _)) = self else { return Vec::new() };
        let mut out = Vec::new();
        if !i.told_overdue && now.duration_since(i.refresh_at) > OVERDUE {
            i.told_overdue = true;
            out.push(("CertificateOverdueForRefresh", "PodCertificate refresh overdue".to_owned()));
        }
        if !i.told_expired && now > i.not_after {
            i.told_expired = true;
            out.push(("CertificateExpired", "PodCertificate expired".to_owned()));
        }
        out
    }

    /// How it stands, as the metric says it.
    // k8s: pkg/kubelet/podcertificate/podcertificatemanager.go metricsState
    pub fn word(&self, now: Timestamp) -> &'static str {
        match self {
            State::Initial | State::Waiting(_) => "not_yet_issued",
            State::Refused(word, ..) => word,
            State::Fresh(i) | State::Refreshing(i, _) if now > i.not_after => "expired",
            State::Fresh(i) | State::Refreshing(i, _) if now.duration_since(i.refresh_at) > OVERDUE => {
                "overdue_for_refresh"
            }
            State::Fresh(_) | State::Refreshing(..) => "fresh",
        }
    }

    /// Private key and chain, in PEM.
    ///
    /// # Errors
    /// Why there is none.
    pub fn bundle(&self) -> Result<(String, String), String> {
        match self {
            State::Initial | State::Waiting(_) => Err("credential bundle is not issued yet".to_owned()),
            State::Refused(word, reason, message) => Err(format!(
                "PodCertificateRequest was permanently {word}: reason={reason:?} message={message:?}"
            )),
            State::Fresh(i) | State::Refreshing(i, _) => Ok((i.key.clone(), i.chain.clone())),
        }
    }
}

/// The certificates of the chain and nothing else of its text, with the key they are for. The API server has seen to
/// it that the times are there; without, the certificate is renewed at once.
fn fresh(key: String, status: &SeenStatus, jitter: SignedDuration) -> Issued {
    let chain = meta::pem::blocks(&status.certificate_chain)
        .map(|b| meta::pem::encode("CERTIFICATE", &b.contents))
        .collect();
    let refresh_at = status.begin_refresh_at.and_then(|t| t.saturating_add(jitter).ok());
    Issued {
        key,
        chain,
        refresh_at: refresh_at.unwrap_or(Timestamp::MIN),
        not_after: status.not_after.unwrap_or(Timestamp::MAX),
        told_overdue: false,
        told_expired: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    fn pending(n: u8) -> Pending {
        Pending { key: format!("key{n}"), request: format!("r{n}") }
    }

    fn seen(kind: &str) -> Seen {
        let chain = format!("words\n{}", meta::pem::encode("CERTIFICATE", kind.as_bytes()));
        let condition = json!({"type": kind, "status": "True", "reason": "R", "message": "m"});
        let conditions = if kind.is_empty() { json!([]) } else { json!([condition]) };
        serde_json::from_value(json!({"status": {"conditions": conditions, "certificateChain": chain,
            "beginRefreshAt": "2026-01-01T12:00:00Z", "notAfter": "2026-01-01T18:00:00Z"}}))
        .unwrap()
    }

    const NONE: [Warning; 0] = [];
    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    #[test]
    fn a_certificate_is_asked_for_shown_and_renewed() {
        let mut s = State::default();
        assert_eq!((s.ask(at("00:00:00")), s.bundle().is_err()), (Ask::Create, true));
        s.created(pending(1));
        assert_eq!(s.ask(at("00:00:00")), Ask::Look("r1".to_owned()));
        assert_eq!(s.seen(Some(&seen("")), MINUTE), NONE);
        assert_eq!(s.bundle(), Err("credential bundle is not issued yet".to_owned()));
        // Somebody took the request away.
        s.seen(None, MINUTE);
        assert_eq!(s.ask(at("00:00:00")), Ask::Create);
        s.created(pending(2));
        s.seen(Some(&seen("Issued")), MINUTE);
        let first = ("key2".to_owned(), meta::pem::encode("CERTIFICATE", b"Issued"));
        assert_eq!(s.bundle(), Ok(first.clone()));
        assert_eq!((s.ask(at("12:00:59")), s.ask(at("12:01:00"))), (Ask::Nothing, Ask::Create));
        // While the next one is waited for, the first is shown.
        s.created(pending(3));
        assert_eq!((s.seen(Some(&seen("")), MINUTE), s.bundle()), (vec![], Ok(first.clone())));
        s.seen(None, MINUTE);
        assert_eq!((s.ask(at("12:01:00")), s.bundle()), (Ask::Create, Ok(first)));
        s.created(pending(4));
        s.seen(Some(&seen("Issued")), MINUTE);
        assert_eq!(s.bundle().unwrap().0, "key4");
    }

    #[test]
    fn what_is_late_is_told_once() {
        let mut s = State::default();
        assert_eq!(s.late(at("23:00:00")), NONE);
        s.created(pending(1));
        s.seen(Some(&seen("Issued")), MINUTE);
        let words = ["12:11:00", "12:11:01", "18:00:00", "18:00:01"].map(|t| s.word(at(t)));
        assert_eq!(words, ["fresh", "overdue_for_refresh", "overdue_for_refresh", "expired"]);
        let told = |s: &mut State, t: &str| s.late(at(t)).into_iter().map(|w| w.0).collect::<Vec<_>>();
        assert_eq!(told(&mut s, "12:11:00"), [""; 0]);
        assert_eq!(told(&mut s, "12:11:01"), ["CertificateOverdueForRefresh"]);
        s.created(pending(2));
        assert_eq!(told(&mut s, "18:00:00"), [""; 0]);
        assert_eq!(told(&mut s, "18:00:01"), ["CertificateExpired"]);
        assert_eq!(told(&mut s, "19:00:00"), [""; 0]);
    }

    #[test]
    fn a_refusal_is_for_good() {
        for (kind, word, was) in [("Denied", "denied", "was denied"), ("Failed", "failed", "failed")] {
            for renewal in [false, true] {
                let mut s = State::default();
                s.created(pending(1));
                if renewal {
                    s.seen(Some(&seen("Issued")), MINUTE);
                    s.created(pending(1));
                }
                let text = format!("PodCertificateRequest r1 {was}, reason=\"R\", message=\"m\"");
                assert_eq!(s.seen(Some(&seen(kind)), MINUTE), [(kind, text)]);
                let why = format!("PodCertificateRequest was permanently {word}: reason=\"R\" message=\"m\"");
                assert_eq!((s.ask(at("23:00:00")), s.bundle()), (Ask::Nothing, Err(why)));
                assert_eq!(s.word(at("23:00:00")), word);
            }
        }
    }
}
