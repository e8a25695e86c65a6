//! Random clusters under fixed seeds: what the engine decides is what the reference says, step by step, while nodes,
//! pods and namespaces come, change and go.

use std::sync::Arc;

use scheduler::{Decision, Engine, Node, Pod};
use serde_json::{Value, json};

use crate::reference::Cluster;
use crate::{later, now};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const KEYS: [&str; 3] = [HOST, ZONE, "rack"];
const APPS: [&str; 3] = ["a", "b", "c"];
const SPACES: [&str; 3] = ["d", "e", "f"];

fn node(r: &mut Random, name: &str) -> Node {
    let mut labels = json!({HOST: name, ZONE: r.of(&["x", "y", "z"])});
    if r.one_in(2) {
        labels["rack"] = r.of(&["1", "2"]).into();
    }
    if r.one_in(10) {
        labels.as_object_mut().unwrap().remove(ZONE);
    }
    if r.one_in(2) {
        labels["disk"] = r.of(&["ssd", "hdd"]).into();
    }
    let mut taints = Vec::new();
    for key in ["k1", "k2"] {
        if r.one_in(6) {
            let effect = r.of(&["NoSchedule", "PreferNoSchedule", "NoExecute"]);
            taints.push(json!({"key": key, "value": r.of(&["", "v"]), "effect": effect}));
        }
    }
    let images = if r.one_in(2) {
        json!([{"names": [format!("{}:1", r.of(&APPS))], "sizeBytes": (r.below(900) + 1) << 20}])
    } else {
        json!([])
    };
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints, "unschedulable": r.one_in(15)},
        "status": {"images": images, "allocatable": {"cpu": r.of(&["1", "2", "4"]), "memory": r.of(&["2Gi", "4Gi"]),
            "pods": r.of(&["3", "20"])}}}))
    .unwrap()
}

fn selector(r: &mut Random) -> Value {
    match r.below(6) {
        0 => json!({}),
        1 => Value::Null,
        2 => json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [r.of(&APPS)]}]}),
        _ => json!({"matchLabels": {"app": r.of(&APPS)}}),
    }
}

fn term(r: &mut Random) -> Value {
    let mut term = json!({"topologyKey": r.of(&KEYS), "labelSelector": selector(r)});
    if r.one_in(4) {
        term["namespaces"] = json!([r.of(&SPACES)]);
    }
    if r.one_in(4) {
        term["namespaceSelector"] =
            if r.one_in(2) { json!({}) } else { json!({"matchLabels": {"team": r.of(&["p", "q"])}}) };
    }
    term
}

fn pod_terms(r: &mut Random) -> Value {
    let mut out = json!({});
    if r.one_in(2) {
        out["requiredDuringSchedulingIgnoredDuringExecution"] = json!([term(r)]);
    }
    if r.one_in(2) {
        out["preferredDuringSchedulingIgnoredDuringExecution"] =
            json!([{"weight": r.below(100) + 1, "podAffinityTerm": term(r)}]);
    }
    out
}

fn node_term(r: &mut Random) -> Value {
    match r.below(4) {
        0 => json!({"matchExpressions": [{"key": "disk", "operator": "Exists"}]}),
        1 => json!({"matchExpressions": [{"key": "rack", "operator": "DoesNotExist"}]}),
        2 => json!({"matchExpressions": [{"key": ZONE, "operator": "NotIn", "values": [r.of(&["x", "y"])]}]}),
        _ => {
            json!({"matchExpressions": [{"key": ZONE, "operator": "In", "values": [r.of(&["x", "y", "z"])]}]})
        }
    }
}

fn constraint(r: &mut Random) -> Value {
    let mut c = json!({"maxSkew": r.below(3) + 1, "topologyKey": r.of(&KEYS), "labelSelector": selector(r),
        "whenUnsatisfiable": r.of(&["DoNotSchedule", "ScheduleAnyway"])});
    if r.one_in(4) && c["whenUnsatisfiable"] == "DoNotSchedule" {
        c["minDomains"] = json!(r.below(4) + 1);
    }
    if r.one_in(4) {
        c["nodeAffinityPolicy"] = r.of(&["Honor", "Ignore"]).into();
    }
    if r.one_in(4) {
        c["nodeTaintsPolicy"] = r.of(&["Honor", "Ignore"]).into();
    }
    if r.one_in(4) && !c["labelSelector"].is_null() {
        c["matchLabelKeys"] = json!([r.of(&["version", "app"])]);
    }
    c
}

