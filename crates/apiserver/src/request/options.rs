//! Query parameters of the verbs, checked. It must never look at an object.
// k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/internalversion/validation/validation.go

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use meta::{FieldError, Gvk, Path, Query, Request, Status, Verb};
use schema::FieldValidation;
use serde::{Deserialize, Serialize};

/// What create, update and patch have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_validation: FieldValidation,
}

impl WriteOptions {
    /// From the query of a create, update or patch.
    ///
    /// # Errors
    /// 422 for values that are not known.
    // k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go ValidateCreateOptions
    pub fn of(request: &Request) -> Result<Self, Status> {
        let q = &request.query;
        let mut errors = Vec::new();
        if request.verb == Verb::Patch && q.get("force").is_some_and(|v| !v.is_empty()) {
            errors
                .push(FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
        }
        check_field_manager(q.get("fieldManager").unwrap_or(""), &mut errors);
        let dry_run = dry_run(q.all("dryRun"), &mut errors);
        let field_validation = field_validation(q.get("fieldValidation").unwrap_or(""), &mut errors);
        if errors.is_empty() {
            return Ok(WriteOptions { dry_run, field_validation });
        }
        let kind = match request.verb {
            Verb::Update => "UpdateOptions",
            Verb::Patch => "PatchOptions",
            _ => "CreateOptions",
        };
        Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", kind), "", &errors))
    }
}

/// Longest name of a field manager, in bytes.
const LIMIT_FIELD_MANAGER_BYTES: usize = 128;

fn check_field_manager(name: &str, errors: &mut Vec<FieldError>) {
    let path = Path::new("fieldManager");
    if name.len() > LIMIT_FIELD_MANAGER_BYTES {
        errors.push(FieldError::too_long(&path, LIMIT_FIELD_MANAGER_BYTES));
    }
    for (at, c) in name.char_indices().filter(|(_, c)| c.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(FieldError::invalid(&path, meta::field::quoted(name), why));
    }
}

/// `dryRun` values: absent or `All`.
pub fn dry_run<'a>(values: impl Iterator<Item = &'a str>, errors: &mut Vec<FieldError>) -> bool {
    let values: Vec<&str> = values.filter(|v| !v.is_empty()).collect();
    if values.iter().any(|v| *v != "All") {
        let quoted: Vec<String> = values.iter().map(|v| meta::field::quoted(v)).collect();
        let mut error = FieldError::not_supported(&Path::new("dryRun"), "", &["All"]);
        error.value = Some(format!("[{}]", quoted.join(",")));
        errors.push(error);
    }
    !values.is_empty()
}

fn field_validation(value: &str, errors: &mut Vec<FieldError>) -> FieldValidation {
    match value {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            let known = ["", "Ignore", "Strict", "Warn"];
            errors.push(FieldError::not_supported(&Path::new("fieldValidation"), other, &known));
            FieldValidation::Strict
        }
    }
}

/// A boolean parameter as Go's conversion reads it: present and neither `false` nor `0`.
#[must_use]
pub fn flag(q: &Query, key: &str) -> bool {
    q.get(key).is_some_and(|v| v != "0" && !v.eq_ignore_ascii_case("false"))
}

fn integer(q: &Query, key: &str) -> Result<Option<i64>, Status> {
    match q.get(key).filter(|v| !v.is_empty()) {
        None => Ok(None),
        Some(v) => v.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {}: invalid syntax",
                meta::field::quoted(v)
            ))
        }),
    }
}

/// What the resource version of a read means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Unset: the newest state anywhere.
    Newest,
    /// 0: whatever is at hand.
    Any,
    NotOlderThan(u64),
    Exact(u64),
}

/// Parameters of list and watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    pub consistency: Consistency,
    /// 0: no limit.
    pub limit: usize,
    pub from: Option<Continue>,
    /// Seconds; `None` when not given.
    pub timeout_seconds: Option<u64>,
    pub allow_bookmarks: bool,
    pub send_initial_events: Option<bool>,
}

/// What a continue token holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continue {
    #[serde(rename = "v", default)]
    version: String,
    /// The revision of the first page.
    #[serde(rename = "rv", default)]
    pub revision: i64,
    /// Key relative to the list's prefix, the first to be sent.
    #[serde(rename = "start", default)]
    pub start: String,
}

