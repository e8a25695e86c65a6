//! Admission: what is put into or refused of a write besides what the kind's strategy says. Each plugin is a
//! file with pure checks over the object and facts looked up in the cache.
//! Of what upstream has on by default, these are not there yet: LimitRanger, ResourceQuota, PodSecurity, webhooks and
//! policies, DefaultStorageClass, StorageObjectInUseProtection, PersistentVolumeClaimResize, DefaultIngressClass,
//! PodTopologyLabels, PodResizeValidator.

pub(crate) mod addresses;
mod allocator;
mod certificates;
mod escalation;
mod mountable;
mod namespace;
mod node;
mod priority;
mod runtime_class;
mod service;
mod service_account;
mod tolerations;
mod unenforced;

use std::sync::Arc;

use kinds::Operation;
use meta::{BoxFuture, Status};
use schema::Value;
use store::{Guard, Hold, Txn};

use crate::authorize::AuthIndex;
use crate::storage::{Call, Rules, Stages};

pub(crate) use allocator::{Allocator, Astray};
pub(crate) use node::{evict, token};

/// All plugins, with what they know besides the cache.
pub(crate) struct Plugins {
    pub services: Arc<Allocator>,
    pub auth: Arc<AuthIndex>,
}

impl Stages for Plugins {
    fn create<'a>(
        &'a self,
        call: &'a Call<'_>,
        object: &'a mut Value,
        warnings: &'a mut Vec<String>,
    ) -> BoxFuture<'a, Result<Hold, Status>> {
        Box::pin(self.on_create(call, object, warnings))
    }

    fn update<'a>(
        &'a self,
        call: &'a Call<'_>,
        new: &'a mut Value,
        old: &'a Value,
        rules: &'a Rules,
        warnings: &'a mut Vec<String>,
    ) -> BoxFuture<'a, Result<Hold, Status>> {
        Box::pin(self.on_update(call, new, old, rules, warnings))
    }

    fn guard(&self, call: &Call<'_>) -> Result<Option<Guard>, Status> {
        namespace::guard(call)
    }

    fn companions(&self, call: &Call<'_>, new: Option<&Value>, old: Option<&Value>) -> Result<Txn, Status> {
        addresses::companions(call, new, old)
    }

    fn recheck(&self, call: &Call<'_>, object: &Value) -> Result<(), Status> {
        namespace::create(call, object)
    }

    fn delete(&self, call: &Call<'_>, old: &Value) -> Result<(), Status> {
        namespace::delete(call, old)?;
        node::delete(call, old)
    }
}

impl Plugins {
    async fn on_create(
        &self,
        call: &Call<'_>,
        object: &mut Value,
        warnings: &mut Vec<String>,
    ) -> Result<Hold, Status> {
        namespace::create(call, object)?;
        node::create(call, object).await?;
        let mut hold: Hold = Box::new(());
        match (&*call.resource.gvr.group, &*call.resource.gvr.resource) {
            ("", "pods") => {
                service_account::create(call, object)?;
                priority::create(call, object)?;
                tolerations::default(object);
                runtime_class::create(call, object)?;
            }
            ("", "nodes") => tolerations::taint_new_node(object),
            ("", "services") => hold = Box::new(service::create(call, &self.services, object)?),
            ("networking.k8s.io", "ipaddresses") => {
                hold = Box::new(service::address_object(call, &self.services, object)?);
            }
            ("rbac.authorization.k8s.io", _) => escalation::check(call, &self.auth, object, None).await?,
            ("certificates.k8s.io", "certificatesigningrequests") => certificates::create(call, object)?,
            ("certificates.k8s.io", "clustertrustbundles") => {
                certificates::attest(call, object, None).await?;
            }
            _ => {}
        }
        warnings.extend(unenforced::warning(&call.resource.gvr, object, None));
        Ok(hold)
    }

    async fn on_update(
        &self,
        call: &Call<'_>,
        new: &mut Value,
        old: &Value,
        rules: &Rules,
        warnings: &mut Vec<String>,
    ) -> Result<Hold, Status> {
        node::update(call, new, old, rules.operation)?;
        let of = (&*call.resource.gvr.group, &*call.resource.gvr.resource);
        match of {
            ("certificates.k8s.io", "certificatesigningrequests") => {
                certificates::update(call, new, old, rules.operation).await?;
            }
            ("certificates.k8s.io", "podcertificaterequests") => {
                certificates::pod(call, new, old, rules.operation).await?;
            }
            ("", "pods") if rules.operation == Operation::UpdateSubresource("ephemeralcontainers") => {
                service_account::ephemeral(call, new)?;
            }
            _ => {}
        }
        let mut hold: Hold = Box::new(());
        if rules.operation != Operation::Update {
            return Ok(hold);
        }
        match of {
            ("", "pods") => {
                priority::update(new, old);
                tolerations::default(new);
            }
            ("", "services") => hold = Box::new(service::update(call, &self.services, new, old)?),
            ("rbac.authorization.k8s.io", _) => escalation::check(call, &self.auth, new, Some(old)).await?,
            ("certificates.k8s.io", "clustertrustbundles") => {
                certificates::attest(call, new, Some(old)).await?;
            }
            _ => {}
        }
        warnings.extend(unenforced::warning(&call.resource.gvr, new, Some(old)));
        Ok(hold)
    }
}