/// One of few templates with few variations, so that equal pods come often.
fn pod(seed: u64, template: u64, name: &str, priority: u64) -> Value {
    let r = &mut Random(seed.wrapping_mul(31).wrapping_add(template));
    let mut spec = json!({"schedulerName": "default-scheduler", "containers": [{"image": format!("{}:1", r.of(&APPS)),
        "resources": {"requests": {}}}], "priority": priority});
    if !r.one_in(4) {
        spec["containers"][0]["resources"]["requests"] =
            json!({"cpu": r.of(&["50m", "300m", "1"]), "memory": r.of(&["64Mi", "500Mi"])});
    }
    if r.one_in(8) {
        spec["containers"][0]["ports"] = json!([{"hostPort": 80 + r.below(2), "protocol": "TCP"}]);
    }
    if r.one_in(6) {
        spec["nodeSelector"] = json!({"disk": r.of(&["ssd", "hdd"])});
    }
    if r.one_in(2) {
        spec["tolerations"] = json!([{"key": r.of(&["k1", "k2"]), "operator": "Exists"}]);
    }
    let mut affinity = json!({});
    if r.one_in(4) {
        affinity["nodeAffinity"] = json!({"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": r.below(50) + 1, "preference": node_term(r)}]});
    }
    if r.one_in(5) {
        affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({"nodeSelectorTerms": [node_term(r)]});
    }
    if r.one_in(4) {
        affinity["podAffinity"] = pod_terms(r);
    }
    if r.one_in(4) {
        affinity["podAntiAffinity"] = pod_terms(r);
    }
    spec["affinity"] = affinity;
    let mut metadata = json!({"name": name, "uid": format!("u-{name}"), "namespace": r.of(&SPACES),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": r.of(&APPS), "version": r.of(&["1", "2"])}});
    if r.one_in(3) {
        spec["topologySpreadConstraints"] = (0..=r.below(2)).map(|_| constraint(r)).collect();
    } else if r.one_in(2) {
        metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r",
            "uid": format!("owner-{template}"), "controller": true}]);
    }
    json!({"metadata": metadata, "spec": spec})
}

/// Engines that are told the same; all but the first forget before every decision what equal pods share.
struct Engines(Vec<Engine>);

impl Engines {
    fn each(&mut self, mut what: impl FnMut(&mut Engine)) {
        self.0.iter_mut().for_each(&mut what);
    }

    fn next(&mut self, seconds: i64) -> Option<Decision> {
        let mut decisions = self.0.iter_mut().enumerate().map(|(at, engine)| {
            if at > 0 {
                engine.forget();
            }
            engine.next(later(seconds))
        });
        let first = decisions.next().unwrap();
        for other in decisions {
            assert_eq!(format!("{first:?}"), format!("{other:?}"));
        }
        first
    }
}

struct Run {
    seed: u64,
    random: Random,
    engines: Engines,
    cluster: Cluster,
    /// Pods that are not placed.
    waiting: std::collections::BTreeMap<String, Pod>,
    made: u64,
    priorities: u64,
}

impl Run {
    fn new(seed: u64, nodes: u64, engines: usize, priorities: u64) -> Self {
        let engines = Engines((0..engines).map(|_| Engine::new("default-scheduler", seed)).collect());
        let (random, cluster) = (Random(seed), Cluster::default());
        let mut run = Run {
            seed,
            random,
            engines,
            cluster,
            waiting: std::collections::BTreeMap::new(),
            made: 0,
            priorities,
        };
        for name in SPACES {
            run.namespace(name);
        }
        for number in 0..nodes {
            run.node(&format!("n{number}"));
        }
        run
    }

    fn namespace(&mut self, name: &str) {
        let labels = [("team", self.random.of(&["p", "q"]))].into_iter().collect();
        self.engines.each(|e| e.namespace_applied(name, &labels));
        self.cluster.namespaces.insert(name.to_owned(), labels);
    }

    fn node(&mut self, name: &str) {
        let node = node(&mut self.random, name);
        self.engines.each(|e| e.node_applied(Arc::new(node.clone()), now()));
        self.cluster.nodes.insert(name.to_owned(), node);
    }

    fn new_pod(&mut self) {
        self.made += 1;
        let name = format!("p{}", self.made);
        let (template, priority) = (self.random.below(6), self.random.below(self.priorities));
        let pod: Pod = serde_json::from_value(pod(self.seed, template, &name, priority)).unwrap();
        self.engines.each(|e| e.pod_applied(&pod, now()));
        self.waiting.insert(name, pod);
    }

