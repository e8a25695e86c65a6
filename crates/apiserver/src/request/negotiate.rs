//! Which representation a client accepts: format and form. It must never look at an object.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/negotiation/negotiate.go

use meta::{Request, Status};

use super::options;
use crate::codec::Format;
pub use crate::codec::{JSON, PROTOBUF, YAML};

const SUPPORTED: [&str; 3] = [JSON, YAML, PROTOBUF];

/// What an object is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// A `meta.k8s.io/v1` (or `v1beta1`) Table.
    Table {
        version: &'static str,
    },
    /// PartialObjectMetadata, or its list.
    Metadata {
        version: &'static str,
    },
}

/// What to answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub format: Format,
    pub form: Form,
    /// Indent JSON for human eyes.
    pub pretty: bool,
}

struct Clause<'a> {
    media_type: String,
    quality: f32,
    params: Vec<(&'a str, &'a str)>,
}

impl Clause<'_> {
    fn param(&self, key: &str) -> &str {
        self.params.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v)
    }

    fn form(&self) -> Option<Form> {
        let version = match self.param("v") {
            "v1" | "" => "v1",
            "v1beta1" => "v1beta1",
            _ => return None,
        };
        match (self.param("as"), self.param("g")) {
            ("", _) => Some(Form::Plain),
            ("Table", "meta.k8s.io" | "") => Some(Form::Table { version }),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io" | "") => {
                Some(Form::Metadata { version })
            }
            _ => None,
        }
    }
}

/// Splits an Accept header into clauses, the most wanted first.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut out: Vec<Clause<'_>> = accept
        .split(',')
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .map(|c| {
            let mut parts = c.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or("").to_ascii_lowercase();
            let params: Vec<(&str, &str)> = parts
                .filter_map(|p| p.split_once('='))
                .map(|(k, v)| (k.trim(), v.trim_matches('"')))
                .collect();
            let quality =
                params.iter().find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok()).unwrap_or(1.0);
            Clause { media_type, quality, params }
        })
        .collect();
    out.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    out
}

/// Chooses the answer's representation.
///
/// # Errors
/// 406 when nothing acceptable can be given.
pub fn negotiate(request: &Request, tables: bool) -> Result<Accepted, Status> {
    let pretty = wants_pretty(request);
    if request.accept.trim().is_empty() {
        return Ok(Accepted { format: Format::Json, form: Form::Plain, pretty });
    }
    for clause in clauses(&request.accept) {
        let Some(format) = Format::of(&clause.media_type) else { continue };
        let Some(form) = clause.form() else { continue };
        if !tables && form != Form::Plain {
            continue;
        }
        let pretty = pretty || clause.param("pretty") == "1";
        return Ok(Accepted { format, form, pretty });
    }
    Err(Status::not_acceptable(&SUPPORTED))
}

fn wants_pretty(request: &Request) -> bool {
    match request.query.get("pretty") {
        Some(_) => options::flag(&request.query, "pretty"),
        None => ["curl", "Wget", "Mozilla/5.0"].iter().any(|a| request.user_agent.starts_with(a)),
    }
}

/// The format of a request body. An empty Content-Type is JSON.
///
/// # Errors
/// 415 for a media type that is not known.
pub fn body_format(content_type: &str) -> Result<Format, Status> {
    let media_type = media_type(content_type);
    match media_type.as_str() {
        "" | JSON => Ok(Format::Json),
        YAML => Ok(Format::Yaml),
        PROTOBUF => Ok(Format::Protobuf),
        _ => Err(Status::unsupported_media_type(&SUPPORTED)),
    }
}

/// A Content-Type without its parameters, in lower case.
#[must_use]
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Whether one of the accepted clauses asks for aggregated discovery, and in which version.
#[must_use]
pub fn aggregated_discovery(accept: &str) -> Option<&'static str> {
    clauses(accept).into_iter().find_map(|c| {
        if c.param("as").is_empty() {
            // A plain clause that is wanted more ends the search.
            return matches!(c.media_type.as_str(), JSON | "*/*").then_some(None);
        }
        let known = c.media_type == JSON
            && c.param("as") == "APIGroupDiscoveryList"
            && c.param("g") == "apidiscovery.k8s.io";
        match c.param("v") {
            "v2" if known => Some(Some("v2")),
            "v2beta1" if known => Some(Some("v2beta1")),
            _ => None,
        }
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::{Target, Verb};

    #[test]
    fn accept_headers() {
        let table = Form::Table { version: "v1" };
        let cases: [(&str, Result<(Format, Form), u16>); 9] = [
            ("", Ok((Format::Json, Form::Plain))),
            ("*/*", Ok((Format::Json, Form::Plain))),
            ("application/yaml", Ok((Format::Yaml, Form::Plain))),
            ("application/vnd.kubernetes.protobuf, application/json", Ok((Format::Protobuf, Form::Plain))),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Ok((Format::Json, table))),
            (
                "application/json;as=Table;v=v9;g=meta.k8s.io,application/json",
                Ok((Format::Json, Form::Plain)),
            ),
            (
                "text/html;q=0.9, application/json;q=0.1, application/yaml;q=0.5",
                Ok((Format::Yaml, Form::Plain)),
            ),
            ("text/html", Err(406)),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                Ok((Format::Protobuf, Form::Metadata { version: "v1" })),
            ),
        ];
        for (accept, want) in cases {
            let mut r = Request::new(Verb::Get, Target::Path("/".into()));
            r.accept = accept.to_owned();
            let got = negotiate(&r, true).map(|a| (a.format, a.form)).map_err(|e| e.code);
            assert_eq!(got, want, "{accept}");
        }
    }

    #[test]
    fn aggregated() {
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(aggregated_discovery(kubectl), Some("v2"));
        assert_eq!(aggregated_discovery("application/json"), None);
        assert_eq!(aggregated_discovery(""), None);
        assert_eq!(body_format("text/plain").unwrap_err().code, 415);
        assert_eq!(body_format("application/json; charset=utf-8").unwrap(), Format::Json);
    }
}