impl Continue {
    /// A token for what comes at or behind `start`.
    #[must_use]
    pub fn new(revision: u64, start: &str) -> Self {
        Continue {
            version: "meta.k8s.io/v1".to_owned(),
            revision: i64::try_from(revision).unwrap_or(i64::MAX),
            start: start.to_owned(),
        }
    }

    /// The same place in whatever state is newest.
    #[must_use]
    pub fn going_on(&self) -> Self {
        Continue { revision: -1, ..self.clone() }
    }

    /// The opaque text.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a token has only plain fields"))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// 400 as upstream words it.
    pub fn decode(text: &str) -> Result<Self, Status> {
        let bad = |why: String| Status::bad_request(format!("continue key is not valid: {why}"));
        let trimmed = text.trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD
            .decode(trimmed)
            .or_else(|_| STANDARD_NO_PAD.decode(trimmed))
            .map_err(|e| bad(format!("illegal base64 data: {e}")))?;
        let token: Continue = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if token.version != "meta.k8s.io/v1" {
            return Err(bad(format!(
                "server does not recognize this encoded version {}",
                meta::field::quoted(&token.version)
            )));
        }
        if token.revision == 0 {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned()));
        }
        if token.start.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)".to_owned()));
        }
        if token.start.starts_with('/') || token.start.split('/').any(|s| s == "..") {
            return Err(bad(meta::field::quoted(&token.start)));
        }
        Ok(token)
    }
}

/// A resource version as clients give it; empty is `None`.
///
/// # Errors
/// 400 when it is not a number.
pub fn resource_version(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let quoted = meta::field::quoted(text);
        Status::bad_request(format!(
            "resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax"
        ))
    })
}

/// The consistency of a get.
///
/// # Errors
/// 400 for a resource version that is not a number.
pub fn get_consistency(q: &Query) -> Result<Consistency, Status> {
    Ok(match resource_version(q.get("resourceVersion").unwrap_or(""))? {
        None => Consistency::Newest,
        Some(0) => Consistency::Any,
        Some(n) => Consistency::NotOlderThan(n),
    })
}

