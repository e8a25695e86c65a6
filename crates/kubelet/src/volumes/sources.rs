//! What files a configMap, secret, downwardAPI or projected volume has.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret, Volume, VolumeProjection,
};

use super::Volumes;
use super::atomic::{File, Payload};
use crate::error::{Error, Result};
use crate::spec::fields::{self, Facts};
use crate::spec::{PodExt, resources};

/// What a payload is made with.
pub(super) struct Ctx<'a> {
    pub volumes: &'a Volumes,
    pub pod: &'a Pod,
    pub facts: &'a Facts,
    pub max_age: Duration,
    pub now: Timestamp,
}

const DEFAULT_MODE: i32 = 0o644;

fn mode(own: Option<i32>, default: Option<i32>) -> u32 {
    own.or(default).unwrap_or(DEFAULT_MODE).unsigned_abs() & 0o777
}

/// The files of a volume; `None` for volumes that are not made of files.
pub(super) async fn payload(ctx: &Ctx<'_>, v: &Volume) -> Result<Option<Payload>> {
    let mut out = Payload::new();
    if let Some(c) = &v.config_map {
        let name = &c.name;
        let object = ctx.config_map(name, c.optional).await?;
        let files = object.map(config_map_data).unwrap_or_default();
        select(
            &mut out,
            &files,
            c.items.as_deref(),
            c.default_mode,
            c.optional,
            "configmap references non-existent config key",
        )?;
    } else if let Some(s) = &v.secret {
        let name = s.secret_name.as_deref().unwrap_or_default();
        let object = ctx.secret(name, s.optional).await?;
        let files = object.map(secret_data).unwrap_or_default();
        select(
            &mut out,
            &files,
            s.items.as_deref(),
            s.default_mode,
            s.optional,
            "references non-existent secret key",
        )?;
    } else if let Some(d) = &v.downward_api {
        downward(ctx, &mut out, d.items.as_deref().unwrap_or_default(), d.default_mode)?;
    } else if let Some(p) = &v.projected {
        projected(ctx, &mut out, p).await?;
    } else {
        return Ok(None);
    }
    Ok(Some(out))
}

type Data = Vec<(String, Vec<u8>)>;

fn config_map_data(c: ConfigMap) -> Data {
    let text = c.data.into_iter().flatten().map(|(k, v)| (k, v.into_bytes()));
    text.chain(c.binary_data.into_iter().flatten().map(|(k, ByteString(v))| (k, v))).collect()
}

fn secret_data(s: Secret) -> Data {
    s.data.into_iter().flatten().map(|(k, ByteString(v))| (k, v)).collect()
}

fn select(
    out: &mut Payload,
    data: &Data,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    optional: Option<bool>,
    missing: &str,
) -> Result<()> {
    match items.filter(|i| !i.is_empty()) {
        None => {
            for (k, v) in data {
                out.insert(k.clone(), File { data: v.clone(), mode: mode(None, default_mode), uid: None });
            }
        }
        Some(items) => {
            for i in items {
                match data.iter().find(|(k, _)| *k == i.key) {
                    Some((_, v)) => {
                        let file = File { data: v.clone(), mode: mode(i.mode, default_mode), uid: None };
                        out.insert(i.path.clone(), file);
                    }
                    None if optional == Some(true) => {}
                    None => return Err(Error::Volume(format!("{missing}: {}", i.key))),
                }
            }
        }
    }
    Ok(())
}

fn downward(
    ctx: &Ctx<'_>,
    out: &mut Payload,
    items: &[DownwardAPIVolumeFile],
    default_mode: Option<i32>,
) -> Result<()> {
    for i in items {
        let text = if let Some(f) = &i.field_ref {
            fields::field(ctx.pod, &f.field_path, ctx.facts)?
        } else if let Some(r) = &i.resource_field_ref {
            fields::resource(ctx.pod, r.container_name.as_deref().unwrap_or_default(), r, ctx.facts)?
        } else {
            return Err(Error::Volume(format!("downwardAPI item {} has no source", i.path)));
        };
        out.insert(
            i.path.clone(),
            File { data: text.into_bytes(), mode: mode(i.mode, default_mode), uid: None },
        );
    }
    Ok(())
}

