//! What upstream's plugins say, the long way: every question is answered from the objects alone, node by node and pod
//! by pod, without anything kept between two questions. For comparing with.

use std::collections::{BTreeMap, BTreeSet};

use reconcile::{LabelSelector, StrMap};
use scheduler::model::{
    NodeRequirement, NodeTerm, PodAffinity, PodTerm, SpreadConstraint, Taint, Toleration,
};
use scheduler::resources::{Amounts, requests};
use scheduler::{Node, Pod};

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// The cluster: pods have a node name each.
#[derive(Default)]
pub struct Cluster {
    pub nodes: BTreeMap<String, Node>,
    pub pods: BTreeMap<String, Pod>,
    pub namespaces: BTreeMap<String, StrMap>,
}

fn requirement(r: &NodeRequirement, value: Option<&str>) -> bool {
    let listed = r.values.iter().any(|v| value == Some(v));
    match &*r.operator {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        other => panic!("{other}"),
    }
}

fn term(t: &NodeTerm, node: &Node) -> bool {
    (!t.match_expressions.is_empty() || !t.match_fields.is_empty())
        && t.match_expressions.iter().all(|r| requirement(r, node.metadata.labels.get(&r.key)))
        && t.match_fields.iter().all(|r| requirement(r, Some(&node.metadata.name)))
}

fn node_allowed(pod: &Pod, node: &Node) -> bool {
    let required = pod.spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref()?.required.as_ref());
    pod.spec.node_selector.iter().all(|(k, v)| node.metadata.labels.get(k) == Some(v))
        && required.is_none_or(|r| r.node_selector_terms.iter().any(|t| term(t, node)))
}

fn tolerates(t: &Toleration, taint: &Taint) -> bool {
    (t.effect.is_empty() || t.effect == taint.effect)
        && (t.key.is_empty() || t.key == taint.key)
        && (&*t.operator == "Exists" || t.value == taint.value)
}

fn intolerable<'a>(pod: &'a Pod, node: &'a Node, soft: bool) -> impl Iterator<Item = &'a Taint> {
    let taints = node.spec.taints.iter().filter(move |t| (&*t.effect == "PreferNoSchedule") == soft);
    taints.filter(|taint| !pod.spec.tolerations.iter().any(|t| tolerates(t, taint)))
}

fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata.labels.get(key)
}

