//! Every kind, on objects that are empty or odd: nothing panics, and what upstream's tables are called is kept.

use schema::{Map, Value};

use crate::testing::{row, yaml};
use crate::{Context, Operation, all, by_resource, metadata, scale};

/// Objects that a decoder could let through, worst first.
fn odd_objects() -> Vec<Value> {
    let texts = [
        "{}",
        "{metadata: {}, spec: {}, status: {}}",
        "{metadata: [], spec: [], status: x, data: 3, rules: {}, subjects: [1], webhooks: [null]}",
        "{spec: {template: {}, selector: {}, ports: [{}], containers: [{}], volumes: [{}], metrics: [{}], tls: [{}]}}",
        "{spec: {template: {spec: {containers: [null, 1, {ports: [{}], env: [{}], volumeMounts: [{}]}]}}, jobTemplate: {spec: {template: {}}}}}",
        "{status: {conditions: [{}], containerStatuses: [{}], initContainerStatuses: [{}], hard: {a: 1}}, subsets: [{}], endpoints: [{}]}",
    ];
    texts.iter().map(|t| yaml(t)).chain([Value::Null, Value::Map(Map::new())]).collect()
}

#[test]
fn no_kind_panics_on_odd_objects() {
    let cx = Context { now: "2026-01-01T00:00:00Z".to_owned(), ..Context::default() };
    for kind in all() {
        for object in odd_objects() {
            let mut o = object.clone();
            kind.strategy().default_fields(&mut o);
            kind.strategy().prepare_for_create(&mut o, &cx);
            let _ = metadata::validate_create(kind, &o);
            let _ = kind.strategy().validate(&o);
            for op in [
                Operation::Update,
                Operation::UpdateStatus,
                Operation::UpdateSubresource("resize"),
                Operation::UpdateSubresource("ephemeralcontainers"),
            ] {
                let mut new = object.clone();
                kind.strategy().prepare_for_update(&mut new, &o, op, &cx);
                let _ = kind.strategy().validate_update(&new, &o, op);
                let _ = metadata::validate_update(kind, &new, &o);
            }
            let _ = kind.strategy().grace_period_seconds(&o, None);
            let _ = scale::get(&o);
            assert_eq!(row(kind, &o, "2026-01-01T00:00:00Z").len(), kind.columns().headings().len());
        }
    }
}

#[test]
fn defaulting_twice_changes_nothing() {
    for kind in all() {
        for object in odd_objects() {
            let mut once = object;
            kind.strategy().default_fields(&mut once);
            let mut twice = once.clone();
            kind.strategy().default_fields(&mut twice);
            assert_eq!(once, twice, "{}", kind.kind);
        }
    }
}

#[test]
fn headings() {
    let table: &[(&str, &str, &str)] = &[
        ("", "pods", "Name,Ready,Status,Restarts,Age,IP,Node,Nominated Node,Readiness Gates"),
        ("apps", "deployments", "Name,Ready,Up-to-date,Available,Age,Containers,Images,Selector"),
        ("apps", "replicasets", "Name,Desired,Current,Ready,Age,Containers,Images,Selector"),
        (
            "apps",
            "daemonsets",
            "Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age,Containers,Images,Selector",
        ),
        ("apps", "statefulsets", "Name,Ready,Age,Containers,Images"),
        ("", "services", "Name,Type,Cluster-IP,External-IP,Port(s),Age,Selector"),
        (
            "",
            "nodes",
            "Name,Status,Roles,Age,Version,Internal-IP,External-IP,OS-Image,Kernel-Version,Container-Runtime",
        ),
        ("", "events", "Last Seen,Type,Reason,Object,Subobject,Source,Message,First Seen,Count,Name"),
        ("", "configmaps", "Name,Data,Age"),
        ("", "secrets", "Name,Type,Data,Age"),
        ("batch", "jobs", "Name,Status,Completions,Duration,Age,Containers,Images,Selector"),
        ("rbac.authorization.k8s.io", "roles", "Name,Created At"),
        ("rbac.authorization.k8s.io", "rolebindings", "Name,Role,Age,Users,Groups,ServiceAccounts"),
        ("networking.k8s.io", "ingresses", "Name,Class,Hosts,Address,Ports,Age"),
        (
            "storage.k8s.io",
            "storageclasses",
            "Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age",
        ),
    ];
    for (group, plural, want) in table {
        let kind = by_resource(group, "v1", plural).expect("the table names kinds that are declared");
        let columns = kind.columns();
        let have: Vec<&str> = columns.headings().iter().map(|h| h.name).collect();
        assert_eq!(have.join(","), *want, "{plural}");
    }
}
