//! Those who act from outside: a user with all rights, and mischance.

use controllers::apps::types::{Deployment, POD_TEMPLATE_HASH};
use meta::User;
use reconcile::{Answer, Key, Op};
use serde_json::{Value, json};

use crate::objects::{
    self, DEPLOYMENTS, NAMESPACES, NODES, PODS, REPLICASETS, SERVICES, create, delete, patch,
};
use crate::process::{Hollow, Machine};
use crate::rng::Rng;
use crate::truth::bounds;
use crate::world::World;

const NAMES: [&str; 3] = ["red", "green", "blue"];
const APPS: [&str; 3] = ["web", "shop", "mail"];
const MOST_NODES: usize = 7;
const REVISION: &str = "deployment.kubernetes.io/revision";

struct Site {
    slot: usize,
    machine: Machine,
}

/// See the module.
pub struct Outside {
    rng: Rng,
    calm: bool,
    /// When mischance ends.
    end: jiff::Timestamp,
    nodes: Vec<Site>,
    made: u64,
    manager: usize,
    scheduler: usize,
    /// The last state of some object, to be written too late.
    stale: Option<(Key, Value)>,
}

impl Outside {
    /// Knows where the manager and the scheduler run.
    #[must_use]
    pub fn new(rng: Rng, calm: bool, end: jiff::Timestamp, manager: usize, scheduler: usize) -> Self {
        Outside { rng, calm, end, nodes: Vec::new(), made: 0, manager, scheduler, stale: None }
    }

    /// The first nodes and namespaces.
    pub fn set_up(&mut self, w: &mut World) {
        for _ in 0..self.rng.range(2, 4) {
            self.add_node(w, false);
        }
        for name in NAMES.iter().take(2) {
            self.user(w, create(NAMESPACES, "", &objects::namespace(name)));
        }
    }

    fn user(&mut self, w: &mut World, op: Op) -> Option<Value> {
        match w.admin(&op) {
            Ok(Answer::Object(b)) => serde_json::from_slice(&b).ok(),
            _ => None,
        }
    }

    fn add_node(&mut self, w: &mut World, big: bool) {
        self.made += 1;
        let scarce = if self.calm { 0 } else { 1 };
        let size = if big { 2 } else { self.rng.range(1 - scarce, 1) };
        let (milli_cpu, pods) = [(600, 4), (4000, 30), (16_000, 60)][usize::try_from(size).unwrap_or(0)];
        let machine = Machine {
            name: format!("node-{}", self.made),
            number: self.made,
            milli_cpu,
            pods,
            crashes_permille: if self.calm || big { 0 } else { *self.rng.pick(&[0, 20, 200]).unwrap_or(&0) },
            crashes_until: self.end,
            start_ms: *self.rng.pick(&[500, 3000, 12_000]).unwrap_or(&500),
        };
        let user = User::new(&format!("system:node:{}", machine.name), &["system:nodes"]);
        let hollow = Hollow::new(machine.clone(), self.rng.next());
        let slot = w.start(&machine.name, user, Box::new(hollow));
        self.nodes.push(Site { slot, machine });
    }

    /// Does something. Returns after how many milliseconds to be called again.
    pub fn act(&mut self, w: &mut World) -> i64 {
        self.mischance(w);
        if w.truth.live_deployments().next().is_none() || self.rng.permille(120) {
            self.new_deployment(w);
        } else if self.calm {
            self.calm_change(w);
        } else {
            match self.rng.below(100) {
                0..50 => self.change(w),
                50..58 => self.delete_deployment(w),
                58..72 => self.delete_pod(w),
                72..76 => self.relabel(w),
                76..80 => self.namespace(w),
                80..84 => self.write_stale(w),
                84..94 => self.cordon(w),
                _ if self.nodes.len() < MOST_NODES => self.add_node(w, false),
                _ => {}
            }
        }
        self.rng.delay(50, 25_000)
    }

