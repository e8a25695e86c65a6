//! Volumes of a pod: names, exactly one source each, and the sources that nodes of ours mount in detail.
// k8s: pkg/apis/core/validation/validation.go ValidateVolumes, validateVolumeSource

use std::collections::{BTreeMap, BTreeSet};

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::env::{VOLUME_FIELDS, field_ref, resource_field_ref};
use crate::certificates::signer;
use crate::rules::{Errors, each, label_selector, one_of, printed, required};

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";

/// Sources in the order in which upstream looks at them, with the fields that may not be empty where that is all
/// there is to check.
const SOURCES: &[(&str, &[&str])] = &[
    ("emptyDir", &[]),
    ("hostPath", &[]),
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("secret", &["secretName"]),
    ("nfs", &[]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", &["endpoints", "path"]),
    ("flocker", &[]),
    ("persistentVolumeClaim", &["claimName"]),
    ("rbd", &["monitors", "image"]),
    ("cinder", &["volumeID"]),
    ("cephfs", &["monitors"]),
    ("quobyte", &["volume"]),
    ("downwardAPI", &[]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("configMap", &["name"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("storageos", &[]),
    ("projected", &[]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("csi", &[]),
    ("ephemeral", &[]),
    ("image", &[]),
];

/// What a rule may know of the pod besides the volume.
pub struct Owner<'a> {
    /// Empty for templates and for pods whose name is yet to be made.
    pub pod_name: &'a str,
    pub is_pod: bool,
}

/// All volumes; gives those without fault by name.
pub fn validate<'a>(
    errors: &mut Errors,
    volumes: &'a [Value],
    owner: &Owner<'_>,
    path: &Path,
) -> BTreeMap<&'a str, &'a Value> {
    let mut valid = BTreeMap::new();
    let claim_of = |v: &Value| format!("{}-{}", owner.pod_name, v.str_at(&["name"]));
    let made = |claim: &str| {
        !owner.pod_name.is_empty()
            && volumes.iter().any(|v| v.get("ephemeral").is_some() && claim_of(v) == claim)
    };
    for (i, v) in volumes.iter().enumerate() {
        let at = path.index(i);
        let before = errors.len();
        source(errors, v, owner, &at);
        let n = v.str_at(&["name"]);
        if required(errors, v, "name", &at).is_some() {
            each(errors, &at.child("name"), n, name::dns1123_label(n));
        }
        if valid.contains_key(n) {
            errors.push(FieldError::duplicate(&at.child("name"), quoted(n)));
        }
        if errors.len() == before {
            valid.insert(n, v);
        }
        let claim = v.str_at(&["persistentVolumeClaim", "claimName"]);
        if v.get("persistentVolumeClaim").is_some() && made(claim) {
            let at = at.child("persistentVolumeClaim").child("claimName");
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(FieldError::invalid(&at, quoted(claim), why));
        }
    }
    valid
}

fn source(errors: &mut Errors, v: &Value, owner: &Owner<'_>, path: &Path) {
    let mut present = 0;
    for (kind, needed) in SOURCES {
        let Some(s) = v.get(kind).filter(|s| !s.is_null()) else { continue };
        present += 1;
        let at = path.child(kind);
        if present > 1 {
            errors.push(FieldError::forbidden(&at, MORE_THAN_ONE));
            continue;
        }
        for field in *needed {
            let empty = |v: &Value| {
                v.as_str().is_some_and(str::is_empty) || v.as_list().is_some_and(<[Value]>::is_empty)
            };
            if s.get(field).is_none_or(empty) {
                errors.push(FieldError::required(&at.child(field), ""));
            }
        }
        match *kind {
            "ephemeral" => ephemeral(errors, s, (v.str_at(&["name"]), owner), path),
            "image" => {
                if owner.is_pod {
                    required(errors, s, "reference", &at);
                }
                one_of(errors, s, "pullPolicy", &at, &["Always", "IfNotPresent", "Never"]);
            }
            kind => details(errors, s, kind, &at),
        }
    }
    if present == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn details(errors: &mut Errors, s: &Value, kind: &str, path: &Path) {
    match kind {
        "emptyDir" if s.get("sizeLimit").and_then(super::quantity).is_some_and(|q| q.sign() < 0) => {
            let why = "SizeLimit field must be a valid resource quantity";
            errors.push(FieldError::forbidden(&path.child("sizeLimit"), why));
        }
        "hostPath" => host_path(errors, s, path),
        "secret" | "configMap" => {
            mode(errors, s, "defaultMode", path);
            items(errors, s, path);
        }
        "downwardAPI" => {
            mode(errors, s, "defaultMode", path);
            for file in s.list_at(&["items"]) {
                downward_file(errors, file, path);
            }
        }
        "projected" => {
            mode(errors, s, "defaultMode", path);
            projected(errors, s, path);
        }
        "nfs" => nfs(errors, s, path),
        "csi" => csi(errors, s, path),
        "gitRepo" => local_path(errors, s.str_at(&["directory"]), &path.child("directory")),
        _ => {}
    }
}

fn ephemeral(errors: &mut Errors, s: &Value, (volume, owner): (&str, &Owner<'_>), path: &Path) {
    let at = path.child("ephemeral").child("volumeClaimTemplate");
    match s.get("volumeClaimTemplate") {
        None => errors.push(FieldError::required(&at, "")),
        Some(t) => {
            let empty = crate::defaults::empty_map();
            let spec = t.get("spec").unwrap_or(&empty);
            crate::core::persistent_volume_claim::validate_spec(errors, spec, &at.child("spec"));
        }
    }
    if owner.pod_name.is_empty() || volume.is_empty() {
        return;
    }
    let claim = format!("{}-{volume}", owner.pod_name);
    for why in name::dns1123_subdomain(&claim) {
        let why = format!("PVC name {}: {why}", quoted(&claim));
        errors.push(FieldError::invalid(&path.child("name"), quoted(volume), why));
    }
}

/// A host path, in volumes and persistent volumes.
pub fn host_path(errors: &mut Errors, s: &Value, path: &Path) {
    let Some(p) = required(errors, s, "path", path) else { return };
    no_way_up(errors, p, &path.child("path"));
    let kind = s.str_at(&["type"]);
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, HOST_PATH_TYPES));
    }
}

fn nfs(errors: &mut Errors, s: &Value, path: &Path) {
    required(errors, s, "server", path);
    required(errors, s, "path", path);
    let p = s.str_at(&["path"]);
    if !p.starts_with('/') {
        errors.push(FieldError::invalid(&path.child("path"), quoted(p), "must be an absolute path"));
    }
}

// k8s: pkg/apis/core/validation/validation.go ValidateCSIDriverName
fn csi(errors: &mut Errors, s: &Value, path: &Path) {
    let at = path.child("driver");
    if let Some(driver) = required(errors, s, "driver", path) {
        if driver.len() > name::DNS_LABEL_MAX_BYTES {
            errors.push(FieldError::too_long(&at, name::DNS_LABEL_MAX_BYTES));
        }
        each(errors, &at, driver, name::dns1123_subdomain(&driver.to_lowercase()));
    }
    if let Some(secret) = s.get("nodePublishSecretRef") {
        required(errors, secret, "name", &path.child("nodePublishSecretRef"));
    }
}

fn mode(errors: &mut Errors, s: &Value, field: &str, path: &Path) {
    if let Some(n) = s.int_at(&[field]).filter(|n| !(0..=0o777).contains(n)) {
        errors.push(FieldError::invalid(&path.child(field), n.to_string(), MODE));
    }
}

fn items(errors: &mut Errors, s: &Value, path: &Path) {
    for (i, item) in s.list_at(&["items"]).iter().enumerate() {
        let at = path.child("items").index(i);
        required(errors, item, "key", &at);
        if let Some(p) = required(errors, item, "path", &at) {
            local_non_reserved_path(errors, p, &at.child("path"));
        }
        mode(errors, item, "mode", &at);
    }
}

/// One file of the downward API. As upstream, the complaint is about the list's owner, not the item.
fn downward_file(errors: &mut Errors, item: &Value, path: &Path) {
    if let Some(p) = required(errors, item, "path", path) {
        local_non_reserved_path(errors, p, &path.child("path"));
    }
    match (item.get("fieldRef"), item.get("resourceFieldRef")) {
        (Some(f), other) => {
            field_ref(errors, f, VOLUME_FIELDS, &path.child("fieldRef"));
            if other.is_some() {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "\"resource\"", why));
            }
        }
        (None, Some(r)) => resource_field_ref(errors, r, true, &path.child("resourceFieldRef")),
        (None, None) => {
            errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
        }
    }
    mode(errors, item, "mode", path);
}

