//! What files a configMap, secret, downwardAPI or projected volume has.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret, Volume, VolumeProjection,
};

use super::atomic::{File, Payload};
use super::certificates::Place;
use super::{Volumes, trust};
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
        projected(ctx, &mut out, &v.name, p).await?;
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

async fn projected(ctx: &Ctx<'_>, out: &mut Payload, volume: &str, p: &ProjectedVolumeSource) -> Result<()> {
    let mut problems = Vec::new();
    for (index, source) in p.sources.iter().flatten().enumerate() {
        let done = match &source.pod_certificate {
            Some(source) => certificate(ctx, out, &Place { volume, index, source }, p.default_mode).await,
            None => projection(ctx, out, source, p.default_mode).await,
        };
        if let Err(e) = done {
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
        out.insert(t.path.clone(), private(ctx.pod, token.into_bytes(), default_mode));
        return Ok(());
    }
    if let Some(b) = &source.cluster_trust_bundle {
        let volumes = ctx.volumes;
        let anchors = trust::anchors(&volumes.objects, b, ctx.max_age, volumes.seed).await?;
        out.insert(b.path.clone(), private(ctx.pod, anchors, default_mode));
        return Ok(());
    }
    Err(Error::Volume("this projection is not supported by this kubelet".to_owned()))
}

/// The files of a pod's certificate: the key, the chain, or both in one.
// k8s: pkg/volume/projected/projected.go collectData
async fn certificate(
    ctx: &Ctx<'_>,
    out: &mut Payload,
    place: &Place<'_>,
    default_mode: Option<i32>,
) -> Result<()> {
    let (key, chain) = ctx.volumes.certificates.get(ctx.pod, place, ctx.now).await?;
    let (source, both) = (place.source, format!("{key}{chain}"));
    let files = [
        (&source.credential_bundle_path, both),
        (&source.key_path, key),
        (&source.certificate_chain_path, chain),
    ];
    for (path, text) in files {
        if let Some(path) = path.as_ref().filter(|p| !p.is_empty()) {
            out.insert(path.clone(), private(ctx.pod, text.into_bytes(), default_mode));
        }
    }
    Ok(())
}

/// A file that only the pod's user reads, when its containers share one or the volume is given to a group.
fn private(pod: &Pod, data: Vec<u8>, default_mode: Option<i32>) -> File {
    let uid = one_user(pod);
    let shared = pod.sp().security_context.as_ref().is_some_and(|s| s.fs_group.is_some());
    let mode = if uid.is_some() || shared { 0o600 } else { mode(None, default_mode) };
    File { data, mode, uid }
}

/// The user all containers run as, when they share one: tokens and certificates are then its own.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use control::Context;
    use meta::pem;
    use serde_json::{Value, json};

    use super::super::certificates::Certificates;
    use super::super::fake::Fake;
    use super::super::tokens::Tokens;
    use super::*;
    use crate::config::Config;
    use crate::objects::Objects;
    use crate::run::events::Events;

    fn volumes(fake: &Arc<Fake>) -> Volumes {
        let ctx = Context::new(fake.clone());
        let events = Arc::new(Events::new(&ctx, "n"));
        Volumes {
            config: Arc::new(Config::new("n", "/nowhere")),
            objects: Arc::new(Objects::new(fake.clone(), ctx.clock.clone())),
            tokens: Tokens::new(fake.clone()),
            certificates: Certificates::new(fake.clone(), ctx.entropy.clone(), events, "n"),
            seed: 1,
            clock: ctx.clock,
        }
    }

    /// The files of a projected volume: path, text, mode and owner.
    async fn files(
        volumes: &Volumes,
        spec: &Value,
        projected: &Value,
    ) -> Result<Vec<(String, String, u32, Option<u32>)>> {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"},
            "spec": {"containers": [{"name": "c"}], "serviceAccountName": "robot"}});
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let volume: Volume = serde_json::from_value(json!({"name": "v", "projected": projected})).unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let facts = Facts::default();
        let ctx = Ctx { volumes, pod: &pod, facts: &facts, max_age: Duration::ZERO, now };
        let payload = payload(&ctx, &volume).await?.unwrap();
        let text = |f: File| (String::from_utf8(f.data).unwrap(), f.mode, f.uid);
        Ok(payload
            .into_iter()
            .map(|(p, f)| {
                let (t, mode, uid) = text(f);
                (p, t, mode, uid)
            })
            .collect())
    }

    fn fake() -> Arc<Fake> {
        let bundle =
            json!({"metadata": {"name": "b"}, "spec": {"trustBundle": pem::encode("CERTIFICATE", b"ca")}});
        Arc::new(Fake::of([
            ("clustertrustbundles", bundle),
            ("nodes", json!({"metadata": {"name": "n", "uid": "1"}})),
            ("serviceaccounts", json!({"metadata": {"name": "robot", "uid": "2"}})),
        ]))
    }

    #[tokio::test]
    async fn trust_bundles_are_files_of_the_pods_user() {
        let fake = fake();
        let volumes = volumes(&fake);
        let one = |name: &str| json!({"sources": [{"clusterTrustBundle": {"name": name, "path": "p", "optional": true}}]});
        let text = pem::encode("CERTIFICATE", b"ca");
        let mut private = one("b");
        private["defaultMode"] = 0o440.into();
        let group = json!({"securityContext": {"fsGroup": 5}});
        let user = json!({"securityContext": {"runAsUser": 7}});
        for (spec, projected, text, mode, uid) in [
            (&json!({}), &one("b"), &*text, 0o644, None),
            (&json!({}), &one("none"), "", 0o644, None),
            (&json!({}), &private, &*text, 0o440, None),
            (&group, &private, &*text, 0o600, None),
            (&user, &one("b"), &*text, 0o600, Some(7)),
        ] {
            let got = files(&volumes, spec, projected).await.unwrap();
            assert_eq!(got, [("p".to_owned(), text.to_owned(), mode, uid)], "{spec} {projected}");
        }
    }

    #[tokio::test]
    async fn a_volume_waits_for_all_its_sources() {
        let fake = fake();
        let volumes = volumes(&fake);
        let certificate = json!({"podCertificate": {"signerName": "a.b/c", "keyType": "ECDSAP256",
            "credentialBundlePath": "both", "keyPath": "key", "certificateChainPath": "chain"}});
        let missing =
            json!({"sources": [certificate, {"clusterTrustBundle": {"name": "none", "path": "p"}}]});
        let why = files(&volumes, &json!({}), &missing).await.unwrap_err().to_string();
        assert_eq!(
            why,
            "[credential bundle is not issued yet, while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"none\" not found]"
        );
        let chain = pem::encode("CERTIFICATE", b"leaf");
        fake.objects.lock().last_mut().unwrap().1["status"] = json!({"certificateChain": chain,
            "conditions": [{"type": "Issued", "status": "True"}],
            "beginRefreshAt": "2026-01-01T12:00:00Z", "notAfter": "2026-01-02T00:00:00Z"});
        let got = files(&volumes, &json!({}), &json!({"sources": [certificate]})).await.unwrap();
        let key = got[2].1.clone();
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "{key}");
        let file = |path: &str, text: String| (path.to_owned(), text, 0o644, None);
        assert_eq!(got, [file("both", format!("{key}{chain}")), file("chain", chain), file("key", key)]);
    }
}
