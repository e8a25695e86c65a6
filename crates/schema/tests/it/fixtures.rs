//! Finds the reference data: one object of every kind with every field set, in JSON, YAML and protobuf.

use std::path::{Path, PathBuf};

use schema::TypeRef;

/// The forms of one fixture.
pub struct Fixture {
    pub name: String,
    pub ty: TypeRef<'static>,
    pub json: Vec<u8>,
    pub yaml: Vec<u8>,
    pub protobuf: Vec<u8>,
}

/// The reference folder, or `None` (said on stderr) where there is none.
pub fn shared() -> Option<PathBuf> {
    let dir = match std::env::var_os("CORTEN_SHARED") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let dir = dir.join("k8s-api");
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: reference data not found");
    None
}

/// All fixtures of kinds that the table has; empty where the reference data is not there.
pub fn fixtures() -> Vec<Fixture> {
    let Some(dir) = shared() else { return Vec::new() };
    let mut names: Vec<String> = std::fs::read_dir(dir.join("fixtures"))
        .expect("the fixtures can be listed")
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    let all = names.into_iter().filter_map(|name| {
        let (gv, kind) = name.rsplit_once('.')?;
        let (group, version) = gv.rsplit_once('.')?;
        let group = if group == "core" { "" } else { group };
        let ty = schema::type_of(group, version, kind)?;
        let read =
            |ext: &str| std::fs::read(dir.join("fixtures").join(format!("{name}.{ext}"))).unwrap_or_default();
        Some(Fixture { ty, json: read("json"), yaml: read("yaml"), protobuf: read("pb"), name })
    });
    let all: Vec<Fixture> = all.collect();
    assert!(all.len() > 100, "only {} fixtures have a type", all.len());
    all
}
