//! The answer to a PodCertificateRequest: a certificate, or that there will be none. It is given once.
// k8s: pkg/apis/certificates/validation/validation.go ValidatePodCertificateRequestStatusUpdate

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use meta::field::quoted;
use meta::{ErrorKind, FieldError, Path, duration, pem};
use schema::Value;

use super::x509::{self, Certificate, Key};
use crate::conditions::conditions;
use crate::rules::{Errors, same};

/// The longest chain.
// k8s: pkg/apis/certificates/types.go MaxCertificateChainSize
const CHAIN_LIMIT_BYTES: usize = 100 * 1024;
const LIFE_MIN_SECONDS: i64 = 3600;
/// Between the renewal and both ends of a certificate's life.
const REFRESH_SECONDS: i64 = 600;
/// How far a certificate's beginning may be from the server's time.
const NEAR_SECONDS: i64 = 300;

const ISSUED: &str = "Issued";
const TERMINAL: [&str; 3] = [ISSUED, "Denied", "Failed"];

/// What is wrong with a write to the status; the spec is the stored one.
pub(super) fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let list = new.list_at(&["status", "conditions"]);
    let path = Path::new("status");
    kinds_of(&mut errors, list, &path.child("conditions"));
    conditions(&mut errors, list, &path.child("conditions"));
    if !errors.is_empty() {
        return errors;
    }
    let has = |o: &Value, kind: &str| {
        o.list_at(&["status", "conditions"])
            .iter()
            .any(|c| c.str_at(&["type"]) == kind && c.str_at(&["status"]) == "True")
    };
    let frozen = |why: &str| omitted(&path, why);
    if TERMINAL.iter().any(|kind| has(old, kind)) {
        if !["conditions"].iter().chain(&FIELDS).all(|f| unchanged(new, old, f)) {
            errors.push(frozen("immutable after PodCertificateRequest is issued, denied, or failed"));
        }
    } else if has(new, "Denied") || has(new, "Failed") {
        if FIELDS.iter().any(|f| !new.str_at(&["status", f]).is_empty()) {
            let why =
                "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
            errors.push(frozen(why));
        }
    } else if has(new, ISSUED) {
        if let Err(error) = issued(&mut errors, new) {
            errors.push(error);
        }
    } else if !["conditions"].iter().chain(&FIELDS).all(|f| unchanged(new, old, f)) {
        errors.push(frozen(
            "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"",
        ));
    }
    errors
}

/// What a status has beside its conditions.
const FIELDS: [&str; 4] = ["certificateChain", "notBefore", "beginRefreshAt", "notAfter"];

fn unchanged(new: &Value, old: &Value, field: &str) -> bool {
    let at = |o: &Value| o.at(&["status", field]).filter(|v| v.as_str() != Some("")).cloned();
    same(at(new).as_ref(), at(old).as_ref())
}

/// An error that prints no value.
fn omitted(path: &Path, why: &str) -> FieldError {
    FieldError { kind: ErrorKind::Invalid, field: path.to_string(), value: None, detail: why.to_owned() }
}

fn kinds_of(errors: &mut Errors, list: &[Value], path: &Path) {
    let mut known = 0;
    for (i, c) in list.iter().enumerate() {
        // As upstream writes it.
        let at = path.child(&format!("[{i}]"));
        let kind = c.str_at(&["type"]);
        if !TERMINAL.contains(&kind) {
            errors.push(FieldError::not_supported(&at.child("type"), kind, &TERMINAL));
            continue;
        }
        known += 1;
        if known > 1 {
            let why = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.push(FieldError::invalid(&at.child("type"), quoted(kind), why));
        }
        if c.str_at(&["status"]) != "True" {
            errors.push(FieldError::not_supported(&at.child("status"), c.str_at(&["status"]), &["True"]));
        }
    }
}

