//! The verbs over a client, in JSON bytes.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use meta::{Body, Gvr, Query, Request, Response, Status, Target, Verb};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Client;

/// Bodies of single answers that are read whole.
pub const BODY_LIMIT_BYTES: usize = 512 << 20;
/// The longest watch event.
pub const EVENT_LIMIT_BYTES: usize = 16 << 20;

/// One resource in one namespace (or all, or cluster scope) seen through a client.
#[derive(Clone)]
pub struct Api<'a> {
    client: &'a dyn Client,
    gvr: Gvr,
    namespace: String,
    metadata_only: bool,
}

/// Objects as they are.
const ACCEPT_JSON: &str = "application/json";
/// Only their metadata, where the server can. A list and a single object have each their own form, and the first
/// that a server knows counts: upstream's would send no event of a watch that asks for lists first.
const ACCEPT_METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const ACCEPT_METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// What a list or a watch asks for. Empty strings are left out.
#[derive(Clone, Debug, Default)]
pub struct ListParams {
    pub label_selector: String,
    pub field_selector: String,
    pub resource_version: String,
    pub resource_version_match: String,
    /// 0: no limit.
    pub limit: u32,
    pub continue_token: String,
    /// Watch only.
    pub allow_bookmarks: bool,
    /// Watch only; 0: the server's choice.
    pub timeout_seconds: u32,
    /// Watch only.
    pub send_initial_events: bool,
}

/// A page of a list.
#[derive(Debug)]
pub struct ListResult {
    pub resource_version: String,
    /// Empty on the last page.
    pub continue_token: String,
    /// One JSON object each; kind and apiVersion may be absent in items.
    pub items: Vec<Bytes>,
}

/// The type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WatchType {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// A watch event. For `Error` the object is a Status.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    pub kind: WatchType,
    pub object: Bytes,
}

/// A patch and its form.
#[derive(Clone, Debug)]
pub enum Patch {
    Json(Vec<u8>),
    Merge(Vec<u8>),
    Strategic(Vec<u8>),
}

/// Options of a delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub grace_period_seconds: Option<i64>,
    /// `Background`, `Foreground`, `Orphan`.
    pub propagation_policy: Option<String>,
}

impl DeleteOptions {
    /// The `DeleteOptions` object as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut o = serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(s) = self.grace_period_seconds {
            o["gracePeriodSeconds"] = s.into();
        }
        if let Some(p) = &self.propagation_policy {
            o["propagationPolicy"] = p.as_str().into();
        }
        if let Some(u) = &self.uid {
            o["preconditions"]["uid"] = u.as_str().into();
        }
        if let Some(v) = &self.resource_version {
            o["preconditions"]["resourceVersion"] = v.as_str().into();
        }
        o.to_string().into_bytes()
    }
}

impl<'a> Api<'a> {
    /// `namespace` empty: cluster scope, or all namespaces for list and watch.
    #[must_use]
    pub fn new(client: &'a dyn Client, gvr: Gvr, namespace: &str) -> Self {
        Api { client, gvr, namespace: namespace.to_owned(), metadata_only: false }
    }

    /// Asks for metadata only. An old server answers with whole objects, whose metadata reads the same.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }

