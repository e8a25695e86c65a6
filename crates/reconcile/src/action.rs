//! What a decider wants done: operations on the API, their order, and the answers that come back as state.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use meta::{Gvr, Status};

use crate::{EventRecord, Key, ObjectMeta};

/// The form of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
}

/// One operation. Bodies are JSON. An empty namespace means cluster scope (all namespaces for `List`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create {
        gvr: Gvr,
        namespace: String,
        /// The name in the body; empty when the server makes one up (`generateName`).
        name: String,
        body: Vec<u8>,
    },
    /// A create through `binding`, `eviction` or `token`.
    CreateSub {
        gvr: Gvr,
        namespace: String,
        name: String,
        sub: &'static str,
        body: Vec<u8>,
    },
    /// A replacement; `sub` empty for the object itself.
    Update {
        gvr: Gvr,
        namespace: String,
        name: String,
        sub: &'static str,
        body: Vec<u8>,
    },
    Patch {
        gvr: Gvr,
        namespace: String,
        name: String,
        sub: &'static str,
        kind: PatchKind,
        body: Vec<u8>,
    },
    Delete {
        gvr: Gvr,
        namespace: String,
        name: String,
        /// Preconditions.
        uid: Option<Arc<str>>,
        resource_version: Option<u64>,
        grace_period_seconds: Option<i64>,
        /// `Background`, `Foreground`, `Orphan`.
        propagation: Option<&'static str>,
    },
    DeleteCollection {
        gvr: Gvr,
        namespace: String,
    },
    /// A live read of one object, or (with `sub`) of its subresource: `scale`, say. NotFound is an answer, not a
    /// failure.
    Get {
        gvr: Gvr,
        namespace: String,
        name: String,
        sub: &'static str,
    },
    /// A live list of what the label selector selects (empty: everything); with `metadata_only` the items are
    /// PartialObjectMetadata. `limit` 0: all of it.
    List {
        gvr: Gvr,
        namespace: String,
        selector: String,
        metadata_only: bool,
        limit: u32,
    },
    /// The server's newest revision, read consistently.
    Revision {
        gvr: Gvr,
    },
    /// A question that is asked by creating an object that nobody stores: a SubjectAccessReview, say. The
    /// answer is that object with its status.
    Review {
        gvr: Gvr,
        body: Vec<u8>,
    },
    /// A question (JSON) to something outside the API: a cloud, a source of metrics. The driver asks the port of
    /// that name; what it answers is JSON and comes back as [`Answers::asked`].
    Ask {
        port: &'static str,
        question: Vec<u8>,
    },
}

/// What is about no resource.
static NO_RESOURCE: Gvr = Gvr::new("", "", "");

impl Op {
    /// What it is about; all parts are empty when it is no resource.
    #[must_use]
    pub fn gvr(&self) -> &Gvr {
        match self {
            Op::Ask { .. } => &NO_RESOURCE,
            Op::Create { gvr, .. }
            | Op::CreateSub { gvr, .. }
            | Op::Update { gvr, .. }
            | Op::Patch { gvr, .. }
            | Op::Delete { gvr, .. }
            | Op::DeleteCollection { gvr, .. }
            | Op::Get { gvr, .. }
            | Op::List { gvr, .. }
            | Op::Review { gvr, .. }
            | Op::Revision { gvr } => gvr,
        }
    }

    /// Namespace and name; the name is empty where there is none, and that of the port for a question to one.
    #[must_use]
    pub fn target(&self) -> (&str, &str) {
        match self {
            Op::Create { namespace, name, .. }
            | Op::CreateSub { namespace, name, .. }
            | Op::Update { namespace, name, .. }
            | Op::Patch { namespace, name, .. }
            | Op::Delete { namespace, name, .. }
            | Op::Get { namespace, name, .. } => (namespace, name),
            Op::DeleteCollection { namespace, .. } | Op::List { namespace, .. } => (namespace, ""),
            Op::Ask { port, .. } => ("", port),
            Op::Revision { .. } | Op::Review { .. } => ("", ""),
        }
    }

    /// The subresource, empty for the object itself.
    #[must_use]
    pub fn subresource(&self) -> &str {
        match self {
            Op::CreateSub { sub, .. }
            | Op::Update { sub, .. }
            | Op::Patch { sub, .. }
            | Op::Get { sub, .. } => sub,
            _ => "",
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Op::Get { .. } | Op::List { .. } | Op::Revision { .. } | Op::Review { .. } | Op::Ask { .. }
        )
    }

    /// The verb for logs: `create`, `delete`, ...
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Op::Create { .. } | Op::CreateSub { .. } => "create",
            Op::Update { .. } => "update",
            Op::Patch { .. } => "patch",
            Op::Delete { .. } => "delete",
            Op::DeleteCollection { .. } => "deletecollection",
            Op::Get { .. } => "get",
            Op::List { .. } => "list",
            Op::Revision { .. } => "revision",
            Op::Review { .. } => "review",
            Op::Ask { .. } => "ask",
        }
    }
}