fn projected(errors: &mut Errors, s: &Value, path: &Path) {
    let mut paths = BTreeSet::new();
    let mut once = |errors: &mut Errors, p: &str, shown: &str| {
        if !p.is_empty() && !paths.insert(p.to_owned()) {
            errors.push(FieldError::invalid(path, quoted(shown), "conflicting duplicate paths"));
        }
    };
    for (i, src) in s.list_at(&["sources"]).iter().enumerate() {
        let at = path.child("sources").index(i);
        let mut present = 0;
        for kind in [
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
            "podCertificate",
        ] {
            let Some(v) = src.get(kind).filter(|v| !v.is_null()) else { continue };
            present += 1;
            let kind_at = at.child(kind);
            let files = v.list_at(&["items"]);
            match kind {
                "secret" | "configMap" => {
                    required(errors, v, "name", &kind_at);
                    items(errors, v, &kind_at);
                    for f in files {
                        once(errors, f.str_at(&["path"]), v.str_at(&["name"]));
                    }
                }
                "downwardAPI" => {
                    for f in files {
                        downward_file(errors, f, &kind_at);
                        once(errors, f.str_at(&["path"]), f.str_at(&["path"]));
                    }
                }
                "serviceAccountToken" => token(errors, v, path, &kind_at),
                "clusterTrustBundle" => {
                    trust_bundle(errors, v, &at.child("clusterTrustBundlePEM"));
                    once(errors, v.str_at(&["path"]), v.str_at(&["path"]));
                }
                _ => {
                    pod_certificate(errors, v, &kind_at);
                    for p in CERTIFICATE_PATHS {
                        once(errors, v.str_at(&[p]), v.str_at(&[p]));
                    }
                }
            }
        }
        if present > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type per source"));
        }
    }
}