/// A certificate is put in. The first thing that is wrong is enough, some excepted.
fn issued(errors: &mut Errors, o: &Value) -> Result<(), FieldError> {
    let path = Path::new("status");
    let (chain, at) = (o.str_at(&["status", "certificateChain"]), path.child("certificateChain"));
    let wrong = |why: &str| FieldError::invalid(&at, quoted(chain), why);
    if chain.len() > CHAIN_LIMIT_BYTES {
        return Err(FieldError::too_long(&at, CHAIN_LIMIT_BYTES));
    }
    let mut blocks = pem::blocks(chain);
    let first = blocks
        .next()
        .ok_or_else(|| wrong("issued certificate chain must contain at least one certificate"))?;
    if first.label != x509::CERTIFICATE {
        return Err(wrong("issued certificate chain must consist entirely of CERTIFICATE PEM blocks"));
    }
    let leaf = x509::certificate(&first.contents)
        .ok_or_else(|| wrong("leaf certificate does not parse as valid X.509"))?;
    names(errors, &leaf, &at);
    if key(o).is_none_or(|k| k != leaf.key) {
        return Err(wrong("leaf certificate was not issued to the requested public key"));
    }
    times(errors, o, &leaf)?;
    for block in blocks {
        if block.label != x509::CERTIFICATE {
            // The word is upstream's.
            return Err(wrong("issued certificate chain must consist entirely of CERTFICATE PEM blocks"));
        }
        if x509::certificate(&block.contents).is_none() {
            return Err(wrong("intermediate certificate does not parse as valid X.509"));
        }
    }
    Ok(())
}

/// The key that the request is about.
fn key(o: &Value) -> Option<Key> {
    let der = STANDARD.decode(o.str_at(&["spec", "stubPKCS10Request"])).ok()?;
    x509::request(&der).ok()
}

fn names(errors: &mut Errors, leaf: &Certificate, path: &Path) {
    for name in &leaf.dns_names {
        let mut wrong = |why: &str| errors.push(FieldError::invalid(path, quoted(name), why));
        if name.is_empty() {
            wrong("leaf certificate should not contain empty DNSName");
        }
        if name.contains("..") {
            wrong("leaf certificate's DNSName should not contain '..'");
        }
        if name.starts_with('.') || name.ends_with('.') {
            wrong("leaf certificate's DNSName should not start or end with '.'");
        }
    }
    for email in leaf.emails.iter().filter(|e| !is_address(e)) {
        let why = "leaf certificate should not contain invalid EmailAddress";
        errors.push(FieldError::invalid(path, quoted(email), why));
    }
}

/// A mail address without a name and without quoting.
fn is_address(text: &str) -> bool {
    let part =
        |s: &str| !s.is_empty() && s.chars().all(|c| !c.is_whitespace() && !"()<>[]:;@\\,\"".contains(c));
    text.rsplit_once('@').is_some_and(|(local, domain)| part(local) && part(domain))
}

/// The times beside the certificate are those in it, and leave room for its renewal.
fn times(errors: &mut Errors, o: &Value, leaf: &Certificate) -> Result<(), FieldError> {
    let path = Path::new("status");
    let consistent = "must be present and consistent with the issued certificate";
    let mut get = |field: &str, why: &str| {
        let found = meta::time::parse(o.str_at(&["status", field]));
        if found.is_none() {
            errors.push(FieldError::required(&path.child(field), why));
        }
        found
    };
    let not_before = get("notBefore", consistent);
    let not_after = get("notAfter", consistent);
    let refresh = get("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]");
    let (Some(not_before), Some(not_after), Some(refresh)) = (not_before, not_after, refresh) else {
        return Ok(());
    };
    let wrong =
        |field: &str, t: Timestamp, why: &str| Err(FieldError::invalid(&path.child(field), shown(t), why));
    if not_before.as_second() != leaf.not_before {
        let why = "must be set to the NotBefore time encoded in the leaf certificate";
        return wrong("notBefore", not_before, why);
    }
    if not_after.as_second() != leaf.not_after {
        let why = "must be set to the NotAfter time encoded in the leaf certificate";
        return wrong("notAfter", not_after, why);
    }
    let life = leaf.not_after.saturating_sub(leaf.not_before);
    let most = o.int_at(&["spec", "maxExpirationSeconds"]).unwrap_or(0);
    let short = |why: String| {
        Err(FieldError::invalid(&path.child("certificateChain"), duration::format_seconds(life), why))
    };
    if life < LIFE_MIN_SECONDS {
        return short("leaf certificate lifetime must be >= 1 hour".to_owned());
    }
    if life > most {
        return short(format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})"));
    }
    if refresh.as_second() < leaf.not_before.saturating_add(REFRESH_SECONDS) {
        return wrong("beginRefreshAt", refresh, "must be at least 10 minutes after status.notBefore");
    }
    if refresh.as_second() > leaf.not_after.saturating_sub(REFRESH_SECONDS) {
        return wrong("beginRefreshAt", refresh, "must be at least 10 minutes before status.notAfter");
    }
    Ok(())
}