impl ListOptions {
    /// From the query; `watch` says which rules hold.
    ///
    /// # Errors
    /// 400 for bad values, 422 for combinations that are not allowed.
    pub fn parse(q: &Query, watch: bool) -> Result<Self, Status> {
        let text = |k: &str| q.get(k).unwrap_or("");
        let revision = resource_version(text("resourceVersion"))?;
        let token = text("continue");
        let limit = integer(q, "limit")?.unwrap_or(0);
        let send_initial_events = q.get("sendInitialEvents").map(|_| flag(q, "sendInitialEvents"));
        check_match(text("resourceVersionMatch"), revision, watch, token, send_initial_events)?;
        if !watch && !token.is_empty() && revision.is_some_and(|r| r != 0) {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let consistency = match revision {
            None => Consistency::Newest,
            Some(0) => Consistency::Any,
            Some(n) if text("resourceVersionMatch") == "Exact" => Consistency::Exact(n),
            // k8s: a limit with a version and without a match meant exactly that version.
            Some(n) if !watch && limit > 0 && text("resourceVersionMatch").is_empty() => {
                Consistency::Exact(n)
            }
            Some(n) => Consistency::NotOlderThan(n),
        };
        Ok(ListOptions {
            label_selector: text("labelSelector").to_owned(),
            field_selector: text("fieldSelector").to_owned(),
            consistency,
            limit: usize::try_from(limit.max(0)).unwrap_or(0),
            from: if watch || token.is_empty() { None } else { Some(Continue::decode(token)?) },
            timeout_seconds: integer(q, "timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()),
            allow_bookmarks: flag(q, "allowWatchBookmarks"),
            send_initial_events,
        })
    }
}

fn check_match(
    matching: &str,
    revision: Option<u64>,
    watch: bool,
    token: &str,
    send_initial_events: Option<bool>,
) -> Result<(), Status> {
    let forbid = |field: &str, why: &str| {
        let kind = meta::Gvk::new("meta.k8s.io", "v1", "ListOptions");
        Err(Status::invalid(&kind, "", &[meta::FieldError::forbidden(&meta::Path::new(field), why)]))
    };
    if let Some(_on) = send_initial_events {
        if !watch {
            return forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
        }
        if matching != "NotOlderThan" {
            return forbid(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            );
        }
        return Ok(());
    }
    if matching.is_empty() {
        return Ok(());
    }
    if watch {
        return forbid(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        );
    }
    if revision.is_none() {
        return forbid(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        );
    }
    if !token.is_empty() {
        return forbid("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
    }
    match matching {
        "NotOlderThan" => Ok(()),
        "Exact" if revision == Some(0) => forbid(
            "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        "Exact" => Ok(()),
        other => {
            let kind = meta::Gvk::new("meta.k8s.io", "v1", "ListOptions");
            let path = meta::Path::new("resourceVersionMatch");
            let error = meta::FieldError::not_supported(&path, other, &["Exact", "NotOlderThan", ""]);
            Err(Status::invalid(&kind, "", &[error]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query(
            text.split('&')
                .filter(|p| !p.is_empty())
                .map(|p| p.split_once('=').unwrap_or((p, "")))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        )
    }

    #[test]
    fn list_options() {
        let token = Continue::new(7, "ns/b").encode();
        let ok: [(&str, bool, Consistency); 7] = [
            ("", false, Consistency::Newest),
            ("resourceVersion=0", false, Consistency::Any),
            ("resourceVersion=5", false, Consistency::NotOlderThan(5)),
            ("resourceVersion=5&resourceVersionMatch=Exact", false, Consistency::Exact(5)),
            ("resourceVersion=5&limit=2", false, Consistency::Exact(5)),
            ("resourceVersion=5", true, Consistency::NotOlderThan(5)),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true, Consistency::Newest),
        ];
        for (text, watch, want) in ok {
            assert_eq!(ListOptions::parse(&query(text), watch).unwrap().consistency, want, "{text}");
        }
        let parsed = ListOptions::parse(&query(&format!("continue={token}")), false).unwrap();
        assert_eq!(parsed.from, Some(Continue::new(7, "ns/b")));
        let bad: [(&str, bool, u16); 12] = [
            ("resourceVersion=x", false, 400),
            ("resourceVersion=-1", false, 400),
            ("limit=x", false, 400),
            ("continue=%%%", false, 400),
            ("continue=e30", false, 400),
            ("resourceVersionMatch=Exact", false, 422),
            ("resourceVersion=0&resourceVersionMatch=Exact", false, 422),
            ("resourceVersion=1&resourceVersionMatch=Other", false, 422),
            ("resourceVersion=1&resourceVersionMatch=Exact", true, 422),
            ("sendInitialEvents=true", true, 422),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", false, 422),
            ("timeoutSeconds=a", true, 400),
        ];
        for (text, watch, code) in bad {
            let got = ListOptions::parse(&query(text), watch).map_err(|e| e.code);
            assert_eq!(got.err(), Some(code), "{text}");
        }
    }

    #[test]
    fn write_options() {
        let parse = |verb, text: &str| {
            let mut request = Request::new(verb, meta::Target::Path("/".into()));
            request.query = query(text);
            WriteOptions::of(&request)
        };
        assert!(parse(Verb::Create, "dryRun=All&force=true").unwrap().dry_run);
        let strict = parse(Verb::Update, "fieldValidation=Strict").unwrap();
        assert_eq!(strict.field_validation, FieldValidation::Strict);
        let long = format!("fieldManager={}", "x".repeat(129));
        let bad = [
            (
                Verb::Create,
                "dryRun=All&dryRun=Some",
                "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"All\",\"Some\"]: supported values: \"All\"",
            ),
            (
                Verb::Update,
                "fieldValidation=Loose",
                "UpdateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Loose\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
            ),
            (
                Verb::Patch,
                "force=false",
                "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
            ),
            (
                Verb::Patch,
                &long,
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
            ),
            (
                Verb::Create,
                "fieldManager=a\u{7}",
                "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)",
            ),
        ];
        for (verb, text, want) in bad {
            let status = parse(verb, text).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (422, want), "{text}");
        }
    }
}