fn token(errors: &mut Errors, v: &Value, volume: &Path, path: &Path) {
    let n = v.int_at(&["expirationSeconds"]).unwrap_or(0);
    let why = if n < 600 {
        "may not specify a duration less than 10 minutes"
    } else if n > 1 << 32 {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        ""
    };
    if !why.is_empty() {
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), n.to_string(), why));
    }
    // As upstream, the path's complaints are about the volume.
    if let Some(p) = required(errors, v, "path", volume) {
        local_non_reserved_path(errors, p, &volume.child("path"));
    }
}

fn trust_bundle(errors: &mut Errors, v: &Value, path: &Path) {
    match (v.get("name"), v.get("signerName")) {
        (Some(_), Some(_)) => {
            let why = "only one of name and signerName may be used";
            errors.push(FieldError::invalid(path, printed(Some(v)), why));
        }
        (Some(n), None) => {
            let (n, at) = (n.as_str().unwrap_or_default(), path.child("name"));
            if n.is_empty() {
                errors.push(FieldError::required(&at, "must be a valid object name"));
            }
            for why in signer::bundle_name(&signer::signer_of_bundle(n), n, false) {
                let why = format!("not a valid clustertrustbundlename: {why}");
                errors.push(FieldError::invalid(&at, quoted(n), why));
            }
            if let Some(selector) = v.get("labelSelector") {
                let why = "labelSelector must be unset if name is specified";
                errors.push(FieldError::invalid(&path.child("labelSelector"), printed(Some(selector)), why));
            }
        }
        (None, Some(named)) => {
            let signer_text = named.as_str().unwrap_or_default();
            if signer_text.is_empty() {
                errors.push(FieldError::required(&path.child("signerName"), "must be a valid signer name"));
            }
            signer::signer_name(errors, signer_text, &path.child("signerName"));
            label_selector(errors, v.get("labelSelector"), &path.child("labelSelector"));
        }
        (None, None) => {
            errors.push(FieldError::required(path, "either name or signerName must be specified"));
        }
    }
    if let Some(p) = required(errors, v, "path", path) {
        local_non_reserved_path(errors, p, &path.child("path"));
    }
}