/// An operation with what to tell users about its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub op: Op,
    /// Recorded when it succeeds; `{name}` is filled in.
    pub on_ok: Option<EventRecord>,
    /// Recorded when it fails; `{error}` is filled in. Not recorded while the namespace is terminating.
    pub on_err: Option<EventRecord>,
    /// Reasons that count as success (`NotFound` for a delete, ...).
    pub tolerate: &'static [&'static str],
}

impl From<Op> for Action {
    fn from(op: Op) -> Self {
        Action { op, on_ok: None, on_err: None, tolerate: &[] }
    }
}

impl Action {
    /// Creates an object; `name` is empty for `generateName`.
    #[must_use]
    pub fn create(gvr: Gvr, namespace: &str, name: &str, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        Op::Create { gvr, namespace: namespace.to_owned(), name: name.to_owned(), body }.into()
    }

    /// Merge-patches an object or (with `sub`) its subresource.
    #[must_use]
    pub fn merge_patch(gvr: Gvr, key: &Key, sub: &'static str, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
        Op::Patch { gvr, namespace, name, sub, kind: PatchKind::Merge, body }.into()
    }

    /// Merge-patches `status`, refused with a conflict when the object has changed since it was read.
    #[must_use]
    pub fn status_patch(gvr: Gvr, m: &ObjectMeta, status: &serde_json::Value) -> Self {
        let body = serde_json::json!({
            "metadata": {"resourceVersion": m.resource_version.to_string(), "uid": m.uid},
            "status": status,
        });
        Self::merge_patch(gvr, &m.key(), "status", &body)
    }

    /// Strategic-merge-patches an object.
    #[must_use]
    pub fn strategic_patch(gvr: Gvr, key: &Key, sub: &'static str, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
        Op::Patch { gvr, namespace, name, sub, kind: PatchKind::Strategic, body }.into()
    }

    /// Replaces an object; the body carries the resourceVersion.
    #[must_use]
    pub fn update(gvr: Gvr, key: &Key, sub: &'static str, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
        Op::Update { gvr, namespace, name, sub, body }.into()
    }

    /// Deletes exactly this object (by UID). Not being there counts as success.
    #[must_use]
    pub fn delete(gvr: Gvr, m: &ObjectMeta) -> Self {
        let op = Op::Delete {
            gvr,
            namespace: m.namespace.to_string(),
            name: m.name.to_string(),
            uid: Some(m.uid.clone()),
            resource_version: None,
            grace_period_seconds: None,
            propagation: None,
        };
        Action { op, on_ok: None, on_err: None, tolerate: &["NotFound"] }
    }

    /// A live read of one object.
    #[must_use]
    pub fn get(gvr: Gvr, namespace: &str, name: &str) -> Self {
        Self::get_sub(gvr, namespace, name, "")
    }

    /// A live read of a subresource of one object.
    #[must_use]
    pub fn get_sub(gvr: Gvr, namespace: &str, name: &str, sub: &'static str) -> Self {
        Op::Get { gvr, namespace: namespace.to_owned(), name: name.to_owned(), sub }.into()
    }

    /// A question to a port; the answer comes back as [`Answers::asked`].
    #[must_use]
    pub fn ask(port: &'static str, question: &serde_json::Value) -> Self {
        Op::Ask { port, question: question.to_string().into_bytes() }.into()
    }

    /// A question; the answer comes back as [`Answers::reviewed`].
    #[must_use]
    pub fn review(gvr: Gvr, body: &serde_json::Value) -> Self {
        Op::Review { gvr, body: body.to_string().into_bytes() }.into()
    }

    /// Records an event when it succeeds.
    #[must_use]
    pub fn on_ok(mut self, e: EventRecord) -> Self {
        self.on_ok = Some(e);
        self
    }

    /// Records an event when it fails.
    #[must_use]
    pub fn on_err(mut self, e: EventRecord) -> Self {
        self.on_err = Some(e);
        self
    }

    /// Counts failures of these reasons as success.
    #[must_use]
    pub fn tolerate(mut self, reasons: &'static [&'static str]) -> Self {
        self.tolerate = reasons;
        self
    }
}

/// Actions that may run at the same time. Steps run one after the other; after a failure the following
/// steps are left out, except those that are `always` done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub actions: Vec<Action>,
    /// Send 1, then 2, 4, 8 ... and stop at the first batch with a failure, so that a quota or a webhook
    /// that refuses is not asked a thousand times.
    pub slow_start: bool,
    pub always: bool,
}