async fn projected(ctx: &Ctx<'_>, out: &mut Payload, p: &ProjectedVolumeSource) -> Result<()> {
    let mut problems = Vec::new();
    for source in p.sources.iter().flatten() {
        if let Err(e) = projection(ctx, out, source, p.default_mode).await {
            problems.push(e.to_string());
        }
    }
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::Volume(one.clone())),
        many => Err(Error::Volume(format!("[{}]", many.join(", ")))),
    }
}

async fn projection(
    ctx: &Ctx<'_>,
    out: &mut Payload,
    source: &VolumeProjection,
    default_mode: Option<i32>,
) -> Result<()> {
    if let Some(c) = &source.config_map {
        let files = ctx.config_map(&c.name, c.optional).await?.map(config_map_data).unwrap_or_default();
        return select(
            out,
            &files,
            c.items.as_deref(),
            default_mode,
            c.optional,
            "configmap references non-existent config key",
        );
    }
    if let Some(s) = &source.secret {
        let files = ctx.secret(&s.name, s.optional).await?.map(secret_data).unwrap_or_default();
        return select(
            out,
            &files,
            s.items.as_deref(),
            default_mode,
            s.optional,
            "references non-existent secret key",
        );
    }
    if let Some(d) = &source.downward_api {
        return downward(ctx, out, d.items.as_deref().unwrap_or_default(), default_mode);
    }
    if let Some(t) = &source.service_account_token {
        let token = ctx.volumes.tokens.get(ctx.pod, t, ctx.now).await?;
        let uid = one_user(ctx.pod);
        let shared = ctx.pod.sp().security_context.as_ref().is_some_and(|s| s.fs_group.is_some());
        let mode = if uid.is_some() || shared { 0o600 } else { mode(None, default_mode) };
        out.insert(t.path.clone(), File { data: token.into_bytes(), mode, uid });
        return Ok(());
    }
    let kind = if source.cluster_trust_bundle.is_some() { "clusterTrustBundle" } else { "this" };
    Err(Error::Volume(format!("{kind} projection is not supported by this kubelet")))
}

/// The user all containers run as, when they share one: tokens are then its own.
// k8s: pkg/volume/util/util.go FsUserFrom
fn one_user(pod: &Pod) -> Option<u32> {
    let all = pod.sp().security_context.as_ref().and_then(|s| s.run_as_user);
    let mut users = resources::all_containers(pod.sp())
        .map(|c| c.security_context.as_ref().and_then(|s| s.run_as_user).or(all));
    let first = users.next()??;
    if users.all(|u| u == Some(first)) { u32::try_from(first).ok() } else { None }
}

impl Ctx<'_> {
    async fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Option<ConfigMap>> {
        let age = if name == "kube-root-ca.crt" { Duration::from_secs(60) } else { self.max_age };
        let mut found = self.volumes.objects.config_map(self.pod.ns(), name, age).await?;
        if found.is_none() && age > self.max_age {
            found = self.volumes.objects.config_map(self.pod.ns(), name, Duration::ZERO).await?;
        }
        if found.is_none() && optional != Some(true) {
            return Err(Error::Volume(format!("configmap \"{name}\" not found")));
        }
        Ok(found)
    }

    async fn secret(&self, name: &str, optional: Option<bool>) -> Result<Option<Secret>> {
        let found = self.volumes.objects.secret(self.pod.ns(), name, self.max_age).await?;
        if found.is_none() && optional != Some(true) {
            return Err(Error::Volume(format!("secret \"{name}\" not found")));
        }
        Ok(found)
    }
}
