//! What a cluster has from its first start: system namespaces, default roles and bindings, priority classes and
//! the `kubernetes` service. Everything is written through the server's own handler as `system:masters`.

use std::sync::Arc;

use meta::{Credentials, Gvr, Handler, Request, Response, Status, Target, User, Verb};
use serde_json::{Value as Json, json};

use crate::authenticate::MASTERS;
use crate::authorize::policy;
use crate::server::Server;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

impl Server {
    /// Loads the store and puts in what every cluster has. Requests are answered when it is done.
    ///
    /// # Errors
    /// When the store fails or a default object is refused.
    pub async fn bootstrap(self: &Arc<Self>) -> Result<(), Status> {
        self.load().await?;
        for name in NAMESPACES {
            let object = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
            self.ensure(&Gvr::new("", "v1", "namespaces"), "", &object).await?;
        }
        self.roles().await?;
        self.set_ready();
        Ok(())
    }

    async fn roles(&self) -> Result<(), Status> {
        let all = policy::roles();
        for role in &all {
            let rules = policy::aggregated_rules(role, &all);
            let local = !role.namespace.is_empty();
            let plural = if local { "roles" } else { "clusterroles" };
            let gvr = Gvr::new("rbac.authorization.k8s.io", "v1", plural);
            self.ensure(&gvr, &role.namespace, &role.role_object(&rules)).await?;
            if let Some(binding) = role.binding_object() {
                let plural = if local { "rolebindings" } else { "clusterrolebindings" };
                let gvr = Gvr::new("rbac.authorization.k8s.io", "v1", plural);
                self.ensure(&gvr, &role.namespace, &binding).await?;
            }
        }
        Ok(())
    }

    /// Creates an object unless it is there.
    async fn ensure(&self, gvr: &Gvr, namespace: &str, object: &Json) -> Result<(), Status> {
        match self.own(Verb::Create, gvr, namespace, "", Some(object)).await {
            Err(e) if e.is("AlreadyExists") => Ok(()),
            other => other.map(drop),
        }
    }

    /// A request of the server to itself.
    pub(crate) async fn own(
        &self,
        verb: Verb,
        gvr: &Gvr,
        namespace: &str,
        name: &str,
        object: Option<&Json>,
    ) -> Result<Response, Status> {
        let mut request = Request::new(
            verb,
            Target::Resource {
                gvr: gvr.clone(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                subresource: String::new(),
                subpath: String::new(),
            },
        );
        request.credentials = Credentials::Internal(User::new("system:apiserver", &[MASTERS]));
        request.accept = crate::content::JSON.to_owned();
        if let Some(object) = object {
            request.content_type = crate::content::JSON.to_owned();
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
