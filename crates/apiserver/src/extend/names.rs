//! Whether the names of a definition may be used, what of them is accepted, and what is said about that.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/controller/status/naming_controller.go calculateNamesAndConditions

use std::collections::BTreeSet;

use kinds::apiextensions::approval::{self, Approval};
use serde_json::{Value as Json, json};

use super::conditions::{is_true, set};

/// What the definitions of a group use.
#[derive(Default)]
struct Taken<'a> {
    resources: BTreeSet<&'a str>,
    kinds: BTreeSet<&'a str>,
}

impl<'a> Taken<'a> {
    fn by(others: impl Iterator<Item = &'a Json>) -> Self {
        let mut taken = Taken::default();
        for other in others {
            let names = &other["status"]["acceptedNames"];
            taken.resources.extend(["plural", "singular"].iter().filter_map(|f| names[*f].as_str()));
            taken
                .resources
                .extend(names["shortNames"].as_array().into_iter().flatten().filter_map(Json::as_str));
            taken.kinds.extend(["kind", "listKind"].iter().filter_map(|f| names[*f].as_str()));
        }
        taken.resources.remove("");
        taken.kinds.remove("");
        taken
    }
}

/// A definition with what its status must say of its names: `others` are those of its group.
#[must_use]
pub fn decide<'a>(definition: &Json, others: impl Iterator<Item = &'a Json>, now: &str) -> Json {
    let taken = Taken::by(others);
    let wanted = &definition["spec"]["names"];
    let mut accepted = definition["status"]["acceptedNames"].clone();
    let mut one = |field: &str, used: &BTreeSet<&str>, reason: &'static str| {
        let name = wanted[field].as_str().filter(|n| !n.is_empty())?;
        if used.contains(name) {
            return Some((reason, in_use(name)));
        }
        accepted[field] = name.into();
        None
    };
    // Of several conflicts the last one is told.
    let mut conflict = one("plural", &taken.resources, "PluralConflict");
    conflict = one("singular", &taken.resources, "SingularConflict").or(conflict);
    let kind = one("kind", &taken.kinds, "KindConflict");
    let kind = one("listKind", &taken.kinds, "ListKindConflict").or(kind);
    let short: Vec<&str> =
        wanted["shortNames"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let used: Vec<String> =
        short.iter().filter(|n| taken.resources.contains(*n)).map(|n| in_use(n)).collect();
    match used.is_empty() {
        true => put_list(&mut accepted, "shortNames", &wanted["shortNames"]),
        false => {
            let text = if used.len() == 1 { used[0].clone() } else { format!("[{}]", used.join(", ")) };
            conflict = Some(("ShortNamesConflict", text));
        }
    }
    let conflict = kind.or(conflict);
    put_list(&mut accepted, "categories", &wanted["categories"]);
    let mut new = definition.clone();
    new["status"]["acceptedNames"] = accepted;
    let established = is_true(&new, "Established");
    match &conflict {
        Some((reason, message)) => {
            set(&mut new, "NamesAccepted", false, reason, message, now);
            if !established {
                set(&mut new, "Established", false, "NotAccepted", "not all names are accepted", now);
            }
        }
        None => {
            set(&mut new, "NamesAccepted", true, "NoConflicts", "no conflicts found", now);
            if !established {
                let message = "the initial names have been accepted";
                set(&mut new, "Established", true, "InitialNamesAccepted", message, now);
            }
        }
    }
    tell_approval(&mut new, now);
    new
}

fn in_use(name: &str) -> String {
    format!("{} is already in use", meta::field::quoted(name))
}

fn put_list(accepted: &mut Json, field: &str, wanted: &Json) {
    let Some(map) = accepted.as_object_mut() else {
        *accepted = json!({});
        return put_list(accepted, field, wanted);
    };
    match wanted.as_array().filter(|l| !l.is_empty()) {
        Some(list) => map.insert(field.to_owned(), list.clone().into()),
        None => map.remove(field),
    };
}

// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/controller/apiapproval/apiapproval_controller.go
fn tell_approval(new: &mut Json, now: &str) {
    let text = |o: &Json| o.as_str().unwrap_or_default().to_owned();
    let said = text(&new["metadata"]["annotations"][approval::ANNOTATION]);
    let approval = approval::of_group(&text(&new["spec"]["group"]), &said);
    let complaint = approval::complaint(&approval).unwrap_or_default();
    let (status, reason, message) = match &approval {
        Approval::NotNeeded => return,
        Approval::Approved(url) => (true, "ApprovedAnnotation", format!("approved in {url}")),
        Approval::Bypassed(why) => {
            (false, "UnapprovedAnnotation", format!("not approved: {}", meta::field::quoted(why)))
        }
        Approval::Missing => (false, "MissingAnnotation", complaint),
        Approval::Invalid(_) => (false, "InvalidAnnotation", complaint),
    };
    set(new, "KubernetesAPIApprovalPolicyConformant", status, reason, &message, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn definition(plural: &str, kind: &str, short: &[&str]) -> Json {
        json!({
            "metadata": {"name": format!("{plural}.example.com")},
            "spec": {
                "group": "example.com",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"), "shortNames": short},
            },
            "status": {"acceptedNames": {"plural": "", "kind": ""}, "conditions": []},
        })
    }

    fn reasons(o: &Json) -> Vec<String> {
        let all = o["status"]["conditions"].as_array().unwrap();
        let text = |c: &Json, f: &str| c[f].as_str().unwrap().to_owned();
        all.iter()
            .map(|c| format!("{}={} {}", text(c, "type"), text(c, "status"), text(c, "reason")))
            .collect()
    }

    #[test]
    fn the_first_gets_its_names_and_the_second_does_not() {
        let first = decide(&definition("widgets", "Widget", &["w"]), std::iter::empty(), NOW);
        assert_eq!(
            reasons(&first),
            ["NamesAccepted=True NoConflicts", "Established=True InitialNamesAccepted"]
        );
        assert_eq!(first["status"]["acceptedNames"], first["spec"]["names"]);
        for (other, reason, message) in [
            (definition("widgets2", "Widget", &[]), "ListKindConflict", "\"WidgetList\" is already in use"),
            (definition("w", "Other", &[]), "PluralConflict", "\"w\" is already in use"),
            (
                definition("others", "Other", &["w", "widgets"]),
                "ShortNamesConflict",
                "[\"w\" is already in use, \"widgets\" is already in use]",
            ),
        ] {
            let second = decide(&other, [&first].into_iter(), NOW);
            assert_eq!(
                reasons(&second),
                [format!("NamesAccepted=False {reason}"), "Established=False NotAccepted".into()]
            );
            assert_eq!(second["status"]["conditions"][0]["message"], message);
        }
        let again = decide(&first, std::iter::empty(), "2027-01-01T00:00:00Z");
        assert_eq!(again, first, "nothing changes, times included");
    }

    #[test]
    fn who_is_established_stays_so() {
        let mut first = decide(&definition("widgets", "Widget", &[]), std::iter::empty(), NOW);
        let second = decide(&definition("gadgets", "Gadget", &["g"]), [&first].into_iter(), NOW);
        first["spec"]["names"]["shortNames"] = json!(["g"]);
        let first = decide(&first, [&second].into_iter(), NOW);
        assert_eq!(
            reasons(&first),
            ["NamesAccepted=False ShortNamesConflict", "Established=True InitialNamesAccepted"]
        );
        assert_eq!(first["status"]["acceptedNames"]["shortNames"], Json::Null);
    }

    #[test]
    fn groups_of_kubernetes_say_who_approved() {
        let mut o = definition("widgets", "Widget", &[]);
        o["spec"]["group"] = "x.k8s.io".into();
        o["metadata"]["annotations"] =
            json!({approval::ANNOTATION: "https://github.com/kubernetes/kubernetes/pull/1"});
        let told = decide(&o, std::iter::empty(), NOW);
        assert_eq!(reasons(&told)[2], "KubernetesAPIApprovalPolicyConformant=True ApprovedAnnotation");
    }
}