    fn request(&self, verb: Verb, name: &str, subresource: &str) -> Request {
        let target = Target::Resource {
            gvr: self.gvr.clone(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            subpath: String::new(),
        };
        let mut r = Request::new(verb, target);
        let accept = match (self.metadata_only, verb) {
            (false, _) => ACCEPT_JSON,
            (true, Verb::List) => ACCEPT_METADATA_LIST,
            (true, _) => ACCEPT_METADATA,
        };
        r.accept = accept.to_owned();
        r
    }

    async fn whole(&self, mut r: Request, content_type: &str, body: Vec<u8>) -> Result<Bytes, Status> {
        if !body.is_empty() {
            r.content_type = content_type.to_owned();
            r.body = body.into();
        }
        read_body(self.client.send(r).await?).await
    }

    /// One object.
    ///
    /// # Errors
    /// The server's Status.
    pub async fn get(&self, name: &str) -> Result<Bytes, Status> {
        self.get_subresource(name, "").await
    }

    /// A subresource of one object: `scale`, `status`.
    ///
    /// # Errors
    /// The server's Status.
    pub async fn get_subresource(&self, name: &str, sub: &str) -> Result<Bytes, Status> {
        self.whole(self.request(Verb::Get, name, sub), "", Vec::new()).await
    }

    /// Creates an object from JSON.
    ///
    /// # Errors
    /// The server's Status.
    pub async fn create(&self, object: Vec<u8>) -> Result<Bytes, Status> {
        self.whole(self.request(Verb::Create, "", ""), "application/json", object).await
    }

    /// Creates through a subresource: `binding`, `eviction`, `token`.
    ///
    /// # Errors
    /// The server's Status.
    pub async fn create_subresource(&self, name: &str, sub: &str, object: Vec<u8>) -> Result<Bytes, Status> {
        self.whole(self.request(Verb::Create, name, sub), "application/json", object).await
    }

    /// Replaces an object, or (with `sub`) its subresource.
    ///
    /// # Errors
    /// The server's Status.
    pub async fn update(&self, name: &str, sub: &str, object: Vec<u8>) -> Result<Bytes, Status> {
        self.whole(self.request(Verb::Update, name, sub), "application/json", object).await
    }

    /// Patches an object, or (with `sub`) its subresource.
    ///
    /// # Errors
    /// The server's Status.
    pub async fn patch(&self, name: &str, sub: &str, patch: Patch) -> Result<Bytes, Status> {
        let (content_type, body) = match patch {
            Patch::Json(b) => ("application/json-patch+json", b),
            Patch::Merge(b) => ("application/merge-patch+json", b),
            Patch::Strategic(b) => ("application/strategic-merge-patch+json", b),
        };
        self.whole(self.request(Verb::Patch, name, sub), content_type, body).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// The server's Status.
    pub async fn delete(&self, name: &str, options: &DeleteOptions) -> Result<Bytes, Status> {
        self.whole(self.request(Verb::Delete, name, ""), "application/json", options.to_json()).await
    }

    /// One page of the collection.
    ///
    /// # Errors
    /// The server's Status.
    pub async fn list(&self, params: &ListParams) -> Result<ListResult, Status> {
        let mut r = self.request(Verb::List, "", "");
        params.put(&mut r.query);
        parse_list(&self.whole(r, "", Vec::new()).await?)
    }

    /// Watches the collection. The stream ends when the server ends it; an error ends it too.
    ///
    /// # Errors
    /// The server's Status when the watch is refused.
    pub async fn watch(
        &self,
        params: &ListParams,
    ) -> Result<impl Stream<Item = Result<WatchEvent, Status>> + Send + Unpin + use<>, Status> {
        let mut r = self.request(Verb::Watch, "", "");
        r.query.push("watch", "true");
        params.put(&mut r.query);
        let response = self.client.send(r).await?;
        Ok(Box::pin(frames(response.body)))
    }
}

impl ListParams {
    fn put(&self, q: &mut Query) {
        for (k, v) in [
            ("labelSelector", &self.label_selector),
            ("fieldSelector", &self.field_selector),
            ("resourceVersion", &self.resource_version),
            ("resourceVersionMatch", &self.resource_version_match),
            ("continue", &self.continue_token),
        ] {
            if !v.is_empty() {
                q.push(k, v.as_str());
            }
        }
        if self.limit > 0 {
            q.push("limit", self.limit.to_string());
        }
        if self.timeout_seconds > 0 {
            q.push("timeoutSeconds", self.timeout_seconds.to_string());
        }
        if self.allow_bookmarks {
            q.push("allowWatchBookmarks", "true");
        }
        if self.send_initial_events {
            q.push("sendInitialEvents", "true");
        }
    }
}

/// Makes an error of a response whose code is one.
///
/// # Errors
/// The Status in the body, or one made of the code.
pub async fn check(response: Response) -> Result<Response, Status> {
    if response.code < 400 {
        return Ok(response);
    }
    let code = response.code;
    let body = read_body(response).await?;
    Err(Status::from_json(&body).unwrap_or_else(|| {
        let mut s = Status::internal(String::from_utf8_lossy(&body[..body.len().min(1024)]));
        s.code = code;
        s
    }))
}

/// The whole body, up to [`BODY_LIMIT_BYTES`].
///
/// # Errors
/// When the body breaks off or is too large.
pub async fn read_body(response: Response) -> Result<Bytes, Status> {
    let mut chunks = pieces(response.body);
    let mut out = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if out.len() + chunk.len() > BODY_LIMIT_BYTES {
            return Err(Status::too_large(BODY_LIMIT_BYTES));
        }
        if out.is_empty() && matches!(chunks.size_hint(), (0, Some(0))) {
            return Ok(chunk);
        }
        out.extend_from_slice(&chunk);
    }
    Ok(out.freeze())
}

fn pieces(body: Body) -> meta::BodyStream {
    match body {
        Body::Full(b) => Box::pin(stream::iter([Ok(b)])),
        Body::Chunks(v) => Box::pin(stream::iter(v.into_iter().map(Ok))),
        Body::Stream(s) => s,
        Body::Tunnel(_) => Box::pin(stream::iter([Err(Status::internal("a tunnel has no body here"))])),
    }
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(rename = "type")]
    kind: WatchType,
    #[serde(borrow)]
    object: &'a RawValue,
}

