//! Impersonation headers: what is asked for and what has to be allowed for it. Pure.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation.go

use std::collections::BTreeMap;

use meta::{Request, Status, User};

use crate::request::{ANONYMOUS, AUTHENTICATED, Attributes, UNAUTHENTICATED, What};

/// Most impersonation headers in a request.
const LIMIT_HEADERS: usize = 256;

/// An impersonation: who the request becomes, and the questions that must all be allowed first.
#[derive(Debug, PartialEq, Eq)]
pub struct Impersonation {
    pub user: User,
    pub questions: Vec<Attributes>,
}

/// What the headers ask for; `None` when there are none.
///
/// # Errors
/// 400 when groups, uid or extra come without a user; 401-like refusals are the authorizer's.
pub fn parse(request: &Request, by: &User) -> Result<Option<Impersonation>, Status> {
    let name = request.header("impersonate-user").unwrap_or("");
    let uid = request.header("impersonate-uid").unwrap_or("");
    let headers: Vec<&(String, String)> =
        request.headers.iter().filter(|(k, _)| k.starts_with("impersonate-")).collect();
    if headers.len() > LIMIT_HEADERS {
        return Err(Status::bad_request("too many impersonation headers"));
    }
    let groups: Vec<&str> =
        headers.iter().filter(|(k, _)| k == "impersonate-group").map(|(_, v)| v.as_str()).collect();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (k, v) in &headers {
        if let Some(key) = k.strip_prefix("impersonate-extra-") {
            extra.entry(unescape(key)).or_default().push(v.clone());
        }
    }
    if name.is_empty() {
        return if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            Ok(None)
        } else {
            Err(Status::internal("requested impersonation without impersonating a user"))
        };
    }
    let mut questions = Vec::new();
    let mut user = User::new(name, &groups);
    user.uid = uid.to_owned();
    if let Some((namespace, account)) = service_account(name) {
        questions.push(question(by, "", "serviceaccounts", "", namespace, account));
        if groups.is_empty() {
            user.groups =
                vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
    } else {
        questions.push(question(by, "", "users", "", "", name));
    }
    for g in &groups {
        questions.push(question(by, "", "groups", "", "", g));
    }
    for (key, values) in &extra {
        for v in values {
            questions.push(question(by, "authentication.k8s.io", "userextras", key, "", v));
        }
    }
    if !uid.is_empty() {
        questions.push(question(by, "authentication.k8s.io", "uids", "", "", uid));
    }
    user.extra = extra;
    let anonymous = name == ANONYMOUS;
    let standing = if anonymous { UNAUTHENTICATED } else { AUTHENTICATED };
    if !user.in_group(standing) {
        user.groups.push(standing.to_owned());
    }
    Ok(Some(Impersonation { user, questions }))
}

/// Namespace and name of a service account's user name.
#[must_use]
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

fn question(by: &User, group: &str, resource: &str, sub: &str, namespace: &str, name: &str) -> Attributes {
    Attributes {
        user: by.clone(),
        verb: "impersonate".to_owned(),
        target: What::Resource {
            group: group.to_owned(),
            version: if group.is_empty() { String::new() } else { "v1".to_owned() },
            resource: resource.to_owned(),
            subresource: sub.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        ..Attributes::default()
    }
}

/// Percent escapes in an extra key; broken ones stay as they are.
fn unescape(key: &str) -> String {
    let mut out = Vec::new();
    let bytes = key.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (bytes[at], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(b)) => {
                out.push(b);
                at += 3;
            }
            (b, _) => {
                out.push(b);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::{Target, Verb};

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut r = Request::new(Verb::Get, Target::Path("/".into()));
        r.headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        r
    }

    #[test]
    fn headers_become_questions() {
        let by = User::new("admin", &[]);
        assert_eq!(parse(&request(&[]), &by), Ok(None));
        assert!(parse(&request(&[("impersonate-group", "g")]), &by).is_err());
        let got = parse(
            &request(&[
                ("impersonate-user", "system:serviceaccount:ns:sa"),
                ("impersonate-extra-example.com%2fscope", "a"),
            ]),
            &by,
        )
        .unwrap()
        .unwrap();
        assert_eq!(got.questions.len(), 2);
        assert_eq!(
            got.user.groups,
            ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
        );
        assert_eq!(got.user.extra["example.com/scope"], ["a"]);
    }
}
