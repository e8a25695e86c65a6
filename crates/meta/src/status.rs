//! `Status`: the only error across the API. Reasons, codes and messages as upstream gives them.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{FieldError, Gvk, Gvr};

/// An API error, or (with `status: Success`) the answer to a delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `Failure` or `Success`.
    #[serde(default)]
    pub status: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<StatusDetails>,
    #[serde(default)]
    pub code: u16,
    /// `metadata.continue`: with 410, a token that goes on with a list inconsistently.
    #[serde(skip)]
    pub continue_token: String,
}

/// What the error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatusCause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusCause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.message, self.code, self.reason)
    }
}

impl Status {
    /// A failure without details.
    #[must_use]
    pub fn failure(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Status {
            status: Cow::Borrowed("Failure"),
            message: message.into(),
            reason: Cow::Borrowed(reason),
            details: None,
            code,
            continue_token: String::new(),
        }
    }

    fn of(mut self, name: &str, group: &str, kind: &str) -> Self {
        self.details = Some(StatusDetails {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            ..StatusDetails::default()
        });
        self
    }

    fn of_resource(self, gvr: &Gvr, name: &str) -> Self {
        self.of(name, &gvr.group, &gvr.resource)
    }

    /// 404: the object is not there.
    #[must_use]
    pub fn not_found(gvr: &Gvr, name: &str) -> Self {
        Self::failure(404, "NotFound", format!("{} \"{name}\" not found", gvr.group_resource()))
            .of_resource(gvr, name)
    }

    /// 404: no such path or resource.
    #[must_use]
    pub fn unknown_resource() -> Self {
        let mut s =
            Self::failure(404, "NotFound", "the server could not find the requested resource").of("", "", "");
        s.details = Some(StatusDetails::default());
        s
    }

    /// 409: an object of that name is there.
    #[must_use]
    pub fn already_exists(gvr: &Gvr, name: &str) -> Self {
        Self::failure(409, "AlreadyExists", format!("{} \"{name}\" already exists", gvr.group_resource()))
            .of_resource(gvr, name)
    }

    /// 409: the object has changed, or a precondition failed.
    #[must_use]
    pub fn conflict(gvr: &Gvr, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", gvr.group_resource());
        Self::failure(409, "Conflict", message).of_resource(gvr, name)
    }

    /// 409: the resource version given is not the current one.
    #[must_use]
    pub fn stale(gvr: &Gvr, name: &str) -> Self {
        Self::conflict(
            gvr,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403 by the authorizer or an admission plugin. `why` may be empty.
    #[must_use]
    pub fn forbidden(gvr: &Gvr, name: &str, why: &str) -> Self {
        let what = gvr.group_resource();
        let message = if what.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} \"{name}\" is forbidden: {why}")
        };
        Self::failure(403, "Forbidden", message).of_resource(gvr, name)
    }

    /// 401.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 422 with one cause a field error. `errors` must not be empty.
    #[must_use]
    pub fn invalid(gvk: &Gvk, name: &str, errors: &[FieldError]) -> Self {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let text = if let [one] = all.as_slice() { one.clone() } else { format!("[{}]", all.join(", ")) };
        let message = format!("{} \"{name}\" is invalid: {text}", gvk.group_kind());
        let mut s = Self::failure(422, "Invalid", message).of(name, &gvk.group, &gvk.kind);
        if let Some(d) = &mut s.details {
            d.causes = errors
                .iter()
                .map(|e| StatusCause {
                    reason: e.kind.cause().to_owned(),
                    message: e.body(),
                    field: e.field.clone(),
                })
                .collect();
        }
        s
    }

    /// 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 405: the path is served, but not with this method.
    // k8s: staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go NewGenericServerResponse
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut s = Self::failure(405, "MethodNotAllowed", message);
        s.details = Some(StatusDetails::default());
        s
    }

    /// 406: none of the accepted media types can be given.
    #[must_use]
    pub fn not_acceptable(supported: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", supported.join(", "));
        Self::failure(406, "NotAcceptable", message)
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type(supported: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            supported.join(", ")
        );
        Self::failure(415, "UnsupportedMediaType", message)
    }

    /// 410: that resource version or continue token is too old.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 413.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Self::failure(413, "RequestEntityTooLarge", message)
    }

    /// 429.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut s = Self::failure(429, "TooManyRequests", message);
        s.details = Some(StatusDetails {
            retry_after_seconds: Some(retry_after_seconds),
            ..StatusDetails::default()
        });
        s
    }

    /// 504: the server could not finish in time; it may have happened.
    #[must_use]
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::failure(504, "Timeout", format!("Timeout: {}", message.into()))
    }

    /// 500.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let mut s = Self::failure(500, "InternalError", format!("Internal error occurred: {message}"));
        s.details = Some(StatusDetails {
            causes: vec![StatusCause { message, ..StatusCause::default() }],
            ..StatusDetails::default()
        });
        s
    }

    /// 503.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
    }

    /// The answer to a delete that is complete.
    #[must_use]
    pub fn deleted(gvr: &Gvr, name: &str, uid: &str) -> Self {
        Status {
            status: Cow::Borrowed("Success"),
            message: String::new(),
            reason: Cow::Borrowed(""),
            details: Some(StatusDetails {
                name: name.to_owned(),
                group: gvr.group.to_string(),
                kind: gvr.resource.to_string(),
                uid: uid.to_owned(),
                ..StatusDetails::default()
            }),
            code: 200,
            continue_token: String::new(),
        }
    }

    /// Whether this is the reason.
    #[must_use]
    pub fn is(&self, reason: &str) -> bool {
        self.reason == reason
    }

    /// Canonical JSON with kind and apiVersion.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let inner = serde_json::to_vec(self).expect("a Status has only string keys");
        let mut out = br#"{"kind":"Status","apiVersion":"v1","metadata":{"#.to_vec();
        if !self.continue_token.is_empty() {
            out.extend_from_slice(b"\"continue\":");
            let token = serde_json::to_vec(&self.continue_token).expect("text is JSON");
            out.extend_from_slice(&token);
        }
        out.extend_from_slice(b"},");
        out.extend_from_slice(&inner[1..]);
        if !matches!(self.status.as_ref(), "Success") || self.code != 200 {
            return out;
        }
        // Upstream leaves the code out of a plain success.
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        text.replace(",\"code\":200}", "}").into_bytes()
    }

    /// Reads a Status from JSON; `None` when it is not one.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            kind: Cow<'a, str>,
        }
        let kind: Kind<'_> = crate::json::read(bytes).ok()?;
        if kind.kind != "Status" { None } else { crate::json::read(bytes).ok() }
    }
}
