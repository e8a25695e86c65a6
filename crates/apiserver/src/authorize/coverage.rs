//! Whether the rules that somebody holds cover rules that somebody wants. It must never guess: what it cannot
//! weigh counts as not covered.
// k8s: staging/src/k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go Covers

use std::collections::HashMap;

use super::rbac::{Rule, path_matches};

/// Rules of more combinations of verb, group, resource and name than this, all together, are not taken apart.
const LIMIT_COMBINATIONS: usize = 100_000;

/// The parts of `wanted` that `owned` does not cover, taken apart into single verbs, groups, resources and names.
/// Once 100 000 combinations were looked at, a rule that no single owned rule covers comes back whole.
#[must_use]
pub fn uncovered(owned: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let covered = |rule: &Rule| owned.iter().any(|o| covers(o, rule));
    let mut out = Vec::new();
    let mut left = LIMIT_COMBINATIONS;
    for rule in wanted.iter().filter(|r| !covered(r)) {
        let parts = combinations(rule);
        if parts > left {
            out.push(rule.clone());
        } else {
            left -= parts;
            out.extend(break_down(rule).into_iter().filter(|part| !covered(part)));
        }
    }
    out
}

/// Rules about the same resource (and name) as one rule with all their verbs; others as they are.
// k8s: staging/src/k8s.io/component-helpers/auth/rbac/validation/policy_compact.go CompactRules
#[must_use]
pub fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut out: Vec<Rule> = Vec::new();
    let mut seen: HashMap<(String, String, Option<String>), usize> = HashMap::new();
    for rule in rules {
        let Some(subject) = simple(&rule) else {
            out.push(rule);
            continue;
        };
        match seen.get(&subject) {
            None => {
                seen.insert(subject, out.len());
                out.push(rule);
            }
            Some(&at) => {
                for verb in rule.verbs {
                    if !out[at].verbs.contains(&verb) {
                        out[at].verbs.push(verb);
                    }
                }
            }
        }
    }
    out
}

/// The group, resource and name of a rule that is about one resource.
fn simple(rule: &Rule) -> Option<(String, String, Option<String>)> {
    match (rule.api_groups.as_slice(), rule.resources.as_slice(), rule.resource_names.as_slice()) {
        ([group], [resource], names) if rule.non_resource_urls.is_empty() && names.len() <= 1 => {
            Some((group.clone(), resource.clone(), names.first().cloned()))
        }
        _ => None,
    }
}

fn combinations(rule: &Rule) -> usize {
    let resources = rule
        .api_groups
        .len()
        .saturating_mul(rule.resources.len())
        .saturating_mul(rule.resource_names.len().max(1));
    resources.saturating_add(rule.non_resource_urls.len()).saturating_mul(rule.verbs.len())
}

fn break_down(rule: &Rule) -> Vec<Rule> {
    let one = |s: &String| vec![s.clone()];
    let mut out = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let base = Rule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                if rule.resource_names.is_empty() {
                    out.push(base);
                    continue;
                }
                out.extend(
                    rule.resource_names.iter().map(|n| Rule { resource_names: one(n), ..base.clone() }),
                );
            }
        }
    }
    for url in &rule.non_resource_urls {
        let part = |verb| Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() };
        out.extend(rule.verbs.iter().map(part));
    }
    out
}

/// Names know no wildcard: a rule that names `*` is about an object of that name.
fn covers(owner: &Rule, sub: &Rule) -> bool {
    let each = |o: &[String], s: &[String]| s.iter().all(|x| o.contains(x));
    let any = |o: &[String], s: &[String]| o.iter().any(|x| x == "*") || each(o, s);
    let names = owner.resource_names.is_empty()
        || (!sub.resource_names.is_empty() && each(&owner.resource_names, &sub.resource_names));
    let urls =
        sub.non_resource_urls.iter().all(|u| owner.non_resource_urls.iter().any(|o| path_matches(o, u)));
    any(&owner.verbs, &sub.verbs)
        && any(&owner.api_groups, &sub.api_groups)
        && covers_resources(owner, sub)
        && names
        && urls
}