    fn some_pod(&mut self) -> Option<Pod> {
        let count = self.cluster.pods.len() as u64;
        (count > 0).then(|| {
            let at = usize::try_from(self.random.below(count)).unwrap();
            self.cluster.pods.values().nth(at).unwrap().clone()
        })
    }

    fn happen(&mut self) {
        let nodes = self.cluster.nodes.len() as u64;
        let name = format!("n{}", self.random.below(nodes + 1));
        match self.random.below(20) {
            0 | 1 => self.node(&name),
            2 => {
                self.engines.each(|e| e.node_deleted(&name));
                self.cluster.nodes.remove(&name);
            }
            3 => {
                let name = self.random.of(&SPACES);
                self.namespace(name);
            }
            4..=7 => {
                if let Some(p) = self.some_pod() {
                    self.engines.each(|e| e.pod_deleted(&p.metadata.key(), &p.metadata.uid, now()));
                    self.cluster.pods.remove(&*p.metadata.name);
                }
            }
            8 => {
                if let Some(mut p) = self.some_pod() {
                    p.metadata.deletion_timestamp = Some(now());
                    self.engines.each(|e| e.pod_applied(&p, now()));
                    self.cluster.pods.insert(p.metadata.name.to_string(), p);
                }
            }
            _ => self.new_pod(),
        }
    }

    fn placed(&mut self, name: &str, node: &str) {
        let mut pod = self.waiting.remove(name).unwrap();
        pod.spec.node_name = node.into();
        self.engines.each(|e| {
            e.bound(&pod.metadata.uid, true, now());
            e.pod_applied(&pod, now());
        });
        self.cluster.pods.insert(name.to_owned(), pod);
    }
}

#[test]
fn the_engine_decides_what_the_reference_says() {
    let (mut binds, mut refusals) = (0, 0);
    for seed in 0..400 {
        let mut run = Run::new(seed, 1 + seed % 12, 1, 1);
        for step in 0..60 {
            run.happen();
            let Some(decision) = run.engines.next(step * 400) else { continue };
            match decision {
                Decision::Bind { pod, node, .. } => {
                    let scores = run.cluster.scores(&run.waiting[&*pod.name]);
                    let best =
                        scores.values().max().unwrap_or_else(|| panic!("seed {seed}: no node for {pod}"));
                    let best: Vec<&String> =
                        scores.iter().filter(|(_, s)| *s == best).map(|(n, _)| n).collect();
                    assert!(
                        best.iter().any(|n| **n == *node),
                        "seed {seed} step {step}: {pod} to {node}, not to one of {best:?} of {scores:?}"
                    );
                    run.placed(&pod.name, &node);
                    binds += 1;
                }
                Decision::Unschedulable(r) => {
                    assert!(r.preemption.is_none(), "all are equal");
                    let want = run.cluster.message(&run.waiting[&*r.pod.name]);
                    assert_eq!(r.message, want, "seed {seed} step {step}: {}", r.pod);
                    refusals += 1;
                }
            }
        }
    }
    assert!(binds > 3000 && refusals > 3000, "{binds} binds and {refusals} refusals say too little");
}

#[test]
fn what_equal_pods_share_changes_no_decision() {
    let mut preemptions = 0;
    for seed in 0..240 {
        let mut run = Run::new(seed, if seed % 12 == 0 { 150 } else { 4 }, 2, 3);
        for step in 0..120 {
            run.happen();
            match run.engines.next(step * 400) {
                Some(Decision::Bind { pod, uid, .. }) if run.random.one_in(10) => {
                    run.engines.each(|e| e.bound(&uid, false, later(step * 400)));
                    assert!(run.waiting.contains_key(&*pod.name));
                }
                Some(Decision::Bind { pod, node, .. }) => run.placed(&pod.name, &node),
                Some(Decision::Unschedulable(r)) => {
                    preemptions += i32::from(r.preemption.is_some());
                    for (key, uid) in r.preemption.iter().flat_map(|p| p.victims.iter().skip(1)) {
                        run.engines.each(|e| e.pod_deleted(key, uid, now()));
                        run.cluster.pods.remove(&*key.name);
                    }
                }
                None => {}
            }
        }
    }
    assert!(preemptions > 100, "{preemptions} preemptions say too little");
}