    /// Crashes and partitions, at the rates of the faults (of a thousand a minute).
    fn mischance(&mut self, w: &mut World) {
        let f = w.faults;
        // Acts come every six seconds or so.
        let happens = |rng: &mut Rng, rate: u64| rng.permille(rate / 8);
        if happens(&mut self.rng, f.crashes) {
            let down = self.rng.delay(2000, 20_000);
            let all: Vec<usize> =
                [self.manager, self.scheduler].into_iter().chain(self.nodes.iter().map(|n| n.slot)).collect();
            if let Some(slot) = self.rng.pick(&all) {
                w.crash(*slot, down, None);
            }
        }
        if happens(&mut self.rng, f.server_crashes) {
            let down = self.rng.delay(100, 5000);
            w.crash_server(down);
        }
        if happens(&mut self.rng, f.machine_crashes) {
            self.machine_fails(w);
        }
        if happens(&mut self.rng, f.partitions)
            && let Some(at) = self.any_node()
        {
            let slot = self.nodes[at].slot;
            let cut = !w.slots[slot].cut;
            w.partition(slot, cut);
        }
    }

    fn any_node(&mut self) -> Option<usize> {
        let n = self.nodes.len() as u64;
        (n > 0).then(|| usize::try_from(self.rng.below(n)).unwrap_or(0))
    }

    /// A machine goes down with all its containers, to come back or not.
    fn machine_fails(&mut self, w: &mut World) {
        let Some(at) = self.any_node() else { return };
        let Site { slot, machine } = &self.nodes[at];
        let (slot, machine) = (*slot, machine.clone());
        if self.rng.permille(500) {
            let down = self.rng.delay(5000, 200_000);
            let again = Hollow::new(machine, self.rng.next());
            w.crash(slot, down, Some(Box::new(again)));
            return;
        }
        w.say(|| format!("{} is gone for good", machine.name));
        w.remove(slot);
        if self.rng.permille(500) {
            self.user(w, delete(NODES, "", &machine.name, None, None));
            self.nodes.remove(at);
        }
    }

    fn some_deployment(&mut self, w: &World) -> Option<Deployment> {
        let all: Vec<&Deployment> = w.truth.live_deployments().collect();
        self.rng.pick(&all).map(|d| (*d).clone())
    }

    fn some_namespace(&mut self, w: &World) -> Option<String> {
        let all: Vec<&str> = w.truth.open_namespaces().filter(|n| NAMES.contains(n)).collect();
        self.rng.pick(&all).map(|n| (*n).to_owned())
    }

