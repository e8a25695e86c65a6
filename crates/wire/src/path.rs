//! HTTP method, path and query to `Verb` and `Target` and back, by upstream's rules. It must never look at
//! which resources exist: what is not there is the handler's to say.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go NewRequestInfo

use std::borrow::Cow;

use meta::{Gvr, Query, Request, Target, Verb};

use crate::escape;

/// The path cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path of the request cannot be decoded")]
pub struct BadPath;

/// What `method` on `path` (escaped, without the query) asks for.
///
/// # Errors
/// When the path has broken escapes or does not start with a slash.
pub fn parse(method: &str, path: &str, query: &Query) -> Result<(Verb, Target), BadPath> {
    let path = escape::decode(path).ok_or(BadPath)?;
    if !path.starts_with('/') {
        return Err(BadPath);
    }
    let verb = verb_of(method);
    match resource(verb, method, &path, query) {
        Some(found) => Ok(found),
        None => Ok((verb, Target::Path(path.into_owned()))),
    }
}

fn verb_of(method: &str) -> Verb {
    match method {
        "GET" | "HEAD" => Verb::Get,
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" => Verb::Patch,
        "DELETE" => Verb::Delete,
        _ => Verb::Unknown,
    }
}

/// Takes the next segment; an empty one inside a path makes it no resource path.
fn next<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (head, tail) = rest.split_once('/').unwrap_or((rest, ""));
    *rest = tail;
    (!head.is_empty()).then_some(head)
}

fn resource(verb: Verb, method: &str, path: &str, query: &Query) -> Option<(Verb, Target)> {
    let mut rest = path.strip_prefix('/')?;
    let group = match next(&mut rest)? {
        "api" => "",
        "apis" => next(&mut rest)?,
        _ => return None,
    };
    let version = next(&mut rest)?;
    let mut segment = next(&mut rest)?;
    let mut verb = verb;
    if segment == "watch" && !rest.is_empty() {
        // The old form of a watch; any method but a read is no request of that path.
        verb = if verb == Verb::Get { Verb::Watch } else { Verb::Unknown };
        segment = next(&mut rest)?;
    }
    let mut namespace = "";
    if segment == "namespaces" && !rest.is_empty() {
        // `namespaces/{name}` and its own subresources are cluster scoped; anything longer is in a namespace.
        let mut ahead = rest;
        let name = next(&mut ahead)?;
        let after = ahead.split('/').next().unwrap_or("");
        if !matches!(after, "" | "status" | "finalize") {
            namespace = name;
            rest = ahead;
            segment = next(&mut rest)?;
        }
    }
    let name = if rest.is_empty() { "" } else { next(&mut rest)? };
    let subresource = if rest.is_empty() { "" } else { next(&mut rest)? };
    let verb = refine(verb, method, (group, segment, name, subresource), query);
    let target = Target::Resource {
        gvr: Gvr { group: intern(group), version: intern(version), resource: intern(segment) },
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        subpath: rest.to_owned(),
    };
    Some((verb, target))
}

fn refine(verb: Verb, method: &str, what: (&str, &str, &str, &str), query: &Query) -> Verb {
    let (group, resource, name, subresource) = what;
    if is_connect(group, resource, subresource, method) && verb != Verb::Watch {
        return Verb::Connect;
    }
    match verb {
        Verb::Get if name.is_empty() && wants_watch(query) => Verb::Watch,
        Verb::Get if name.is_empty() => Verb::List,
        Verb::Delete if name.is_empty() => Verb::DeleteCollection,
        verb => verb,
    }
}

// k8s: apimachinery/pkg/runtime/conversion.go Convert_Slice_string_To_bool
fn wants_watch(query: &Query) -> bool {
    query.get("watch").is_some_and(|v| !v.eq_ignore_ascii_case("false") && v != "0")
}

fn is_connect(group: &str, resource: &str, subresource: &str, method: &str) -> bool {
    if !group.is_empty() || subresource.is_empty() {
        return false;
    }
    match (resource, subresource) {
        ("pods", "exec" | "attach" | "portforward") => matches!(method, "GET" | "POST"),
        ("pods" | "services" | "nodes", "proxy") => true,
        _ => false,
    }
}

/// Names that nearly every request has are not allocated.
fn intern(text: &str) -> Cow<'static, str> {
    Cow::Borrowed(match text {
        "" => "",
        "v1" => "v1",
        "apps" => "apps",
        "batch" => "batch",
        "coordination.k8s.io" => "coordination.k8s.io",
        "discovery.k8s.io" => "discovery.k8s.io",
        "events.k8s.io" => "events.k8s.io",
        "rbac.authorization.k8s.io" => "rbac.authorization.k8s.io",
        "configmaps" => "configmaps",
        "deployments" => "deployments",
        "endpointslices" => "endpointslices",
        "events" => "events",
        "leases" => "leases",
        "namespaces" => "namespaces",
        "nodes" => "nodes",
        "pods" => "pods",
        "replicasets" => "replicasets",
        "secrets" => "secrets",
        "serviceaccounts" => "serviceaccounts",
        "services" => "services",
        other => return Cow::Owned(other.to_owned()),
    })
}