fn covers_resources(owner: &Rule, sub: &Rule) -> bool {
    owner.resources.iter().any(|x| x == "*")
        || sub.resources.iter().all(|r| {
            owner.resources.contains(r)
                || r.split_once('/').is_some_and(|(_, s)| owner.resources.contains(&format!("*/{s}")))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `VERBS|GROUPS|RESOURCES|NAMES` or `VERBS|PATHS`.
    fn rule(text: &str) -> Rule {
        let parts: Vec<Vec<String>> = text
            .split('|')
            .map(|p| p.split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect())
            .collect();
        match parts.as_slice() {
            [verbs, urls] => {
                Rule { verbs: verbs.clone(), non_resource_urls: urls.clone(), ..Rule::default() }
            }
            [verbs, groups, resources, names] => Rule {
                verbs: verbs.clone(),
                api_groups: groups.clone(),
                resources: resources.clone(),
                resource_names: names.clone(),
                ..Rule::default()
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rules_cover_what_they_hold_and_no_more() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["get|g|pods|"], "get|g|pods|", true),
            (&["get|g|pods|"], "list|g|pods|", false),
            (&["*|g|pods|"], "list|g|pods|", true),
            (&["get|g|pods|"], "*|g|pods|", false),
            (&["get|*|pods|"], "get|other|pods|", true),
            (&["get|g|pods|"], "get|*|pods|", false),
            (&["get|g|*|"], "get|g|pods/log|", true),
            (&["get|g|pods|"], "get|g|pods/log|", false),
            (&["get|g|pods|"], "get|g|*|", false),
            // A subresource of everything.
            (&["get|g|*/scale|"], "get|g|deployments/scale|", true),
            (&["get|g|*/scale|"], "get|g|*/scale|", true),
            (&["get|g|*/scale|"], "get|g|deployments/status|", false),
            (&["get|g|*/scale|"], "get|g|deployments|", false),
            (&["get|g|deployments/scale|"], "get|g|*/scale|", false),
            (&["get|g|deployments/*|"], "get|g|deployments/scale|", false),
            // Names.
            (&["get|g|pods|"], "get|g|pods|a,b", true),
            (&["get|g|pods|a"], "get|g|pods|", false),
            (&["get|g|pods|a"], "get|g|pods|a", true),
            (&["get|g|pods|a"], "get|g|pods|a,b", false),
            (&["get|g|pods|*"], "get|g|pods|a", false),
            (&["get|g|pods|*"], "get|g|pods|", false),
            (&["get|g|pods|*"], "get|g|pods|*", true),
            // Several rules together.
            (&["get|g|pods|a", "get|g|pods|b"], "get|g|pods|a,b", true),
            (&["get|g|pods|", "list|g|nodes|"], "get,list|g|pods,nodes|", false),
            (&["get,list|g|pods|", "get,list|g|nodes|"], "get,list|g|pods,nodes|", true),
            // Paths.
            (&["get|/a"], "get|/a", true),
            (&["get|/a"], "get|/a/b", false),
            (&["get|/a/*"], "get|/a/b", true),
            (&["get|/a/*"], "get|/a/b/*", true),
            (&["get|/a/b*"], "get|/a/*", false),
            (&["get|/a/**"], "get|/a/b", true),
            (&["*|*"], "get|/a", true),
            (&["get|/a"], "*|/a", false),
            (&["*|*|*|"], "get|/a", false),
        ];
        for (owned, wanted, want) in cases {
            let owned: Vec<Rule> = owned.iter().map(|o| rule(o)).collect();
            assert_eq!(uncovered(&owned, &[rule(wanted)]).is_empty(), *want, "{owned:?} {wanted}");
        }
    }

    #[test]
    fn a_rule_of_too_many_combinations_is_covered_whole_or_not() {
        let many: Vec<String> = (0..400).map(|i| format!("r{i}")).collect();
        let wanted = Rule {
            verbs: many.clone(),
            api_groups: vec!["g".to_owned()],
            resources: many,
            ..Rule::default()
        };
        assert!(uncovered(&[rule("*|*|*|")], std::slice::from_ref(&wanted)).is_empty());
        assert_eq!(uncovered(&[rule("get|g|r1|")], std::slice::from_ref(&wanted)), [wanted]);
    }

    #[test]
    fn many_rules_have_one_limit_together() {
        let some: Vec<String> = (0..300).map(|i| format!("r{i}")).collect();
        let one = Rule {
            verbs: some.clone(),
            api_groups: vec!["g".to_owned()],
            resources: some,
            ..Rule::default()
        };
        let all = vec![one; 50];
        assert!(uncovered(&[], &all).len() < LIMIT_COMBINATIONS + 50);
        assert!(uncovered(&[rule("*|*|*|")], &all).is_empty());
    }

    #[test]
    fn rules_of_one_resource_become_one() {
        let rules = ["get|g|pods|", "get|g|nodes|", "list,get|g|pods|", "get|g|pods|a", "get|/a", "put|/a"];
        let want = ["get,list|g|pods|", "get|g|nodes|", "get|g|pods|a", "get|/a", "put|/a"];
        let got = compact(rules.map(rule).to_vec());
        assert_eq!(got, want.map(rule));
    }
}