/// What is wrong with a certificate that a write puts in: it has to begin now, give or take a few minutes.
#[must_use]
pub fn begins_now(new: &Value, old: &Value, now: Timestamp) -> Vec<FieldError> {
    let chain = |o: &Value| o.str_at(&["status", "certificateChain"]).to_owned();
    let mut conditions = new.list_at(&["status", "conditions"]).iter();
    let is_issued = conditions.any(|c| c.str_at(&["type"]) == ISSUED && c.str_at(&["status"]) == "True");
    let is_new = is_issued && chain(new) != chain(old);
    match meta::time::parse(new.str_at(&["status", "notBefore"])) {
        Some(t) if is_new && t.as_second().abs_diff(now.as_second()) >= NEAR_SECONDS.unsigned_abs() => {
            let why = "must be set to within 5 minutes of kube-apiserver's current time";
            vec![FieldError::invalid(&Path::new("status").child("notBefore"), shown(t), why)]
        }
        _ => Vec::new(),
    }
}

/// A time as Go prints it.
fn shown(t: Timestamp) -> String {
    t.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType, date_time_ymd};

    use super::*;
    use crate::testing::{texts, yaml};

    const DAY: &str = "notBefore: '2026-01-01T00:00:00Z', notAfter: '2026-01-02T00:00:00Z', beginRefreshAt: '2026-01-01T12:00:00Z'";

    fn condition(kind: &str) -> String {
        format!("{{type: {kind}, status: 'True', reason: R, lastTransitionTime: '2026-01-01T00:00:00Z'}}")
    }

    fn status(text: &str) -> Value {
        yaml(&format!("status: {{{text}}}"))
    }

    fn check(new: &str, old: &str) -> Vec<String> {
        texts(&validate(&status(new), &status(old)))
    }

    #[test]
    fn it_is_answered_once_and_in_one_way() {
        let only = |kind: &str| format!("conditions: [{}]", condition(kind));
        let denied = only("Denied");
        let both = format!("conditions: [{}, {}]", condition("Denied"), condition("Failed"));
        let with_time = format!("{denied}, notBefore: '2026-01-01T00:00:00Z'");
        let frozen =
            "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed";
        let pending = "status: Invalid value: status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"";
        let table: &[(&str, &str, &[&str])] = &[
            ("", "", &[]),
            ("conditions: []", "", &[]),
            (&denied, "", &[]),
            (&denied, &denied, &[]),
            (&only("Failed"), &denied, &[frozen]),
            ("", &denied, &[frozen]),
            ("certificateChain: x", "", &[pending]),
            (
                &with_time,
                "",
                &[
                    "status: Invalid value: non-condition status fields must be empty when denying or failing the PodCertificateRequest",
                ],
            ),
            (
                &both,
                "",
                &[
                    "status.conditions.[1].type: Invalid value: \"Failed\": There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"",
                ],
            ),
            (
                &only("Late"),
                "",
                &[
                    "status.conditions.[0].type: Unsupported value: \"Late\": supported values: \"Issued\", \"Denied\", \"Failed\"",
                ],
            ),
            (
                "conditions: [{type: Denied, status: 'False', reason: R, lastTransitionTime: '2026-01-01T00:00:00Z'}]",
                "",
                &["status.conditions.[0].status: Unsupported value: \"False\": supported values: \"True\""],
            ),
        ];
        for (new, old, want) in table {
            assert_eq!(check(new, old), *want, "{new} after {old}");
        }
    }

    fn made(key: &KeyPair, days: u8, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut p = CertificateParams::default();
        p.not_before = date_time_ymd(2026, 1, 1);
        p.not_after = date_time_ymd(2026, 1, 1 + days);
        change(&mut p);
        p.self_signed(key).unwrap().pem()
    }

    /// What is said of an answer with this chain to a request with this key.
    fn answer(key: &KeyPair, chain: &str, times: &str) -> Vec<String> {
        let text = format!(
            "{{spec: {{maxExpirationSeconds: 86400}}, status: {{conditions: [{}], {times}}}}}",
            condition("Issued")
        );
        let mut new = yaml(&text);
        let stub = CertificateParams::default().serialize_request(key).unwrap();
        new.set_at(&["spec", "stubPKCS10Request"], STANDARD.encode(stub.der()));
        new.set_at(&["status", "certificateChain"], chain);
        let quoted = quoted(chain);
        texts(&validate(&new, &yaml("{}"))).iter().map(|e| e.replace(&quoted, "CHAIN")).collect()
    }

    #[test]
    fn the_certificate_is_the_one_that_was_asked_for() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let good = made(&key, 1, |_| {});
        let ca = made(&other, 1, |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        let named = made(&key, 1, |p| {
            p.subject_alt_names = vec![
                SanType::DnsName(".a..b".try_into().unwrap()),
                SanType::Rfc822Name("a b@c".try_into().unwrap()),
            ];
        });
        let chain = |why: &str| format!("status.certificateChain: Invalid value: CHAIN: {why}");
        let table: &[(String, &str, &[String])] = &[
            (good.clone(), DAY, &[]),
            (good.clone() + &ca, DAY, &[]),
            (String::new(), DAY, &[chain("issued certificate chain must contain at least one certificate")]),
            (good.replace("CERTIFICATE", "THING"), DAY, &[chain("issued certificate chain must consist entirely of CERTIFICATE PEM blocks")]),
            (good.clone() + &pem::encode("THING", b""), DAY, &[chain("issued certificate chain must consist entirely of CERTFICATE PEM blocks")]),
            (pem::encode("CERTIFICATE", b"x"), DAY, &[chain("leaf certificate does not parse as valid X.509")]),
            (good.clone() + &pem::encode("CERTIFICATE", b"x"), DAY, &[chain("intermediate certificate does not parse as valid X.509")]),
            (ca.clone(), DAY, &[chain("leaf certificate was not issued to the requested public key")]),
            (
                named,
                DAY,
                &[
                    "status.certificateChain: Invalid value: \".a..b\": leaf certificate's DNSName should not contain '..'".to_owned(),
                    "status.certificateChain: Invalid value: \".a..b\": leaf certificate's DNSName should not start or end with '.'".to_owned(),
                    "status.certificateChain: Invalid value: \"a b@c\": leaf certificate should not contain invalid EmailAddress".to_owned(),
                ],
            ),
            (
                made(&key, 2, |_| {}),
                &DAY.replace("-02T", "-03T"),
                &["status.certificateChain: Invalid value: \"48h0m0s\": leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)".replace('"', "")],
            ),
            ("x".repeat(CHAIN_LIMIT_BYTES + 1), DAY, &["status.certificateChain: Too long: may not be more than 102400 bytes".to_owned()]),
        ];
        for (text, times, want) in table {
            assert_eq!(answer(&key, text, times), *want, "{text} {times}");
        }
    }

    #[test]
    fn the_times_are_those_of_the_certificate() {
        let key = KeyPair::generate().unwrap();
        let good = made(&key, 1, |_| {});
        let range = "must be present and in the range [notbefore+10min, notafter-10min]";
        let table: &[(String, String)] = &[
            (DAY.replace("'2026-01-01T12:00:00Z'", "null"), format!("beginRefreshAt: Required value: {range}")),
            (DAY.replacen("01T00:00:00", "01T00:00:01", 1), "notBefore: Invalid value: 2026-01-01 00:00:01 +0000 UTC: must be set to the NotBefore time encoded in the leaf certificate".to_owned()),
            (DAY.replace("02T00:00:00", "02T00:00:01"), "notAfter: Invalid value: 2026-01-02 00:00:01 +0000 UTC: must be set to the NotAfter time encoded in the leaf certificate".to_owned()),
            (DAY.replace("12:00:00", "00:09:59"), "beginRefreshAt: Invalid value: 2026-01-01 00:09:59 +0000 UTC: must be at least 10 minutes after status.notBefore".to_owned()),
            (DAY.replace("12:00:00", "23:50:01"), "beginRefreshAt: Invalid value: 2026-01-01 23:50:01 +0000 UTC: must be at least 10 minutes before status.notAfter".to_owned()),
        ];
        for (times, want) in table {
            assert_eq!(answer(&key, &good, times), [format!("status.{want}")], "{times}");
        }
        let new = status(&format!("conditions: [{}], {DAY}", condition("Issued")));
        for (now, is_near) in [("23:55:00", false), ("23:55:01", true)] {
            let now = meta::time::parse(&format!("2025-12-31T{now}Z")).unwrap();
            assert_eq!(
                begins_now(&new, &status("certificateChain: other"), now).is_empty(),
                is_near,
                "{now}"
            );
        }
    }
}
