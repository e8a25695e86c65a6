//! What a cluster has from its first start: system namespaces, default roles and bindings, priority classes, the
//! objects of [`defaults`] and the `kubernetes` service. Everything is written through the server's own handler as `system:masters`.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use meta::{Credentials, Gvr, Handler, Request, Response, Status, Target, User, Verb};
use serde_json::{Value as Json, json};
use watchcache::RevisionMatch;

use super::Server;
use super::defaults::{api_services, flow_control, service_cidr};
use crate::authorize::coverage::uncovered;
use crate::authorize::policy::{self, AUTOUPDATE, DefaultRole};
use crate::authorize::rbac::Rule;
use crate::request::{JSON, MASTERS};
use crate::storage::object;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Objects written at the same time, so that they share commits.
pub(super) const AT_ONCE: usize = 64;
const RBAC: &str = "rbac.authorization.k8s.io";

impl Server {
    /// Loads the store and puts in what every cluster has. Requests are answered when it is done.
    ///
    /// # Errors
    /// When the store fails or a default object is refused.
    pub async fn bootstrap(self: &Arc<Self>) -> Result<(), Status> {
        self.load().await?;
        self.settle_definitions().await?;
        let namespaces = NAMESPACES.map(|name| {
            let labels = json!({"kubernetes.io/metadata.name": name});
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}})
        });
        self.ensure_all(
            namespaces.into_iter().map(|o| (Gvr::new("", "v1", "namespaces"), String::new(), o)).collect(),
        )
        .await?;
        let classes = [
            ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
            ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
        ]
        .map(|(name, value, description)| {
            let o = json!({
                "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": name},
                "value": value, "description": description,
            });
            (Gvr::new("scheduling.k8s.io", "v1", "priorityclasses"), String::new(), o)
        });
        // Side by side, so that they share commits.
        futures_util::try_join!(
            self.ensure_all(classes.into_iter().collect()),
            self.roles(),
            self.kubelet_client(),
            self.api_services(),
            self.flow_control(),
            self.service_cidr(),
            self.kubernetes_service(),
        )?;
        self.mend_addresses(self.state.now()).await;
        self.state.set_ready();
        Ok(())
    }

    async fn ensure_all(&self, objects: Vec<(Gvr, String, Json)>) -> Result<(), Status> {
        stream::iter(objects)
            .map(|(gvr, namespace, object)| async move { self.ensure(&gvr, &namespace, &object).await })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await
            .map(drop)
    }

    async fn roles(&self) -> Result<(), Status> {
        let all = policy::roles();
        let mut missing = Vec::new();
        for role in &all {
            let rules = policy::aggregated_rules(role, &all);
            let (roles, bindings) = if role.namespace.is_empty() {
                (Gvr::new(RBAC, "v1", "clusterroles"), Gvr::new(RBAC, "v1", "clusterrolebindings"))
            } else {
                (Gvr::new(RBAC, "v1", "roles"), Gvr::new(RBAC, "v1", "rolebindings"))
            };
            match self.stored(&roles, &role.namespace, &role.name)? {
                None => missing.push((roles, role.namespace.clone(), role.role_object(&rules))),
                Some(old) => self.reconcile_role(&roles, role, &rules, old).await?,
            }
            let Some(binding) = role.binding_object() else { continue };
            match self.stored(&bindings, &role.namespace, role.binding_name())? {
                None => missing.push((bindings, role.namespace.clone(), binding)),
                Some(old) => self.reconcile_binding(&bindings, role, &binding, old).await?,
            }
        }
        self.ensure_all(missing).await
    }

    /// Gives a default role the rules that it lacks.
    // k8s: staging/src/k8s.io/component-helpers/auth/rbac/reconciliation/reconcile_role.go
    async fn reconcile_role(
        &self,
        gvr: &Gvr,
        role: &DefaultRole,
        rules: &[Rule],
        mut old: Json,
    ) -> Result<(), Status> {
        if !is_kept(&old) || role.aggregates.is_some() {
            return Ok(());
        }
        let mut held: Vec<Rule> = serde_json::from_value(old["rules"].clone()).unwrap_or_default();
        let lacking = uncovered(&held, rules);
        if lacking.is_empty() {
            return Ok(());
        }
        held.extend(lacking);
        old["rules"] = json!(held);
        self.own(Verb::Update, gvr, &role.namespace, &role.name, Some(&old)).await.map(drop)
    }

    /// Gives a default binding the subjects that it lacks.
    async fn reconcile_binding(
        &self,
        gvr: &Gvr,
        role: &DefaultRole,
        wanted: &Json,
        mut old: Json,
    ) -> Result<(), Status> {
        let list = |o: &Json| o["subjects"].as_array().cloned().unwrap_or_default();
        let mut subjects = list(&old);
        let lacking: Vec<Json> = list(wanted).into_iter().filter(|s| !subjects.contains(s)).collect();
        if !is_kept(&old) || lacking.is_empty() {
            return Ok(());
        }
        subjects.extend(lacking);
        old["subjects"] = subjects.into();
        self.own(Verb::Update, gvr, &role.namespace, role.binding_name(), Some(&old)).await.map(drop)
    }

    /// One APIService per group and version; those that are no longer served go.
    // k8s: staging/src/k8s.io/kube-aggregator/pkg/controllers/autoregister/autoregister_controller.go checkAPIService
    async fn api_services(&self) -> Result<(), Status> {
        let gvr = Gvr::new("apiregistration.k8s.io", "v1", "apiservices");
        let registry = self.state.registry()?;
        let served = registry.groups().iter().flat_map(|g| g.versions.iter().map(|v| (&*g.name, &*v.name)));
        let wanted = api_services::objects(served);
        let (label, managed) = api_services::MANAGED;
        let resource = registry.find(&gvr)?;
        let snapshot =
            resource.cache.list(RevisionMatch::Any).map_err(|e| Status::internal(e.to_string()))?;
        for entry in snapshot.iter(&resource.prefix, None) {
            let is_wanted = wanted.iter().any(|w| w["metadata"]["name"] == entry.name());
            if entry.facts().label(label) == Some(managed) && !is_wanted {
                self.own(Verb::Delete, &gvr, "", entry.name(), None).await?;
            }
        }
        let mut missing = Vec::new();
        for object in wanted {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            match self.stored(&gvr, "", name)? {
                None => missing.push((gvr.clone(), String::new(), object)),
                Some(old) if old["metadata"]["labels"][label] == managed => {
                    self.keep(&gvr, "", &object, &["spec"]).await?;
                }
                Some(_) => {}
            }
        }
        self.ensure_all(missing).await
    }

    async fn flow_control(&self) -> Result<(), Status> {
        let group = "flowcontrol.apiserver.k8s.io";
        let levels = Gvr::new(group, "v1", "prioritylevelconfigurations");
        let schemas = Gvr::new(group, "v1", "flowschemas");
        let mut missing = Vec::new();
        let all = flow_control::levels().into_iter().map(|o| (&levels, o));
        for (gvr, object) in all.chain(flow_control::schemas().into_iter().map(|o| (&schemas, o))) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            match self.stored(gvr, "", name)? {
                None => missing.push((gvr.clone(), String::new(), object)),
                Some(old) => {
                    if let Some(new) = flow_control::revised(&old, &object) {
                        self.own(Verb::Update, gvr, "", name, Some(&new)).await?;
                    }
                }
            }
        }
        self.ensure_all(missing).await?;
        let now = object::rfc3339(self.state.now());
        let told = flow_control::schemas().into_iter().map(|wanted| {
            let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.tell(&schemas, name, |stored| flow_control::not_dangling(stored, &now))
        });
        stream::iter(told).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
    }

    async fn service_cidr(&self) -> Result<(), Status> {
        let gvr = Gvr::new("networking.k8s.io", "v1", "servicecidrs");
        let cidr = self.services.cidr();
        self.ensure(&gvr, "", &service_cidr::object(cidr)).await?;
        if self.stored(&gvr, "", service_cidr::NAME)?.is_some_and(|old| !service_cidr::is_about(&old, cidr)) {
            tracing::warn!("the default ServiceCIDR is about another range than --service-cluster-ip-range");
        }
        let now = object::rfc3339(self.state.now());
        let name = service_cidr::NAME.to_owned();
        self.tell(&gvr, name, |stored| service_cidr::ready(stored, cidr, &now)).await
    }

    /// Writes the status that `change` makes of a stored object, when it makes one.
    async fn tell(
        &self,
        gvr: &Gvr,
        name: String,
        change: impl Fn(&Json) -> Option<Json>,
    ) -> Result<(), Status> {
        let Some(new) = self.stored(gvr, "", &name)?.as_ref().and_then(change) else { return Ok(()) };
        let target = Target::Resource {
            gvr: gvr.clone(),
            namespace: String::new(),
            name,
            subresource: "status".to_owned(),
            subpath: String::new(),
        };
        self.ask(Verb::Update, target, Some(&new)).await.map(drop)
    }

    /// What the server may do at kubelets, as the user that its client certificate names.
    async fn kubelet_client(&self) -> Result<(), Status> {
        let user = &self.kubelet_client;
        if user.is_empty() {
            return Ok(());
        }
        let binding = json!({
            "kind": "ClusterRoleBinding", "apiVersion": format!("{RBAC}/v1"), "metadata": {"name": user},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "system:kubelet-api-admin"},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        });
        self.keep(&Gvr::new(RBAC, "v1", "clusterrolebindings"), "", &binding, &["subjects"]).await
    }

    /// The `kubernetes` service with its endpoints at the advertised address.
    // k8s: pkg/controlplane/controller/kubernetesservice/controller.go
    async fn kubernetes_service(&self) -> Result<(), Status> {
        let (address, port) = (self.address.ip(), self.address.port());
        let services = Gvr::new("", "v1", "services");
        let service = json!({
            "kind": "Service", "apiVersion": "v1",
            "metadata": {
                "name": "kubernetes",
                "labels": {"provider": "kubernetes", "component": "apiserver"},
            },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": self.services.first().to_string(),
                "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
            },
        });
        match self.ensure(&services, "default", &service).await {
            // Somebody else has the address: no reason to stay away.
            Err(e) if e.is("Invalid") => tracing::warn!("the kubernetes service cannot be made: {e}"),
            other => other?,
        }
        if address.is_loopback() || address.is_unspecified() {
            tracing::warn!(%address, "pods cannot reach the advertised address: the kubernetes service gets no endpoints");
            return Ok(());
        }
        let ip = address.to_string();
        let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
        let endpoints = json!({
            "kind": "Endpoints", "apiVersion": "v1",
            "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": ip}], "ports": ports}],
        });
        self.keep(&Gvr::new("", "v1", "endpoints"), "default", &endpoints, &["subsets"]).await?;
        let slice = json!({
            "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
            "ports": ports,
        });
        let slices = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
        self.keep(&slices, "default", &slice, &["endpoints", "ports"]).await
    }

    /// Creates an object, or brings these fields of it back to what they should be.
    async fn keep(&self, gvr: &Gvr, namespace: &str, object: &Json, fields: &[&str]) -> Result<(), Status> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let Some(mut old) = self.stored(gvr, namespace, name)? else {
            return self.ensure(gvr, namespace, object).await;
        };
        if fields.iter().all(|f| old[*f] == object[*f]) {
            return Ok(());
        }
        for f in fields {
            old[*f] = object[*f].clone();
        }
        self.own(Verb::Update, gvr, namespace, name, Some(&old)).await.map(drop)
    }

    /// The cached object as JSON.
    fn stored(&self, gvr: &Gvr, namespace: &str, name: &str) -> Result<Option<Json>, Status> {
        let resource = self.state.registry()?.find(gvr)?;
        let entry = resource.cache.get(&resource.key(namespace, name));
        Ok(entry.and_then(|e| serde_json::from_slice(e.object_bytes()).ok()))
    }

    /// Creates an object unless it is there.
    pub(super) async fn ensure(&self, gvr: &Gvr, namespace: &str, object: &Json) -> Result<(), Status> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if self.stored(gvr, namespace, name)?.is_some() {
            return Ok(());
        }
        match self.own(Verb::Create, gvr, namespace, "", Some(object)).await {
            Err(e) if e.is("AlreadyExists") => Ok(()),
            other => other.map(drop),
        }
    }

    /// A request of the server to itself.
    pub(super) async fn own(
        &self,
        verb: Verb,
        gvr: &Gvr,
        namespace: &str,
        name: &str,
        object: Option<&Json>,
    ) -> Result<Response, Status> {
        let target = Target::Resource {
            gvr: gvr.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
            subpath: String::new(),
        };
        self.ask(verb, target, object).await
    }

    pub(super) async fn ask(
        &self,
        verb: Verb,
        target: Target,
        object: Option<&Json>,
    ) -> Result<Response, Status> {
        let mut request = Request::new(verb, target);
        request.credentials = Credentials::Internal(User::new("system:apiserver", &[MASTERS]));
        request.accept = JSON.to_owned();
        if let Some(object) = object {
            request.content_type = JSON.to_owned();
            request.body = object.to_string().into();
        }
        let response = self.handle(request).await;
        if response.code < 400 {
            return Ok(response);
        }
        let meta::Body::Full(body) = &response.body else { return Err(Status::internal("no answer")) };
        Err(Status::from_json(body).unwrap_or_else(|| Status::internal("no answer")))
    }
}

/// Whether a default object may be brought back.
fn is_kept(object: &Json) -> bool {
    object["metadata"]["annotations"][AUTOUPDATE] == "true"
}