/// The files that a certificate's key and chain go to.
const CERTIFICATE_PATHS: [&str; 3] = ["credentialBundlePath", "keyPath", "certificateChainPath"];
const KEY_TYPES: &[&str] = &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];

// k8s: pkg/apis/core/validation/validation.go validateProjectionSources
fn pod_certificate(errors: &mut Errors, v: &Value, path: &Path) {
    let signer_text = v.str_at(&["signerName"]);
    signer::signer_name(errors, signer_text, &path.child("signerName"));
    let key_type = v.str_at(&["keyType"]);
    if !KEY_TYPES.contains(&key_type) {
        errors.push(FieldError::not_supported(&path.child("keyType"), key_type, KEY_TYPES));
    }
    if let Some(n) = v.int_at(&["maxExpirationSeconds"]) {
        let (least, most) = (signer::LIFE_MIN_SECONDS, signer::life_max_seconds(signer_text));
        let bound = match n {
            n if n < least => format!(">= {least}"),
            n if n > most => format!("<= {most}"),
            _ => String::new(),
        };
        if !bound.is_empty() {
            let why = format!("if provided, maxExpirationSeconds must be {bound}");
            errors.push(FieldError::invalid(&path.child("maxExpirationSeconds"), n.to_string(), why));
        }
    }
    let paths = CERTIFICATE_PATHS.map(|p| (p, v.str_at(&[p])));
    if paths.iter().all(|(_, p)| p.is_empty()) {
        let why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        errors.push(FieldError::required(path, why));
    }
    for (field, p) in paths {
        local_non_reserved_path(errors, p, &path.child(field));
    }
    signer::user_annotations(errors, v.get("userAnnotations"), &path.child("userAnnotations"));
}

fn no_way_up(errors: &mut Errors, p: &str, path: &Path) {
    if p.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, quoted(p), "must not contain '..'"));
    }
}

/// A path below a directory: relative and without a way up.
// k8s: pkg/apis/core/validation/validation.go validateLocalDescendingPath
pub fn local_path(errors: &mut Errors, p: &str, path: &Path) {
    if p.starts_with('/') {
        errors.push(FieldError::invalid(path, quoted(p), "must be a relative path"));
    }
    no_way_up(errors, p, path);
}

fn local_non_reserved_path(errors: &mut Errors, p: &str, path: &Path) {
    local_path(errors, p, path);
    if p.starts_with("..") && !p.starts_with("../") {
        errors.push(FieldError::invalid(path, quoted(p), "must not start with '..'"));
    }
}

/// `volumeMounts` and `volumeDevices` of a container.
// k8s: pkg/apis/core/validation/validation.go ValidateVolumeMounts
pub fn mounts(errors: &mut Errors, container: &Value, volumes: &BTreeMap<&str, &Value>, path: &Path) {
    let devices = container.list_at(&["volumeDevices"]);
    let list = path.child("volumeMounts");
    let mut seen = BTreeSet::new();
    for (i, m) in container.list_at(&["volumeMounts"]).iter().enumerate() {
        let at = list.index(i);
        let (n, p) = (m.str_at(&["name"]), m.str_at(&["mountPath"]));
        required(errors, m, "name", &at);
        if !volumes.contains_key(n) {
            errors.push(FieldError::not_found(&at.child("name"), quoted(n)));
        }
        required(errors, m, "mountPath", &at);
        if !seen.insert(p) {
            errors.push(FieldError::invalid(&at.child("mountPath"), quoted(p), "must be unique"));
        }
        if devices.iter().any(|d| d.str_at(&["name"]) == n) {
            let why = "must not already exist in volumeDevices";
            errors.push(FieldError::invalid(&at.child("name"), quoted(n), why));
        }
        if devices.iter().any(|d| d.str_at(&["devicePath"]) == p) {
            let why = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(&at.child("mountPath"), quoted(p), why));
        }
        mount_options(errors, m, container, (&at, &list));
    }
    block_devices(errors, container, volumes, &path.child("volumeDevices"));
}