impl Cluster {
    fn on<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().filter(|p| *p.spec.node_name == *node.metadata.name)
    }

    fn placed(&self) -> impl Iterator<Item = (&Node, &Pod)> {
        self.pods.values().filter_map(|p| Some((self.nodes.get(&*p.spec.node_name)?, p)))
    }

    fn used(&self, node: &Node) -> (Amounts, (i64, i64)) {
        let mut sum = (Amounts::default(), (0, 0));
        for p in self.on(node) {
            let (exact, filled) = requests(&p.spec);
            sum.0.add(&exact, 1);
            sum.1 = (sum.1.0 + filled.0, sum.1.1 + filled.1);
        }
        sum
    }

    fn resources(&self, pod: &Pod, node: &Node) -> Vec<String> {
        let (want, have, used) =
            (requests(&pod.spec).0, Amounts::parse(&node.status.allocatable), self.used(node).0);
        let mut out = Vec::new();
        if self.on(node).count() + 1 > node.status.allocatable.get("pods").unwrap().parse().unwrap() {
            out.push("Too many pods".to_owned());
        }
        if want.milli_cpu > 0 && want.milli_cpu > have.milli_cpu - used.milli_cpu {
            out.push("Insufficient cpu".to_owned());
        }
        if want.memory > 0 && want.memory > have.memory - used.memory {
            out.push("Insufficient memory".to_owned());
        }
        out
    }

    fn ports_taken(&self, pod: &Pod, node: &Node) -> bool {
        let ports = |p: &Pod| -> Vec<(u16, String)> {
            let ports = p.spec.containers.iter().flat_map(|c| &c.ports).filter(|p| p.host_port > 0);
            ports.map(|p| (p.host_port, p.protocol.to_string())).collect()
        };
        let taken: Vec<_> = self.on(node).flat_map(ports).collect();
        ports(pod).iter().any(|p| taken.contains(p))
    }

    /// The nodes that count for a constraint of a group.
    fn counting<'a>(
        &'a self,
        pod: &'a Pod,
        c: &'a SpreadConstraint,
        group: &'a [&SpreadConstraint],
    ) -> impl Iterator<Item = &'a Node> {
        self.nodes.values().filter(move |n| {
            group.iter().all(|c| label(n, &c.topology_key).is_some())
                && (c.node_affinity_policy.as_deref() == Some("Ignore") || node_allowed(pod, n))
                && (c.node_taints_policy.as_deref() != Some("Honor")
                    || intolerable(pod, n, false).next().is_none())
        })
    }

    fn matching(&self, pod: &Pod, c: &SpreadConstraint, node: &Node) -> i64 {
        // A selector of nothing at all counts nothing; label keys make it one of something.
        let keyed = c.match_label_keys.iter().any(|k| pod.metadata.labels.get(k).is_some());
        let counts = |p: &&Pod| {
            p.metadata.namespace == pod.metadata.namespace
                && !p.metadata.deleting()
                && c.label_selector.as_ref().is_some_and(|s| keyed || !s.is_empty())
                && selects(c, pod, p)
        };
        i64::try_from(self.on(node).filter(counts).count()).unwrap()
    }

    fn spread(&self, pod: &Pod, node: &Node) -> Option<(&'static str, bool)> {
        let all = &pod.spec.topology_spread_constraints;
        let hard: Vec<_> = all.iter().filter(|c| &*c.when_unsatisfiable == "DoNotSchedule").collect();
        for c in &hard {
            let Some(domain) = label(node, &c.topology_key) else {
                let why = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Some((why, true));
            };
            let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
            for n in self.counting(pod, c, &hard) {
                *counts.entry(label(n, &c.topology_key).unwrap()).or_default() += self.matching(pod, c, n);
            }
            let few = i64::try_from(counts.len()).unwrap() < c.min_domains.unwrap_or(1);
            let least = if few { 0 } else { counts.values().copied().min().unwrap_or(i64::from(i32::MAX)) };
            let here = counts.get(domain).copied().unwrap_or(0);
            if here + i64::from(selects(c, pod, pod)) - least > c.max_skew {
                return Some(("node(s) didn't match pod topology spread constraints", false));
            }
        }
        None
    }

    fn means(&self, t: &PodTerm, owner: &Pod, other: &Pod) -> bool {
        let namespace = &*other.metadata.namespace;
        let labels = self.namespaces.get(namespace).cloned().unwrap_or_default();
        let scope = if t.namespaces.is_empty() && t.namespace_selector.is_none() {
            namespace == &*owner.metadata.namespace
        } else {
            t.namespaces.iter().any(|n| &**n == namespace)
                || t.namespace_selector.as_ref().is_some_and(|s| s.matches(&labels))
        };
        scope && t.label_selector.as_ref().is_some_and(|s| s.matches(&other.metadata.labels))
    }

    fn affinity(&self, pod: &Pod, node: &Node) -> Option<(&'static str, bool)> {
        let (near, far) = (near(pod), far(pod));
        let same = |t: &PodTerm, n: &Node| {
            label(node, &t.topology_key).is_some()
                && label(n, &t.topology_key) == label(node, &t.topology_key)
        };
        if !near.required.is_empty() {
            let all = |p: &Pod| near.required.iter().all(|t| self.means(t, pod, p));
            let has_label = near.required.iter().all(|t| label(node, &t.topology_key).is_some());
            let found = near.required.iter().all(|t| self.placed().any(|(n, p)| all(p) && same(t, n)));
            let none = !self
                .placed()
                .any(|(n, p)| all(p) && near.required.iter().any(|t| label(n, &t.topology_key).is_some()));
            if !has_label || !(found || (none && all(pod))) {
                return Some(("node(s) didn't match pod affinity rules", true));
            }
        }
        if far.required.iter().any(|t| self.placed().any(|(n, p)| self.means(t, pod, p) && same(t, n))) {
            return Some(("node(s) didn't match pod anti-affinity rules", false));
        }
        let repels =
            |(n, p): (&Node, &Pod)| self::far(p).required.iter().any(|t| self.means(t, p, pod) && same(t, n));
        if self.placed().any(repels) {
            return Some(("node(s) didn't satisfy existing pods anti-affinity rules", false));
        }
        None
    }

    /// Why a node will not do, and whether preemption can do nothing about it.
    pub fn rejects(&self, pod: &Pod, node: &Node) -> Option<(Vec<String>, bool)> {
        let one = |why: &str, unresolvable: bool| Some((vec![why.to_owned()], unresolvable));
        if node.spec.unschedulable {
            return one("node(s) were unschedulable", true);
        }
        if intolerable(pod, node, false).next().is_some() {
            return one("node(s) had untolerated taint(s)", true);
        }
        if !node_allowed(pod, node) {
            return one("node(s) didn't match Pod's node affinity/selector", true);
        }
        if self.ports_taken(pod, node) {
            return one("node(s) didn't have free ports for the requested pod ports", false);
        }
        let lacks = self.resources(pod, node);
        if !lacks.is_empty() {
            let (want, have) = (requests(&pod.spec).0, Amounts::parse(&node.status.allocatable));
            return Some((lacks, want.milli_cpu > have.milli_cpu || want.memory > have.memory));
        }
        let other = self.spread(pod, node).or_else(|| self.affinity(pod, node));
        other.and_then(|(why, unresolvable)| one(why, unresolvable))
    }

    /// The message when no node will do and no pod has a lower priority.
    pub fn message(&self, pod: &Pod) -> String {
        let total = self.nodes.len();
        if total == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut helpless = 0;
        for node in self.nodes.values() {
            let (why, unresolvable) = self.rejects(pod, node).expect("no node will do");
            why.into_iter().for_each(|r| *reasons.entry(r).or_default() += 1);
            helpless += usize::from(unresolvable);
        }
        let list = |reasons: BTreeMap<String, usize>| {
            let mut parts: Vec<String> = reasons.iter().map(|(r, n)| format!("{n} {r}")).collect();
            parts.sort();
            format!("0/{total} nodes are available: {}.", parts.join(", "))
        };
        let mut after = BTreeMap::new();
        if helpless < total {
            after.insert("No preemption victims found for incoming pod".to_owned(), total - helpless);
        }
        if helpless > 0 {
            after.insert("Preemption is not helpful for scheduling".to_owned(), helpless);
        }
        format!("{} preemption: {}", list(reasons), list(after))
    }

    /// The nodes that will do, each with its score.
    pub fn scores(&self, pod: &Pod) -> BTreeMap<String, i64> {
        let nodes: Vec<&Node> = self.nodes.values().filter(|n| self.rejects(pod, n).is_none()).collect();
        let of = |one: &dyn Fn(&Node) -> i64| -> Vec<i64> { nodes.iter().map(|n| one(n)).collect() };
        let preferred =
            pod.spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref()).map(|a| &a.preferred);
        let preferred: Vec<_> = preferred.into_iter().flatten().collect();
        let liked =
            |n: &Node| preferred.iter().filter(|p| term(&p.preference, n)).map(|p| p.weight).sum::<i64>();
        let hurts = |n: &Node| i64::try_from(intolerable(pod, n, true).count()).unwrap();
        let parts = [
            (3, by_max(&of(&hurts), true)),
            (2, by_max(&of(&liked), false)),
            (1, of(&|n| self.least_allocated(pod, n))),
            (1, of(&|n| self.balanced(pod, n))),
            (1, of(&|n| self.images(pod, n))),
            (2, self.spread_scores(pod, &nodes)),
            (2, self.affinity_scores(pod, &nodes)),
        ];
        let total = |at: usize| parts.iter().map(|(weight, scores)| weight * scores[at]).sum();
        nodes.iter().enumerate().map(|(at, n)| (n.metadata.name.to_string(), total(at))).collect()
    }

    fn least_allocated(&self, pod: &Pod, node: &Node) -> i64 {
        let (have, used, more) =
            (Amounts::parse(&node.status.allocatable), self.used(node).1, requests(&pod.spec).1);
        let free = |have: i64, used: i64| if used > have { 0 } else { (have - used) * 100 / have };
        (free(have.milli_cpu, used.0 + more.0) + free(have.memory, used.1 + more.1)) / 2
    }

    fn balanced(&self, pod: &Pod, node: &Node) -> i64 {
        let (have, used, more) =
            (Amounts::parse(&node.status.allocatable), self.used(node).0, requests(&pod.spec).0);
        if more.milli_cpu == 0 && more.memory == 0 {
            return 0;
        }
        let even = |cpu: i64, memory: i64| {
            let cpu = (cpu as f64 / have.milli_cpu as f64).min(1.0);
            let memory = (memory as f64 / have.memory as f64).min(1.0);
            ((1.0 - ((cpu - memory) / 2.0).abs()) * 100.0) as i64
        };
        let with = even(used.milli_cpu + more.milli_cpu, used.memory + more.memory);
        50 + (50 + with - even(used.milli_cpu, used.memory)) / 2
    }

    fn images(&self, pod: &Pod, node: &Node) -> i64 {
        let size = |n: &Node, image: &str| {
            n.status.images.iter().find(|i| i.names.iter().any(|x| **x == *image)).map(|i| i.size_bytes)
        };
        let part = |image: &str| {
            let having = self.nodes.values().filter(|n| size(n, image).is_some()).count();
            having as f64 / self.nodes.len() as f64
        };
        let images = pod.spec.containers.iter().map(|c| &*c.image);
        let sum: i64 = images.filter_map(|i| Some((size(node, i)? as f64 * part(i)) as i64)).sum();
        let (least, most) = (23 << 20, (1000 << 20) * i64::try_from(pod.spec.containers.len()).unwrap());
        (sum.clamp(least, most) - least) * 100 / (most - least)
    }

    fn spread_scores(&self, pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
        let own = !pod.spec.topology_spread_constraints.is_empty();
        let defaults = default_constraints();
        let siblings = pod.metadata.controller().map(|o| o.uid.clone());
        let soft: Vec<&SpreadConstraint> = if own {
            let all = pod.spec.topology_spread_constraints.iter();
            all.filter(|c| &*c.when_unsatisfiable == "ScheduleAnyway").collect()
        } else if siblings.is_some() {
            defaults.iter().collect()
        } else {
            Vec::new()
        };
        if soft.is_empty() {
            return vec![0; nodes.len()];
        }
        let count = |c: &SpreadConstraint, n: &Node| match &siblings {
            Some(owner) if !own => {
                let theirs = |p: &&Pod| {
                    !p.metadata.deleting()
                        && p.metadata.controlled_by(owner)
                        && p.metadata.namespace == pod.metadata.namespace
                        && p.spec.topology_spread_constraints.is_empty()
                };
                i64::try_from(self.on(n).filter(theirs).count()).unwrap()
            }
            _ => self.matching(pod, c, n),
        };
        let ignored = |n: &Node| own && soft.iter().any(|c| label(n, &c.topology_key).is_none());
        let mut raw = vec![0.0; nodes.len()];
        for c in &soft {
            let scored = nodes.iter().filter(|n| !ignored(n));
            let domains: BTreeSet<Option<&str>> = scored.clone().map(|n| label(n, &c.topology_key)).collect();
            let size = if &*c.topology_key == HOST { scored.count() } else { domains.len() };
            let weight = ((size + 2) as f64).ln();
            for (score, n) in raw.iter_mut().zip(nodes) {
                let Some(domain) = label(n, &c.topology_key) else { continue };
                let group = if own { soft.as_slice() } else { &[] };
                let here: i64 = if &*c.topology_key == HOST {
                    count(c, n)
                } else {
                    let counting = self.counting(pod, c, group);
                    counting.filter(|n| label(n, &c.topology_key) == Some(domain)).map(|n| count(c, n)).sum()
                };
                *score += here as f64 * weight + (c.max_skew - 1) as f64;
            }
        }
        let raw: Vec<i64> = raw.iter().map(|s: &f64| s.round() as i64).collect();
        let of = || raw.iter().zip(nodes).filter(|(_, n)| !ignored(n)).map(|(s, _)| *s);
        let (min, max) = (of().min().unwrap_or(0), of().max().unwrap_or(0));
        let one = |(s, n): (&i64, &&Node)| match (ignored(n), max) {
            (true, _) => 0,
            (false, 0) => 100,
            (false, max) => 100 * (max + min - s) / max,
        };
        raw.iter().zip(nodes).map(one).collect()
    }

    fn affinity_scores(&self, pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
        let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
        for (n, p) in self.placed() {
            let mut add = |t: &PodTerm, owner: &Pod, other: &Pod, weight: i64| {
                if let Some(value) = label(n, &t.topology_key)
                    && self.means(t, owner, other)
                {
                    *sums.entry((t.topology_key.to_string(), value.to_owned())).or_default() += weight;
                }
            };
            near(pod).preferred.iter().for_each(|t| add(&t.pod_affinity_term, pod, p, t.weight));
            far(pod).preferred.iter().for_each(|t| add(&t.pod_affinity_term, pod, p, -t.weight));
            near(p).required.iter().for_each(|t| add(t, p, pod, 1));
            near(p).preferred.iter().for_each(|t| add(&t.pod_affinity_term, p, pod, t.weight));
            far(p).preferred.iter().for_each(|t| add(&t.pod_affinity_term, p, pod, -t.weight));
        }
        let raw = nodes
            .iter()
            .map(|n| sums.iter().filter(|((k, v), _)| label(n, k) == Some(v)).map(|(_, s)| *s).sum::<i64>());
        let raw: Vec<i64> = raw.collect();
        let (min, max) = (raw.iter().copied().min().unwrap_or(0), raw.iter().copied().max().unwrap_or(0));
        let one =
            |s: &i64| if max == min { 0 } else { (100.0 * ((s - min) as f64 / (max - min) as f64)) as i64 };
        raw.iter().map(one).collect()
    }
}