    fn new_deployment(&mut self, w: &mut World) {
        let Some(ns) = self.some_namespace(w) else { return };
        let app = *self.rng.pick(&APPS).unwrap_or(&"web");
        let mut body = objects::deployment(&mut self.rng, &ns, app);
        if self.calm {
            body["spec"]["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {
                "maxSurge": self.rng.range(1, 3), "maxUnavailable": self.rng.range(0, 2)}});
        }
        if self.user(w, create(DEPLOYMENTS, &ns, &body)).is_some() {
            self.user(w, create(SERVICES, &ns, &objects::service(&ns, app)));
        }
    }

    fn edit(&mut self, w: &mut World, d: &Deployment, body: &Value) {
        self.user(w, patch(DEPLOYMENTS, &d.metadata.namespace, &d.metadata.name, body));
    }

    fn new_template(&mut self, d: &Deployment) -> Value {
        let broken = !self.calm && self.rng.permille(100);
        objects::template(&mut self.rng, &d.metadata.name, broken, false)
    }

    /// A change that takes no pod away but by a rolling update.
    fn calm_change(&mut self, w: &mut World) {
        let Some(d) = self.some_deployment(w) else { return };
        match self.rng.below(10) {
            0..6 => {
                let t = self.new_template(&d);
                self.edit(w, &d, &json!({"spec": {"template": t}}));
            }
            6 => self.edit(w, &d, &json!({"spec": {"paused": !d.spec.paused}})),
            _ => self.roll_back(w, &d),
        }
    }

    fn change(&mut self, w: &mut World) {
        let Some(d) = self.some_deployment(w) else { return };
        match self.rng.below(20) {
            0..8 => {
                let t = self.new_template(&d);
                self.edit(w, &d, &json!({"spec": {"template": t}}));
            }
            8..13 => {
                let most = if self.uses_port(&d) { 2 } else { 8 };
                let n = self.rng.range(0, most);
                self.edit(w, &d, &json!({"spec": {"replicas": n}}));
            }
            13..15 => self.edit(w, &d, &json!({"spec": {"paused": !d.spec.paused}})),
            15..18 => self.roll_back(w, &d),
            _ => {
                let s = objects::strategy(&mut self.rng);
                self.edit(w, &d, &json!({"spec": {"strategy": s}}));
            }
        }
        let key = d.metadata.key();
        if self.stale.is_none() && self.rng.permille(300) {
            let op = Op::Get {
                gvr: DEPLOYMENTS,
                namespace: key.namespace.to_string(),
                name: key.name.to_string(),
                sub: "",
            };
            self.stale = self.user(w, op).map(|v| (key, v));
        }
    }

    fn uses_port(&self, d: &Deployment) -> bool {
        d.spec.template.value().to_string().contains("hostPort")
    }

    /// `kubectl rollout undo`.
    fn roll_back(&mut self, w: &mut World, d: &Deployment) {
        let number = |s: &&crate::truth::SetTruth| {
            s.set.metadata.annotations.get(REVISION).and_then(|r| r.parse::<i64>().ok()).unwrap_or(0)
        };
        let mut sets: Vec<_> = w.truth.sets_of(&d.metadata.uid).collect();
        sets.sort_by_key(number);
        let Some(before) = sets.iter().rev().nth(1) else { return };
        let mut t = before.set.spec.template.value();
        if let Some(labels) = t.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(POD_TEMPLATE_HASH);
        }
        self.edit(w, d, &json!({"spec": {"template": t}}));
    }

    fn delete_deployment(&mut self, w: &mut World) {
        let Some(d) = self.some_deployment(w) else { return };
        let how =
            *self.rng.pick(&["Background", "Background", "Foreground", "Orphan"]).unwrap_or(&"Background");
        let m = &d.metadata;
        self.user(w, delete(DEPLOYMENTS, &m.namespace, &m.name, Some(how), None));
        if self.rng.permille(500) {
            self.user(w, delete(SERVICES, &m.namespace, &m.name, None, None));
        }
    }

    fn some_pod(&mut self, w: &World) -> Option<Key> {
        let all: Vec<&Key> = w.truth.pods.keys().collect();
        self.rng.pick(&all).map(|k| (*k).clone())
    }

    fn delete_pod(&mut self, w: &mut World) {
        let Some(key) = self.some_pod(w) else { return };
        let grace = *self.rng.pick(&[None, Some(0), Some(3)]).unwrap_or(&None);
        self.user(w, delete(PODS, &key.namespace, &key.name, None, grace));
    }

    /// Takes a pod out of its replica set by its label, or puts one in.
    fn relabel(&mut self, w: &mut World) {
        let Some(key) = self.some_pod(w) else { return };
        let app = *self.rng.pick(&["web", "shop", "nobody"]).unwrap_or(&"nobody");
        self.user(w, patch(PODS, &key.namespace, &key.name, &json!({"metadata": {"labels": {"app": app}}})));
    }

    fn namespace(&mut self, w: &mut World) {
        let name = *self.rng.pick(&NAMES).unwrap_or(&"red");
        if w.truth.open_namespaces().any(|n| n == name) {
            self.user(w, delete(NAMESPACES, "", name, None, None));
        } else {
            self.user(w, create(NAMESPACES, "", &objects::namespace(name)));
        }
    }

    /// Writes an object as it was a while ago: the server must refuse when it has changed since.
    fn write_stale(&mut self, w: &mut World) {
        let Some((key, body)) = self.stale.take() else { return };
        let Some(d) = w.truth.deployments.get(&key) else { return };
        let read = body["metadata"]["uid"] == *d.deployment.metadata.uid;
        let old =
            body["metadata"]["resourceVersion"].as_str().and_then(|r| r.parse::<u64>().ok()).unwrap_or(0);
        let newest = w.truth.written(&format!("/registry/deployments/{}/{}", key.namespace, key.name));
        let op = Op::Update {
            gvr: DEPLOYMENTS,
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            sub: "",
            body: body.to_string().into_bytes(),
        };
        let accepted = w.admin(&op).is_ok();
        if accepted && (!read || newest > old) {
            w.fail(format!("a write of {key} as of {old} was accepted; it had changed at {newest}"));
        }
    }

    fn cordon(&mut self, w: &mut World) {
        let Some(at) = self.any_node() else { return };
        let name = self.nodes[at].machine.name.clone();
        let Some(node) = w.truth.nodes.get(&name) else { return };
        let body = json!({"spec": {"unschedulable": !node.unschedulable}});
        self.user(w, patch(NODES, "", &name, &body));
    }

    /// Puts right what only people can put right, so that the rest can come to rest by itself.
    pub fn heal(&mut self, w: &mut World) {
        for at in (0..self.nodes.len()).rev() {
            let Site { slot, machine } = &self.nodes[at];
            let (slot, machine) = (*slot, machine.clone());
            if w.slots[slot].cut {
                w.partition(slot, false);
            }
            let there = w.truth.nodes.get(&machine.name).map(|n| n.unschedulable);
            if !w.slots[slot].alive() || there.is_none() {
                w.remove(slot);
                self.user(w, delete(NODES, "", &machine.name, None, None));
                self.nodes.remove(at);
            } else if there == Some(true) {
                self.user(w, patch(NODES, "", &machine.name, &json!({"spec": {"unschedulable": false}})));
            }
        }
        for _ in 0..2 {
            self.add_node(w, true);
        }
        let all: Vec<Deployment> = w.truth.live_deployments().cloned().collect();
        // A rollback may have brought a host port back for more pods than there are nodes.
        let ports = all.iter().filter(|d| self.uses_port(d)).map(|d| bounds(d).0).sum::<i64>();
        let crowded = usize::try_from(ports).unwrap_or(0) > self.nodes.len();
        for d in all {
            let t = objects::template(&mut self.rng, &d.metadata.name, false, false);
            let mut body = json!({"spec": {"paused": false}});
            let broken = d.spec.template.labels.get("quality") == Some("broken");
            if broken || (crowded && self.uses_port(&d)) {
                body["spec"]["template"] = t;
            }
            self.edit(w, &d, &body);
        }
    }

    /// Deletes what belongs to nobody any more because the user made it so.
    pub fn sweep(&mut self, w: &mut World) {
        let nobody = |m: &reconcile::ObjectMeta| m.controller().is_none() && !m.deleting();
        let sets: Vec<Key> =
            w.truth.sets.iter().filter(|(_, s)| nobody(&s.set.metadata)).map(|(k, _)| k.clone()).collect();
        for k in sets {
            self.user(w, delete(REPLICASETS, &k.namespace, &k.name, Some("Background"), None));
        }
        let pods: Vec<Key> =
            w.truth.pods.iter().filter(|(_, p)| nobody(&p.pod.metadata)).map(|(k, _)| k.clone()).collect();
        for k in pods {
            self.user(w, delete(PODS, &k.namespace, &k.name, None, None));
        }
        let gone: Vec<String> = w
            .truth
            .nodes
            .iter()
            .filter(|(n, _)| !self.nodes.iter().any(|s| s.machine.name == **n))
            .map(|(n, _)| n.clone())
            .collect();
        for name in gone {
            self.user(w, delete(NODES, "", &name, None, None));
        }
    }
}