fn frames(body: Body) -> impl Stream<Item = Result<WatchEvent, Status>> + Send {
    let state = (pieces(body), BytesMut::new());
    stream::unfold(Some(state), |state| async move {
        let (mut source, mut buffer) = state?;
        let mut searched = 0;
        loop {
            if let Some(at) = buffer[searched..].iter().position(|b| *b == b'\n') {
                let line = buffer.split_to(searched + at + 1).freeze();
                searched = 0;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Some((parse_event(&line), Some((source, buffer))));
            }
            searched = buffer.len();
            if buffer.len() > EVENT_LIMIT_BYTES {
                return Some((Err(Status::too_large(EVENT_LIMIT_BYTES)), None));
            }
            match source.next().await? {
                // Whole events, as a server in this process gives them, are not copied.
                Ok(chunk) if buffer.is_empty() && is_one_event(&chunk) => {
                    return Some((parse_event(&chunk), Some((source, buffer))));
                }
                Ok(chunk) => buffer.extend_from_slice(&chunk),
                Err(e) => return Some((Err(e), None)),
            }
        }
    })
}

fn is_one_event(chunk: &[u8]) -> bool {
    chunk.starts_with(b"{") && chunk.iter().position(|b| *b == b'\n') == chunk.len().checked_sub(1)
}

/// How events begin that this project's server writes.
const HEADS: [(&[u8], WatchType); 3] = [
    (b"{\"type\":\"ADDED\",\"object\":{", WatchType::Added),
    (b"{\"type\":\"MODIFIED\",\"object\":{", WatchType::Modified),
    (b"{\"type\":\"DELETED\",\"object\":{", WatchType::Deleted),
];

/// An event in the form that needs no parsing; the object is checked by whoever reads it.
fn known_event(line: &Bytes) -> Option<WatchEvent> {
    let (head, kind) = HEADS.iter().find(|(head, _)| line.starts_with(head))?;
    let end = line.strip_suffix(b"}}\n")?.len() + 1;
    Some(WatchEvent { kind: *kind, object: line.slice(head.len() - 1..end) })
}