fn selects(c: &SpreadConstraint, pod: &Pod, other: &Pod) -> bool {
    let (mine, theirs) = (&pod.metadata.labels, &other.metadata.labels);
    c.label_selector.as_ref().is_some_and(|s| s.matches(theirs))
        && c.match_label_keys.iter().all(|k| mine.get(k).is_none_or(|v| theirs.get(k) == Some(v)))
}

fn default_constraints() -> [SpreadConstraint; 2] {
    [(HOST, 3), (ZONE, 5)].map(|(key, max_skew)| SpreadConstraint {
        topology_key: key.into(),
        max_skew,
        label_selector: Some(LabelSelector::default()),
        ..SpreadConstraint::default()
    })
}

fn near(pod: &Pod) -> PodAffinity {
    pod.spec.affinity.as_ref().and_then(|a| a.pod_affinity.clone()).unwrap_or_default()
}

fn far(pod: &Pod) -> PodAffinity {
    pod.spec.affinity.as_ref().and_then(|a| a.pod_anti_affinity.clone()).unwrap_or_default()
}

fn by_max(scores: &[i64], reverse: bool) -> Vec<i64> {
    let max = scores.iter().copied().max().unwrap_or(0);
    let one = |s: &i64| if max == 0 { 0 } else { s * 100 / max };
    scores.iter().map(|s| if reverse { 100 - one(s) } else { one(s) }).collect()
}
