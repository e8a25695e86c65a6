//! Revisions.

use super::*;
use crate::shared::revision::Data;

/// Numbers and images, by number.
fn history(w: &World) -> Vec<(i64, String)> {
    let all = w.objects.iter().filter(|((r, _), _)| r == "controllerrevisions");
    let mut out: Vec<(i64, String)> = all
        .map(|(_, r)| {
            let image = r["data"]["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
            (r["revision"].as_i64().unwrap(), image.to_owned())
        })
        .collect();
    out.sort();
    out
}

fn is(want: &[(i64, &str)]) -> Vec<(i64, String)> {
    want.iter().map(|(n, i)| (*n, (*i).to_owned())).collect()
}

#[test]
fn each_template_is_a_revision_and_an_old_one_comes_back() {
    let mut w = World::new(&json!({}));
    w.finish();
    let first = w.object(&REVISIONS, w.names(&REVISIONS)[0]).clone();
    assert_eq!(first["data"]["spec"]["template"]["$patch"], "replace");
    let hash = first["metadata"]["labels"]["controller.kubernetes.io/hash"].as_str().unwrap();
    assert_eq!(first["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(
        (&first["metadata"]["labels"]["a"], &first["metadata"]["annotations"]["note"]),
        (&json!("b"), &json!("n"))
    );
    w.image("i:2");
    w.finish();
    assert_eq!(history(&w), is(&[(1, "i:1"), (2, "i:2")]));
    w.image("i:1");
    w.finish();
    assert_eq!(history(&w), is(&[(2, "i:2"), (3, "i:1")]));
    assert_eq!(w.set["status"]["currentRevision"], first["metadata"]["name"]);
    assert!(w.plan().is_empty());
}

#[test]
fn no_more_are_kept_than_wanted_but_those_in_use() {
    let mut w = World::new(
        &json!({"revisionHistoryLimit": 1, "updateStrategy": {"rollingUpdate": {"partition": 2}}}),
    );
    w.finish();
    for image in ["i:2", "i:3", "i:4", "i:5"] {
        w.image(image);
        w.finish();
    }
    // The first is that of pods below the partition.
    assert_eq!(history(&w), is(&[(1, "i:1"), (4, "i:4"), (5, "i:5")]));
    w.spec(&json!({"revisionHistoryLimit": 0, "updateStrategy": {"rollingUpdate": {"partition": 0}}}));
    w.finish();
    assert_eq!(history(&w), is(&[(5, "i:5")]));
}

fn named_next(w: &World) -> (String, Value) {
    let set: StatefulSet = meta::json::read(w.set.to_string().as_bytes()).unwrap();
    let data = Data::of(&set.spec.template);
    let mut template = set.spec.template.value();
    template["$patch"] = "replace".into();
    (state::next_revision(&set, &data).0, json!({"spec": {"template": template}}))
}

#[test]
fn a_name_that_another_revision_has_is_not_used() {
    let mut w = World::new(&json!({}));
    let (name, _) = named_next(&w);
    let mut other = json!({"metadata": {"name": name, "namespace": "d", "uid": "x", "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "ds", "controller": true}]},
        "data": {"spec": {}}, "revision": 1});
    w.put(&REVISIONS, &other);
    w.settle();
    assert_eq!((w.status("collisionCount"), w.names(&REVISIONS).len()), (1, 2));
    // One of an earlier set of this name, with the same template, goes before long.
    let mut w = World::new(&json!({}));
    let (_, data) = named_next(&w);
    other["metadata"]["ownerReferences"][0]["kind"] = "StatefulSet".into();
    other["data"] = data;
    w.put(&REVISIONS, &other);
    w.settle();
    assert!(w.retry && w.status("collisionCount") == 0 && w.pods().is_empty());
    w.objects.clear();
    w.finish();
    assert_eq!(w.names(&REVISIONS), [&*name]);
}

#[test]
fn revisions_without_an_owner_are_adopted() {
    let mut w = World::new(&json!({}));
    w.finish();
    let name = w.names(&REVISIONS)[0].to_owned();
    w.change(&REVISIONS, &name, &json!({"metadata": {"ownerReferences": []}}));
    w.settle();
    assert_eq!(w.object(&REVISIONS, &name)["metadata"]["ownerReferences"][0]["uid"], "set");
    assert_eq!(w.names(&REVISIONS).len(), 1);
    // Not by one that is on its way out on the server, whatever the caches say.
    w.change(&REVISIONS, &name, &json!({"metadata": {"ownerReferences": []}}));
    w.turn();
    let mut live = w.set.clone();
    live["metadata"]["deletionTimestamp"] = at(0).to_string().into();
    w.answers.reads[0].1 = Ok(Answer::Object(live.to_string().into_bytes().into()));
    w.turn();
    assert!(w.retry && w.object(&REVISIONS, &name)["metadata"]["ownerReferences"] == json!([]));
}
