//! Finds the reference data: one object of every kind with every field set, in JSON, YAML and protobuf.

use schema::TypeRef;

/// The forms of one fixture.
pub struct Fixture {
    pub name: String,
    pub ty: TypeRef<'static>,
    pub json: Vec<u8>,
    pub yaml: Vec<u8>,
    pub protobuf: Vec<u8>,
}

/// All fixtures of kinds that the table has; `None`, and the test counts as skipped, where there are none.
pub fn fixtures() -> Option<Vec<Fixture>> {
    let dir = reference::find("k8s-api/fixtures")?;
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .expect("the fixtures can be listed")
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    let all = names.into_iter().filter_map(|name| {
        let (gv, kind) = name.rsplit_once('.')?;
        let (group, version) = gv.rsplit_once('.')?;
        let group = if group == "core" { "" } else { group };
        let ty = schema::type_of(group, version, kind)?;
        let read = |ext: &str| {
            std::fs::read(dir.join(format!("{name}.{ext}"))).expect("each fixture has three forms")
        };
        Some(Fixture { ty, json: read("json"), yaml: read("yaml"), protobuf: read("pb"), name })
    });
    let all: Vec<Fixture> = all.collect();
    assert!(all.len() > 100, "only {} fixtures have a type", all.len());
    Some(all)
}
