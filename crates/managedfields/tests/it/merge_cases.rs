//! The cases of upstream's merge tests, as data in `testdata/merge`: operations, and what they lead to.
// k8s: structured-merge-diff/merge/*_test.go

use std::path::Path;
use std::sync::Arc;

use managedfields::{ApplyError, entry};
use meta::Gvk;
use schema::table::Table;
use schema::{HeldType, Map, Value, decode_yaml_plain, encode_plain};

use crate::harness::Object;

/// A type that holds anything: cases of deduced types stand below its field.
const OPEN: &str = "S t/v1.Root -k\n kind string -op 0\n apiVersion string -op 0\n o any -op 0\n";

/// What every type has besides.
const METADATA: &str = "S t/v1.Meta -
 managedFields []@t/v1.Entry -op 0 l=atomic
S t/v1.Entry -
 manager string -op 0
 operation string -op 0
 apiVersion string -op 0
 time time -op 0
 fieldsType string -op 0
 fieldsV1 fieldsv1 -op 0
 subresource string -op 0
";

#[test]
fn upstream() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/merge");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the cases") {
        let path = file.expect("a file").path();
        let text = std::fs::read(&path).expect("readable");
        let doc = decode_yaml_plain(&text).expect("YAML");
        let types = doc.str_at(&["types"]).to_owned();
        let open = types.trim() == "OPEN";
        let types = if open { OPEN.to_owned() } else { types };
        let api_version = " apiVersion string -op 0\n";
        let types = types.replace(api_version, &format!("{api_version} metadata @t/v1.Meta -op 0\n"));
        let types: &'static str = Box::leak((types + METADATA).into_boxed_str());
        let table = Arc::new(Table::load(types).expect("a table"));
        for case in doc.list_at(&["cases"]) {
            let name = format!("{}: {}", path.display(), case.str_at(&["name"]));
            run(case, HeldType::of(&table, "t/v1.Root").expect("the root"), open, &name);
            count += 1;
        }
    }
    assert!(count > 70, "only {count} cases were found");
}

fn object(value: &Value, open: bool) -> String {
    let mut value = decode_yaml_plain(value.as_str().unwrap_or("").as_bytes()).expect("YAML");
    if value.is_null() {
        value = Value::Map(Map::new());
    }
    if open {
        let mut outer = Map::new();
        outer.set("o", value);
        value = Value::Map(outer);
    }
    String::from_utf8(encode_plain(&value)).expect("JSON is UTF-8")
}

fn run(case: &Value, ty: HeldType, open: bool, name: &str) {
    let mut state = Object::new(ty);
    for op in case.list_at(&["ops"]) {
        let gvk =
            Gvk { group: "".into(), version: op.str_at(&["version"]).to_owned().into(), kind: "Root".into() };
        let text = object(op.get("object").unwrap_or(&Value::Null), open);
        let manager = op.str_at(&["manager"]);
        let wanted: Vec<&str> = op.list_at(&["conflicts"]).iter().filter_map(Value::as_str).collect();
        let done = match op.str_at(&["op"]) {
            "Update" => {
                state.update(&text, &gvk, manager);
                Ok(true)
            }
            sort => state.apply(&text, &gvk, manager, sort == "ForceApply"),
        };
        match done {
            Ok(_) => assert!(wanted.is_empty(), "{name}: no conflict"),
            Err(ApplyError::Conflicts(conflicts)) => {
                let with = |path: String| if open { path.replacen(".o", "", 1) } else { path };
                let mut got: Vec<String> = Vec::new();
                for (id, set) in &conflicts.0 {
                    got.extend(set.paths().into_iter().map(|p| format!("{} {}", id.manager, with(p))));
                }
                got.sort();
                assert_eq!(got, wanted, "{name}");
            }
            Err(e) => panic!("{name}: {e:?}"),
        }
    }
    check(case, &state, open, name);
}

fn check(case: &Value, state: &Object, open: bool, name: &str) {
    if let Some(want) = case.get("object") {
        // By the type null is absent.
        let ty = state.versions.0.get();
        let want = decode_yaml_plain(object(want, open).as_bytes()).expect("YAML");
        let mut want = decode_yaml_plain(&schema::encode_json(&state.decode(&want), ty)).expect("JSON");
        if open && want.get("o").is_none() {
            want.set_at(&["o"], Map::new());
        }
        let mut got =
            decode_yaml_plain(&schema::encode_json(&state.live, state.versions.0.get())).expect("JSON");
        for field in ["kind", "apiVersion", "metadata"] {
            got.remove_at(&[field]);
        }
        if open && got.get("o").is_none() {
            // Below the root nothing is an empty object.
            got.set_at(&["o"], Map::new());
        }
        assert_eq!(got, want, "{name}");
    }
    let Some(want) = case.get("managed").and_then(Value::as_map) else { return };
    let entries = entry::read(state.live.at(&["metadata", "managedFields"])).expect("entries");
    let got: Vec<(String, Vec<String>)> =
        entries.iter().map(|e| (e.id.manager.clone(), paths(e, open))).collect();
    let mut want: Vec<(String, Vec<String>)> = want
        .iter()
        .map(|(manager, set)| {
            let paths = set.list_at(&["paths"]).iter().filter_map(Value::as_str).map(str::to_owned);
            (manager.to_owned(), paths.collect())
        })
        .collect();
    // Who owns the root of a case alone owns nothing by upstream's count.
    let mut got: Vec<_> = got.into_iter().filter(|(_, paths)| !open || !paths.is_empty()).collect();
    got.sort();
    want.sort();
    assert_eq!(got, want, "{name}");
}

fn paths(entry: &managedfields::Entry, open: bool) -> Vec<String> {
    let mut paths = entry.fields().paths();
    if open {
        paths = paths.into_iter().filter_map(|p| p.strip_prefix(".o").map(str::to_owned)).collect();
        paths.retain(|p| !p.is_empty());
    }
    paths.sort();
    paths
}
