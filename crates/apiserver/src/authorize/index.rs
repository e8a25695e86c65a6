//! What the authorizers know, kept from the store's events: roles, bindings, and what has to do with which node.
//! Events are only queued by the store's writer; whoever asks next takes them over. It must never read the store
//! while a request waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use meta::Decision;
use parking_lot::{Mutex, RwLock};
use store::{Event, EventKind, EventSink, Events, ListOptions, Store};

use super::node::{NodeAuthorizer, Source, node_name};
use super::policy;
use super::rbac::{Index, RbacKind};
use crate::request::{Attributes, Authorizer, Reply};

const RBAC_PREFIX: &str = "/registry/rbac.authorization.k8s.io/";
/// So many changes are left to whoever asks next.
const LIMIT_QUEUED: usize = 512;

/// The authorizers' state.
pub struct AuthIndex {
    dirty: AtomicBool,
    queue: Mutex<Vec<Change>>,
    state: RwLock<State>,
}

struct State {
    rbac: Index,
    nodes: NodeAuthorizer,
}

struct Change {
    key: store::Key,
    value: Option<bytes::Bytes>,
}

impl Default for AuthIndex {
    fn default() -> Self {
        let node_rules = policy::roles()
            .into_iter()
            .find(|r| r.name == "system:node")
            .map(|r| r.rules)
            .unwrap_or_default();
        AuthIndex {
            dirty: AtomicBool::new(false),
            queue: Mutex::new(Vec::new()),
            state: RwLock::new(State { rbac: Index::default(), nodes: NodeAuthorizer::new(node_rules) }),
        }
    }
}

impl EventSink for AuthIndex {
    fn apply(&self, events: &Events) {
        let mut wanted = events.iter().filter(|e| is_wanted(e)).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let mut queue = self.queue.lock();
        queue.extend(wanted.map(|e| Change {
            key: e.key.clone(),
            value: (e.kind == EventKind::Put).then(|| e.value.clone()),
        }));
        self.dirty.store(true, Ordering::Release);
    }

    /// Where only those ask whom no authorizer needs to look at, the queue must not grow for ever.
    fn flush(&self) {
        if self.queue.lock().len() >= LIMIT_QUEUED {
            self.refresh();
        }
    }
}

fn prefixes() -> impl Iterator<Item = &'static str> {
    Source::ALL.into_iter().map(|(prefix, _)| prefix).chain([RBAC_PREFIX])
}

fn is_wanted(e: &Event) -> bool {
    prefixes().any(|prefix| e.key.starts_with(prefix))
}

impl AuthIndex {
    /// Reads what is there. To be called after subscribing and before serving.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fill(&self, store: &dyn Store) -> Result<(), store::Error> {
        for prefix in prefixes() {
            let mut after: Option<store::Key> = None;
            loop {
                let options = ListOptions { revision: None, start_after: after.as_deref(), limit: 500 };
                let page = store.list(prefix, options).await?;
                let mut state = self.state.write();
                for e in &page.entries {
                    state.take(&e.key, Some(&e.value));
                }
                after = page.entries.last().map(|e| e.key.clone());
                if !page.more {
                    break;
                }
            }
        }
        Ok(())
    }

    fn refresh(&self) {
        if !self.dirty.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.write();
        self.dirty.store(false, Ordering::Release);
        let queue = std::mem::take(&mut *self.queue.lock());
        for change in queue {
            state.take(&change.key, change.value.as_deref());
        }
    }

    /// Reads the RBAC index.
    pub fn rbac<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        self.refresh();
        read(&self.state.read().rbac)
    }
}

/// What kubelets may do, by what their pods refer to.
pub struct Node(pub Arc<AuthIndex>);

impl Authorizer for Node {
    fn authorize<'a>(&'a self, a: &'a Attributes) -> Reply<'a, Decision> {
        // Most who ask are no nodes, and the index need not be looked at.
        if node_name(&a.user).is_none() {
            return Reply::now(Decision::NoOpinion(String::new()));
        }
        self.0.refresh();
        Reply::now(self.0.state.read().nodes.authorize(a))
    }
}

/// What roles and bindings allow.
pub struct Rbac(pub Arc<AuthIndex>);

impl Authorizer for Rbac {
    fn authorize<'a>(&'a self, a: &'a Attributes) -> Reply<'a, Decision> {
        Reply::now(self.0.rbac(|index| index.authorize(a)))
    }
}

impl State {
    fn take(&mut self, key: &str, value: Option<&[u8]>) {
        let of_node =
            Source::ALL.into_iter().find_map(|(prefix, s)| key.strip_prefix(prefix).map(|rest| (s, rest)));
        if let Some((source, rest)) = of_node {
            let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
            self.nodes.graph.apply(source, namespace, name, value);
            return;
        }
        let Some((plural, rest)) = key.strip_prefix(RBAC_PREFIX).and_then(|r| r.split_once('/')) else {
            return;
        };
        let Some(kind) = RbacKind::from_plural(plural) else { return };
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        self.rbac.apply(kind, namespace, name, value);
    }
}