fn parse_event(line: &Bytes) -> Result<WatchEvent, Status> {
    if let Some(event) = known_event(line) {
        return Ok(event);
    }
    let raw: RawEvent<'_> =
        meta::json::read(line).map_err(|e| Status::internal(format!("bad watch event: {e}")))?;
    Ok(WatchEvent { kind: raw.kind, object: line.slice_ref(raw.object.get().as_bytes()) })
}

fn parse_list(body: &Bytes) -> Result<ListResult, Status> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct ListMeta {
        resource_version: String,
        #[serde(rename = "continue")]
        token: String,
    }
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(default)]
        metadata: ListMeta,
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    let raw: Raw<'_> = meta::json::read(body).map_err(|e| Status::internal(format!("bad list: {e}")))?;
    Ok(ListResult {
        resource_version: raw.metadata.resource_version,
        continue_token: raw.metadata.token,
        items: raw.items.unwrap_or_default().iter().map(|r| body.slice_ref(r.get().as_bytes())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn events_read_the_same_in_the_known_form_and_in_others() {
        for (line, kind, object) in [
            ("{\"type\":\"ADDED\",\"object\":{\"a\":{}}}\n", WatchType::Added, "{\"a\":{}}"),
            ("{\"type\":\"MODIFIED\",\"object\":{}}\n", WatchType::Modified, "{}"),
            ("{\"object\":{\"a\":1},\"type\":\"DELETED\"}\n", WatchType::Deleted, "{\"a\":1}"),
            ("{\"type\":\"ADDED\", \"object\": {\"a\":1}}\n", WatchType::Added, "{\"a\":1}"),
            ("{\"type\":\"BOOKMARK\",\"object\":{\"a\":1}}\n", WatchType::Bookmark, "{\"a\":1}"),
        ] {
            let event = parse_event(&Bytes::from_static(line.as_bytes())).expect(line);
            assert_eq!((event.kind, &event.object[..]), (kind, object.as_bytes()), "{line}");
        }
        assert!(parse_event(&Bytes::from_static(b"{\"type\":\"ADDED\"}\n")).is_err());
        assert!(is_one_event(b"{}\n"));
        for other in [&b""[..], b"\n", b"{}", b"{}\n{}\n"] {
            assert!(!is_one_event(other));
        }
    }

    /// Takes the first form that is asked for, as upstream's server does, and cannot make a list of one object or
    /// one object of a list: then a list is refused, and a watch ends without an event.
    struct Stock;

    impl Client for Stock {
        fn send(&self, r: Request) -> meta::BoxFuture<'_, Result<Response, Status>> {
            let list = r.accept.split(',').next().unwrap().contains("as=PartialObjectMetadataList");
            let one = !list && r.accept.contains("as=PartialObjectMetadata;");
            let body = match r.verb {
                Verb::Watch if list => "",
                Verb::Watch => "{\"type\":\"ADDED\",\"object\":{}}\n",
                Verb::List if one => return Box::pin(async { Err(Status::internal("406")) }),
                Verb::List => "{\"items\":[{}]}",
                _ if list => return Box::pin(async { Err(Status::internal("406")) }),
                _ => "{}",
            };
            Box::pin(async move { Ok(Response::json(200, body)) })
        }
    }

    #[test]
    fn metadata_is_asked_for_in_the_form_of_the_verb() {
        for metadata_only in [false, true] {
            let api = Api::new(&Stock, Gvr::new("", "v1", "pods"), "");
            let api = if metadata_only { api.metadata_only() } else { api };
            let done = async {
                let page = api.list(&ListParams::default()).await.unwrap();
                let mut watch = api.watch(&ListParams::default()).await.unwrap();
                (page.items.len(), watch.next().await.is_some_and(|e| e.is_ok()), api.get("a").await.is_ok())
            };
            assert_eq!(done.now_or_never(), Some((1, true, true)), "{metadata_only}");
        }
    }
}