/// What else a mount may say. As upstream, most complaints are about the list, not the mount.
fn mount_options(errors: &mut Errors, m: &Value, container: &Value, (at, list): (&Path, &Path)) {
    let sub_path = m.str_at(&["subPath"]);
    local_path(errors, sub_path, &list.child("subPath"));
    let expression = m.str_at(&["subPathExpr"]);
    if !expression.is_empty() {
        if !sub_path.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&at.child("subPathExpr"), quoted(expression), why));
        }
        local_path(errors, expression, &list.child("subPathExpr"));
    }
    propagation(errors, m, container, &list.child("mountPropagation"));
    let Some(recursive) = m.get("recursiveReadOnly").and_then(Value::as_str) else { return };
    let at = list.child("recursiveReadOnly");
    match recursive {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if m.bool_at(&["readOnly"]) != Some(true) {
                errors.push(FieldError::forbidden(&at, "may only be specified when readOnly is true"));
            }
            if !matches!(m.str_at(&["mountPropagation"]), "" | "None") {
                let why = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(&at, why));
            }
        }
        other => {
            let supported = ["Disabled", "Enabled", "IfPossible"];
            errors.push(FieldError::not_supported(&at, other, &supported));
        }
    }
}

// k8s: pkg/apis/core/validation/validation.go ValidateVolumeDevices
fn block_devices(errors: &mut Errors, container: &Value, volumes: &BTreeMap<&str, &Value>, path: &Path) {
    let mounts = container.list_at(&["volumeMounts"]);
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, d) in container.list_at(&["volumeDevices"]).iter().enumerate() {
        let at = path.index(i);
        let (n, p) = (d.str_at(&["name"]), d.str_at(&["devicePath"]));
        let mut bad = |field: &str, value: &str, why: &str| {
            errors.push(FieldError::invalid(&at.child(field), quoted(value), why));
        };
        if !n.is_empty() && !names.insert(n) {
            bad("name", n, "must be unique");
        }
        match volumes.get(n) {
            Some(v) if v.get("persistentVolumeClaim").is_none() && v.get("ephemeral").is_none() => {
                let why =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                bad("name", n, why);
            }
            _ => {}
        }
        if paths.contains(p) {
            bad("devicePath", p, "must be unique");
        }
        if p.split('/').any(|part| part == "..") {
            bad("devicePath", p, "can not contain backsteps ('..')");
        } else {
            paths.insert(p);
        }
        if mounts.iter().any(|m| m.str_at(&["name"]) == n) {
            bad("name", n, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|m| m.str_at(&["mountPath"]) == p) {
            bad("devicePath", p, "must not already exist as a path in volumeMounts");
        }
        required(errors, d, "name", &at);
        if !volumes.contains_key(n) {
            errors.push(FieldError::not_found(&at.child("name"), quoted(n)));
        }
        required(errors, d, "devicePath", &at);
    }
}

fn propagation(errors: &mut Errors, mount: &Value, container: &Value, path: &Path) {
    let Some(p) = mount.get("mountPropagation").and_then(Value::as_str) else { return };
    let supported = ["Bidirectional", "HostToContainer", "None"];
    if !supported.contains(&p) {
        errors.push(FieldError::not_supported(path, p, &supported));
    }
    if p == "Bidirectional" && container.bool_at(&["securityContext", "privileged"]) != Some(true) {
        let why = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(path, why));
    }
}