/// A decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Recorded whether or not the actions succeed.
    pub events: Vec<EventRecord>,
    /// Decide again at this time at the latest.
    pub requeue_at: Option<Timestamp>,
    /// Decide again with back-off, as after a failure.
    pub retry: bool,
}

impl Plan {
    /// A plan of one step.
    #[must_use]
    pub fn of(actions: Vec<Action>) -> Self {
        let mut p = Plan::default();
        p.step(actions);
        p
    }

    /// Nothing to do until then.
    #[must_use]
    pub fn at(when: Timestamp) -> Self {
        Plan { requeue_at: Some(when), ..Plan::default() }
    }

    /// Adds a step. An empty one is left out.
    pub fn step(&mut self, actions: Vec<Action>) {
        self.push(Step { actions, ..Step::default() });
    }

    /// Adds a step that runs even after a failure.
    pub fn always(&mut self, actions: Vec<Action>) {
        self.push(Step { actions, always: true, ..Step::default() });
    }

    /// Adds a step that starts slowly.
    pub fn slow_start(&mut self, actions: Vec<Action>) {
        self.push(Step { actions, slow_start: true, ..Step::default() });
    }

    fn push(&mut self, s: Step) {
        if !s.actions.is_empty() {
            self.steps.push(s);
        }
    }

    /// The earlier of the planned time and `when`.
    pub fn requeue_by(&mut self, when: Timestamp) {
        self.requeue_at = Some(self.requeue_at.map_or(when, |t| t.min(when)));
    }

    /// All actions in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.steps.iter().flat_map(|s| &s.actions)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.events.is_empty() && self.requeue_at.is_none() && !self.retry
    }
}

/// What an operation answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The object (or a Status), or what a port said, as JSON.
    Object(Bytes),
    List {
        revision: u64,
        items: Vec<Bytes>,
        /// Whether the limit cut it short.
        more: bool,
    },
    Revision(u64),
}

/// An action that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub op: Op,
    pub status: Status,
}

/// What came back from the key's last plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub reads: Vec<(Op, Result<Answer, Status>)>,
    pub failures: Vec<Failure>,
}

impl Answers {
    /// The answer to a live `Get` of that object: `None` when it was not asked.
    #[must_use]
    pub fn got(&self, resource: &Gvr, ns: &str, object: &str) -> Option<&Result<Answer, Status>> {
        self.got_sub(resource, ns, object, "")
    }

    /// The answer to a live `Get` of that subresource of that object.
    #[must_use]
    pub fn got_sub(
        &self,
        resource: &Gvr,
        ns: &str,
        object: &str,
        part: &str,
    ) -> Option<&Result<Answer, Status>> {
        self.reads.iter().find_map(|(op, answer)| match op {
            Op::Get { gvr, namespace, name, sub }
                if gvr == resource && namespace == ns && name == object && *sub == part =>
            {
                Some(answer)
            }
            _ => None,
        })
    }

    /// The answer of a port to this question.
    #[must_use]
    pub fn asked(&self, of: &str, what: &serde_json::Value) -> Option<&Result<Answer, Status>> {
        let what = what.to_string();
        self.reads.iter().find_map(|(op, answer)| match op {
            Op::Ask { port, question } if *port == of && *question == what.as_bytes() => Some(answer),
            _ => None,
        })
    }

    /// The answer to a question with this body.
    #[must_use]
    pub fn reviewed(&self, resource: &Gvr, question: &serde_json::Value) -> Option<&Result<Answer, Status>> {
        let question = question.to_string();
        self.reads.iter().find_map(|(op, answer)| match op {
            Op::Review { gvr, body } if gvr == resource && *body == question.as_bytes() => Some(answer),
            _ => None,
        })
    }

    /// The answer to a live `List` of everything.
    #[must_use]
    pub fn listed(&self, resource: &Gvr, ns: &str) -> Option<&Result<Answer, Status>> {
        self.selected(resource, ns, "")
    }

    /// The answer to a live `List` with that selector.
    #[must_use]
    pub fn selected(&self, resource: &Gvr, ns: &str, labels: &str) -> Option<&Result<Answer, Status>> {
        self.reads.iter().find_map(|(op, answer)| match op {
            Op::List { gvr, namespace, selector, .. }
                if gvr == resource && namespace == ns && selector == labels =>
            {
                Some(answer)
            }
            _ => None,
        })
    }
}

/// Whether a failed write may have happened all the same.
#[must_use]
pub(crate) fn ambiguous(status: &Status) -> bool {
    match status.code {
        0 | 500 | 502 | 504 => true,
        code => code > 504,
    }
}

/// Whether the failure is that the namespace is being deleted: nothing more can be made there.
#[must_use]
pub fn namespace_terminating(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating"))
}
