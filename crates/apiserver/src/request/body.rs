//! Request bodies: an object of the expected kind, or options. It must never default or validate.

use meta::{Gvk, Request, Status};
use schema::{FieldValidation, TypeRef, Value};
use serde::Deserialize;

use super::negotiate::{body_format, media_type};
use super::options;
use crate::codec::{self, Format};

/// A decoded object and what to warn about.
pub(crate) struct Decoded {
    pub value: Value,
    pub warnings: Vec<String>,
}

/// Reads the request's body as an object of `expected`.
///
/// # Errors
/// 400 for what is not such an object, 415 for a media type that is not known.
pub(crate) fn decode(
    request: &Request,
    expected: &Gvk,
    ty: TypeRef<'_>,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    decode_also(request, expected, "", ty, validation)
}

/// The same where an older `apiVersion` with the same fields is taken too.
///
/// # Errors
/// As of [`decode`].
pub(crate) fn decode_also(
    request: &Request,
    expected: &Gvk,
    older: &str,
    ty: TypeRef<'_>,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let format = body_format(&request.content_type)?;
    let api_version = expected.api_version();
    let (mut value, warnings) =
        codec::body(&request.body, format, ty, &expected.kind, &api_version, validation)?;
    if !older.is_empty() && value.str_at(&["apiVersion"]) == older {
        value.set_at(&["apiVersion"], api_version);
    }
    check_kind(&mut value, expected)?;
    Ok(Decoded { value, warnings })
}

/// The format of a body of a kind that has no protobuf form.
///
/// # Errors
/// 415 for other media types.
pub(crate) fn plain_format(content_type: &str) -> Result<Format, Status> {
    match body_format(content_type)? {
        Format::Protobuf => Err(Status::unsupported_media_type(&[codec::JSON, codec::YAML])),
        format => Ok(format),
    }
}

/// Puts kind and apiVersion in where absent and refuses others.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/create.go
pub(crate) fn check_kind(value: &mut Value, expected: &Gvk) -> Result<(), Status> {
    let api_version = expected.api_version();
    let (kind, given) = (value.str_at(&["kind"]), value.str_at(&["apiVersion"]));
    if !given.is_empty() && given != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({api_version})"
        )));
    }
    if !kind.is_empty() && kind != expected.kind {
        return Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}: converting ({given}.{kind}) to ({api_version}.{}): unknown conversion",
            expected.version, expected.kind, expected.kind
        )));
    }
    let Some(map) = value.as_map_mut() else {
        return Err(Status::bad_request("the request body is not an object"));
    };
    map.set("kind", expected.kind.to_string());
    map.set("apiVersion", api_version);
    Ok(())
}

/// `DeleteOptions` of a delete, from body or query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Option<Preconditions>,
    pub orphan_dependents: Option<bool>,
    pub propagation_policy: Option<String>,
    pub dry_run: Option<Vec<String>>,
}

/// Options as a body, which may say what it is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Typed {
    kind: String,
    api_version: String,
    #[serde(flatten)]
    options: DeleteOptions,
}

/// What must hold for a write to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// From the request's body, or else its query.
    ///
    /// # Errors
    /// 400 when they cannot be read, 422 when they contradict each other.
    pub fn of(request: &Request) -> Result<Self, Status> {
        let options =
            if request.body.is_empty() { Self::of_query(request)? } else { Self::of_body(request)? };
        options.check()?;
        Ok(options)
    }

    fn of_body(request: &Request) -> Result<Self, Status> {
        let format = body_format(&request.content_type)?;
        let ty = schema::type_of("meta.k8s.io", "v1", "DeleteOptions")
            .ok_or_else(|| Status::internal("no type for DeleteOptions"))?;
        let json = match format {
            Format::Json
                if media_type(&request.content_type).is_empty() || request.body.starts_with(b"{") =>
            {
                request.body.to_vec()
            }
            _ => {
                let (value, _) =
                    codec::body(&request.body, format, ty, "DeleteOptions", "v1", FieldValidation::Ignore)?;
                codec::encode(&value, ty)
            }
        };
        let refused = |why: String| {
            Status::bad_request(format!(
                "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: {why}"
            ))
        };
        let read: Typed = serde_json::from_slice(&json).map_err(|e| refused(e.to_string()))?;
        // k8s: every group version knows the options of the verbs.
        if !matches!(&*read.kind, "" | "DeleteOptions") {
            return Err(Status::bad_request(format!(
                "decoded object cannot be converted to DeleteOptions: it is a {} in version {}",
                read.kind,
                meta::field::quoted(&read.api_version)
            )));
        }
        Ok(read.options)
    }

    fn of_query(request: &Request) -> Result<Self, Status> {
        let q = &request.query;
        let bad = |v: &str| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {}: invalid syntax",
                meta::field::quoted(v)
            ))
        };
        Ok(DeleteOptions {
            grace_period_seconds: match q.get("gracePeriodSeconds") {
                Some(v) => Some(v.parse().map_err(|_| bad(v))?),
                None => None,
            },
            preconditions: None,
            orphan_dependents: q.get("orphanDependents").map(|_| options::flag(q, "orphanDependents")),
            propagation_policy: q.get("propagationPolicy").map(str::to_owned),
            dry_run: Some(q.all("dryRun").map(str::to_owned).collect()),
        })
    }

    // k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go ValidateDeleteOptions
    fn check(&self) -> Result<(), Status> {
        let path = meta::Path::new("propagationPolicy");
        let mut errors = Vec::new();
        if let (Some(_), Some(policy)) = (self.orphan_dependents, &self.propagation_policy) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(meta::FieldError::invalid(&path, meta::field::quoted(policy), why));
        }
        if let Some(policy) = &self.propagation_policy {
            let known = ["Foreground", "Background", "Orphan"];
            if !known.contains(&policy.as_str()) {
                let listed = [&known[..], &["nil"]].concat();
                errors.push(meta::FieldError::not_supported(&path, policy, &listed));
            }
        }
        options::dry_run(self.dry_run.iter().flatten().map(String::as_str), &mut errors);
        if errors.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", "DeleteOptions"), "", &errors))
    }

    /// Whether nothing may be written.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.iter().flatten().any(|v| v == "All")
    }
}
