//! ClusterRole aggregation: a role with an aggregation rule has the rules of all roles that it selects.
// k8s: pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go

use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{
    Action, Answers, Caches, Controller, Interests, Key, LabelSelector, ObjectMeta, Plan, Projection,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// `clusterroles`.
pub const CLUSTERROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");

/// The controller.
pub struct ClusterRoleAggregation;

/// A cluster role.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRole {
    pub metadata: ObjectMeta,
    pub rules: Vec<Value>,
    pub aggregation_rule: Option<AggregationRule>,
}

/// Which roles to take rules from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AggregationRule {
    pub cluster_role_selectors: Vec<LabelSelector>,
}

impl Projection for ClusterRole {
    const GVR: Gvr = CLUSTERROLES;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// What a decision on a role depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub role: Arc<ClusterRole>,
    /// The roles that it selects, by name.
    pub selected: Vec<Arc<ClusterRole>>,
}

impl Controller for ClusterRoleAggregation {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.on::<ClusterRole>(|_, caches, sink| {
            for r in caches.kind::<ClusterRole>().iter().filter(|r| r.aggregation_rule.is_some()) {
                sink.add(r.metadata.key());
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let roles = caches.kind::<ClusterRole>();
        let role = roles.by_key(key)?.clone();
        let selectors = &role.aggregation_rule.as_ref()?.cluster_role_selectors;
        let selected = roles
            .iter()
            .filter(|r| r.metadata.name != role.metadata.name)
            .filter(|r| selectors.iter().any(|s| s.matches(&r.metadata.labels)))
            .cloned()
            .collect();
        Some(State { role, selected })
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        let mut rules: Vec<&Value> = Vec::new();
        for rule in state.selected.iter().flat_map(|r| &r.rules) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        if rules.iter().copied().eq(&state.role.rules) {
            return Plan::default();
        }
        let m = &state.role.metadata;
        let body = json!({
            "metadata": {"uid": m.uid, "resourceVersion": m.resource_version.to_string()},
            "rules": rules,
        });
        Plan::of(vec![Action::merge_patch(CLUSTERROLES, &m.key(), "", &body).tolerate(&["NotFound"])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_collected_without_repetition() {
        let mut caches = Caches::default();
        for text in [
            r#"{"metadata":{"name":"admin"},"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"to":"admin"}}]}}"#,
            r#"{"metadata":{"name":"a","labels":{"to":"admin"}},"rules":[{"verbs":["get"]},{"verbs":["list"]}]}"#,
            r#"{"metadata":{"name":"b","labels":{"to":"admin"}},"rules":[{"verbs":["get"]}]}"#,
            r#"{"metadata":{"name":"c","labels":{"to":"view"}},"rules":[{"verbs":["watch"]}]}"#,
        ] {
            caches.kind_mut::<ClusterRole>().upsert(serde_json::from_str(text).unwrap());
        }
        let c = ClusterRoleAggregation;
        let state = c.observe(&Key::new("", "admin"), &caches, &Answers::default()).unwrap();
        let plan = c.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH);
        let body = match &plan.steps[0].actions[0].op {
            reconcile::Op::Patch { body, .. } => String::from_utf8_lossy(body).into_owned(),
            other => panic!("{other:?}"),
        };
        assert!(body.contains(r#""rules":[{"verbs":["get"]},{"verbs":["list"]}]"#), "{body}");
    }
}