/// The escaped path and query of a request, as a client sends it.
#[must_use]
pub fn path_and_query(request: &Request) -> String {
    let mut out = String::with_capacity(96);
    match &request.target {
        Target::Path(p) => escape::push_path(&mut out, p),
        Target::Resource { gvr, namespace, name, subresource, subpath } => {
            out.push_str(if gvr.group.is_empty() { "/api" } else { "/apis" });
            let namespaced = if namespace.is_empty() { "" } else { "namespaces" };
            for s in [&gvr.group, &gvr.version, namespaced, namespace, &gvr.resource, name, subresource] {
                if !s.is_empty() {
                    out.push('/');
                    escape::push_segment(&mut out, s);
                }
            }
            if !subpath.is_empty() {
                out.push('/');
                escape::push_path(&mut out, subpath);
            }
        }
    }
    let collection = matches!(&request.target, Target::Resource { .. });
    let mark_watch = request.verb == Verb::Watch && collection && !wants_watch(&request.query);
    if !request.query.0.is_empty() || mark_watch {
        out.push('?');
    }
    if mark_watch {
        out.push_str("watch=true");
        out.push_str(if request.query.0.is_empty() { "" } else { "&" });
    }
    escape::push_query(&mut out, &request.query.0);
    out
}

/// Whether the request may last: no deadline holds for it, and a stopping server closes it.
// k8s: cmd/kube-apiserver/app/server.go BasicLongRunningRequestCheck
#[must_use]
pub fn is_long_running(verb: Verb, target: &Target) -> bool {
    match target {
        _ if matches!(verb, Verb::Watch | Verb::Connect) => true,
        Target::Resource { subresource, .. } => subresource == "log",
        Target::Path(p) => p.starts_with("/debug/pprof/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(method: &str, url: &str) -> (Verb, Target) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        parse(method, path, &Query(escape::parse_query(query))).expect("a good path")
    }

    /// verb g/v/r ns name sub subpath
    fn line(method: &str, url: &str) -> String {
        match read(method, url) {
            (verb, Target::Path(p)) => format!("{} path {p}", verb.as_str()),
            (verb, Target::Resource { gvr, namespace, name, subresource, subpath }) => {
                let verb = verb.as_str();
                format!("{verb} {gvr} ns={namespace} name={name} sub={subresource} at={subpath}")
            }
        }
    }

    #[test]
    fn requests_as_upstream_reads_them() {
        for (method, url, want) in [
            ("GET", "/", "get path /"),
            ("GET", "/api", "get path /api"),
            ("GET", "/api/v1/", "get path /api/v1/"),
            ("GET", "/apis/apps/v1", "get path /apis/apps/v1"),
            ("GET", "/healthz/ping", "get path /healthz/ping"),
            ("POST", "/openapi/v3", "create path /openapi/v3"),
            ("GET", "/api/v1/pods", "list v1/pods ns= name= sub= at="),
            ("HEAD", "/api/v1/pods/", "list v1/pods ns= name= sub= at="),
            ("GET", "/api/v1//pods", "get path /api/v1//pods"),
            ("GET", "/api/v1/pods?watch=true", "watch v1/pods ns= name= sub= at="),
            ("GET", "/api/v1/pods?watch", "watch v1/pods ns= name= sub= at="),
            ("GET", "/api/v1/pods?watch=0", "list v1/pods ns= name= sub= at="),
            ("GET", "/api/v1/pods?watch=False", "list v1/pods ns= name= sub= at="),
            ("POST", "/api/v1/namespaces", "create v1/namespaces ns= name= sub= at="),
            ("GET", "/api/v1/namespaces/a", "get v1/namespaces ns= name=a sub= at="),
            ("GET", "/api/v1/namespaces/a?watch=1", "get v1/namespaces ns= name=a sub= at="),
            ("PUT", "/api/v1/namespaces/a/finalize", "update v1/namespaces ns= name=a sub=finalize at="),
            ("PATCH", "/api/v1/namespaces/a/status", "patch v1/namespaces ns= name=a sub=status at="),
            ("GET", "/api/v1/namespaces/a/pods", "list v1/pods ns=a name= sub= at="),
            ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection v1/pods ns=a name= sub= at="),
            ("DELETE", "/api/v1/namespaces/a/pods/b", "delete v1/pods ns=a name=b sub= at="),
            ("GET", "/api/v1/namespaces/a/pods/b/log", "get v1/pods ns=a name=b sub=log at="),
            ("GET", "/api/v1/watch/pods", "watch v1/pods ns= name= sub= at="),
            ("POST", "/api/v1/watch/pods", "unknown v1/pods ns= name= sub= at="),
            ("GET", "/api/v1/watch/namespaces/a/pods/b", "watch v1/pods ns=a name=b sub= at="),
            ("POST", "/api/v1/namespaces/a/pods/b/exec", "connect v1/pods ns=a name=b sub=exec at="),
            ("GET", "/api/v1/namespaces/a/pods/b/exec", "connect v1/pods ns=a name=b sub=exec at="),
            ("PUT", "/api/v1/namespaces/a/pods/b/exec", "update v1/pods ns=a name=b sub=exec at="),
            ("PUT", "/api/v1/nodes/n/proxy/x/y%20z/", "connect v1/nodes ns= name=n sub=proxy at=x/y z/"),
            ("GET", "/api/v1/nodes/n/proxy/", "connect v1/nodes ns= name=n sub=proxy at="),
            ("POST", "/api/v1/namespaces/a/pods/b/eviction", "create v1/pods ns=a name=b sub=eviction at="),
            ("GET", "/apis/apps/v1/deployments", "list apps/v1/deployments ns= name= sub= at="),
            (
                "GET",
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                "get apps/v1/deployments ns=a name=b sub=scale at=",
            ),
            (
                "GET",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                "get rbac.authorization.k8s.io/v1/clusterroles ns= name=system:node sub= at=",
            ),
            ("OPTIONS", "/api/v1/pods", "unknown v1/pods ns= name= sub= at="),
            ("OPTIONS", "/healthz", "unknown path /healthz"),
        ] {
            assert_eq!(line(method, url), want, "{method} {url}");
        }
        assert_eq!(parse("GET", "/a%2", &Query::default()), Err(BadPath));
        assert_eq!(parse("GET", "*", &Query::default()), Err(BadPath));
    }

    #[test]
    fn watch_is_marked_in_the_query() {
        let target = read("GET", "/api/v1/pods").1;
        let mut r = Request::new(Verb::Watch, target);
        assert_eq!(path_and_query(&r), "/api/v1/pods?watch=true");
        r.query.push("labelSelector", "a=b,c in (d)");
        assert_eq!(path_and_query(&r), "/api/v1/pods?watch=true&labelSelector=a%3Db%2Cc%20in%20%28d%29");
        r.query.push("watch", "1");
        assert!(path_and_query(&r).starts_with("/api/v1/pods?labelSelector"));
    }

    fn segment() -> impl Strategy<Value = String> {
        // Not the words that mean something else at their place.
        "[a-z][a-z0-9 %é:.-]{0,8}".prop_filter("a word with a meaning", |s| {
            !matches!(s.as_str(), "watch" | "namespaces" | "status" | "finalize" | "proxy")
        })
    }

    proptest! {
        #[test]
        fn never_panics(method in "[A-Z]{0,7}", path in ".{0,60}", query in ".{0,40}") {
            let _ = parse(&method, &path, &Query(escape::parse_query(&query)));
        }

        #[test]
        fn structured_never_panics(path in "(/(api|apis|v1|watch|namespaces|proxy|status|%2f|a|)){0,9}") {
            let _ = parse("GET", &path, &Query::default());
        }

        #[test]
        fn round_trip(
            group in prop_oneof![Just(String::new()), segment()],
            version in segment(), resource in segment(),
            namespace in prop_oneof![Just(String::new()), segment()],
            name in prop_oneof![Just(String::new()), segment()],
            sub in prop_oneof![Just(String::new()), segment()],
            query in proptest::collection::vec((".{1,5}", ".{0,9}"), 0..4),
            verb in 0..4usize,
        ) {
            let target = Target::Resource {
                gvr: Gvr { group: group.into(), version: version.into(), resource: resource.into() },
                namespace, subresource: if name.is_empty() { String::new() } else { sub },
                name: name.clone(), subpath: String::new(),
            };
            let verb = match verb {
                0 if name.is_empty() => Verb::List,
                0 => Verb::Get,
                1 if name.is_empty() => Verb::DeleteCollection,
                1 => Verb::Delete,
                2 => Verb::Create,
                _ => Verb::Patch,
            };
            let mut r = Request::new(verb, target.clone());
            r.query = Query(query);
            prop_assume!(r.query.get("watch").is_none());
            let url = path_and_query(&r);
            let (path, query) = url.split_once('?').unwrap_or((&url, ""));
            let query = Query(escape::parse_query(query));
            prop_assert_eq!(&query, &r.query);
            prop_assert_eq!(parse(&r.method, path, &query), Ok((verb, target)));
        }
    }
}
