//! `cargo xtask tidy`: the design's invariants, read from `cargo metadata` and from the source text.
//! Each rule gives a list of what breaks it; an empty list is a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::imports;

const FILE_LIMIT_LINES: usize = 1000;

/// Crates with no async runtime below them.
const RUNTIME_FREE: &[&str] = &[
    "stdx",
    "meta",
    "schema",
    "managedfields",
    "kinds",
    "cel",
    "reconcile",
    "controllers",
    "scheduler",
    "proxy",
    "dns",
];
/// Parts talk over the API only.
const PARTS: &[&str] =
    &["controllers", "scheduler", "proxy", "dns", "kubelet", "cri", "network", "reconcile", "control"];
const SERVER_SIDE: &[&str] = &["apiserver", "store", "watchcache", "kinds"];
/// A part that may use another one: the node agent stands on its runtime and network, controllers on reconcile.
const ALLOWED: &[(&str, &str)] = &[
    ("kubelet", "cri"),
    ("kubelet", "network"),
    ("kubelet", "control"),
    ("kubelet", "reconcile"),
    ("kubelet", "kinds"),
    ("control", "reconcile"),
    ("controllers", "reconcile"),
    ("scheduler", "reconcile"),
    ("proxy", "reconcile"),
    ("dns", "reconcile"),
];
/// A crate from outside and the only crates of ours that may name it.
const DOORS: &[(&str, &[&str])] = &[
    ("redb", &["store"]),
    ("hyper", &["wire"]),
    ("tonic", &["cri"]),
    ("rtnetlink", &["network"]),
    ("clap", &["corten", "xtask"]),
    ("anyhow", &["corten", "xtask", "testkit"]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    publish: Option<Vec<String>>,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDep>,
}

#[derive(Deserialize)]
struct NodeDep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    kind: Option<String>,
}

/// Runs every rule and prints what breaks them.
pub fn run(root: &Path) -> Result<()> {
    let metadata = metadata(root)?;
    let members: Vec<&Package> =
        metadata.packages.iter().filter(|p| metadata.workspace_members.contains(&p.id)).collect();
    let mut broken = Vec::new();
    broken.extend(borders(&members));
    broken.extend(doors(&members));
    broken.extend(runtime_free(&metadata, &members));
    broken.extend(manifests(&members));
    let files = files(root)?;
    broken.extend(imports::broken(root, &files)?);
    for file in files.iter().filter(|f| f.ends_with(".rs")) {
        let text = std::fs::read_to_string(root.join(file)).with_context(|| file.clone())?;
        broken.extend(source(file, &text));
    }
    for line in &broken {
        eprintln!("tidy: {line}");
    }
    if !broken.is_empty() {
        bail!("{} broken rules", broken.len());
    }
    println!("tidy: {} crates, all rules hold", members.len());
    Ok(())
}

fn metadata(root: &Path) -> Result<Metadata> {
    let out = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()?;
    if !out.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(serde_json::from_slice(&out.stdout)?)
}

/// Files that git tracks or would track, relative to the root.
pub fn files(root: &Path) -> Result<Vec<String>> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    if !out.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let text = String::from_utf8(out.stdout)?;
    Ok(text.lines().filter(|f| root.join(f).is_file()).map(str::to_owned).collect())
}

fn normal_dependencies(p: &Package) -> impl Iterator<Item = &str> {
    p.dependencies.iter().filter(|d| d.kind.is_none()).map(|d| d.name.as_str())
}

/// Parts never depend on the server side or on each other.
fn borders(members: &[&Package]) -> Vec<String> {
    let mut broken = Vec::new();
    for p in members.iter().filter(|p| PARTS.contains(&p.name.as_str())) {
        for d in normal_dependencies(p) {
            let crossing = SERVER_SIDE.contains(&d) || PARTS.contains(&d);
            if crossing && !ALLOWED.contains(&(p.name.as_str(), d)) {
                broken.push(format!(
                    "{} must not depend on {d}: the API is the only road between parts",
                    p.name
                ));
            }
        }
    }
    broken
}

/// Some outside crates have one door.
fn doors(members: &[&Package]) -> Vec<String> {
    let mut broken = Vec::new();
    for p in members {
        for d in normal_dependencies(p) {
            for (outside, inside) in DOORS {
                if d == *outside && !inside.contains(&p.name.as_str()) {
                    broken.push(format!(
                        "{} must not depend on {d}: its door is {}",
                        p.name,
                        inside.join(", ")
                    ));
                }
            }
        }
    }
    broken
}

/// No async runtime below the pure crates.
fn runtime_free(metadata: &Metadata, members: &[&Package]) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let edges: BTreeMap<&str, Vec<&str>> = metadata
        .resolve
        .nodes
        .iter()
        .map(|n| {
            let normal = n.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| k.kind.is_none()));
            (n.id.as_str(), normal.map(|d| d.pkg.as_str()).collect())
        })
        .collect();
    let mut broken = Vec::new();
    for p in members.iter().filter(|p| RUNTIME_FREE.contains(&p.name.as_str())) {
        let mut seen = BTreeSet::new();
        let mut todo = vec![p.id.as_str()];
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            if names.get(id) == Some(&"tokio") {
                broken.push(format!("{} must have no tokio below it", p.name));
            }
            todo.extend(edges.get(id).into_iter().flatten());
        }
    }
    broken
}

/// Folder = crate, never published, the workspace's lints.
fn manifests(members: &[&Package]) -> Vec<String> {
    let mut broken = Vec::new();
    for p in members {
        let path = Path::new(&p.manifest_path);
        let folder = path.parent().and_then(Path::file_name).and_then(|f| f.to_str());
        if folder != Some(p.name.as_str()) {
            broken.push(format!("{}: the folder must be named as the crate", p.manifest_path));
        }
        if p.publish.as_deref() != Some(&[]) {
            broken.push(format!("{}: publish must be false", p.name));
        }
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if !text.contains("[lints]\nworkspace = true") {
            broken.push(format!("{}: must take the workspace's lints", p.name));
        }
    }
    broken
}

/// Rules that are read from one source file.
fn source(file: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if file.contains("/generated/") {
        return broken;
    }
    let lines = text.lines().count();
    if lines > FILE_LIMIT_LINES {
        broken.push(format!("{file}: {lines} lines, at most {FILE_LIMIT_LINES}"));
    }
    if !text.starts_with("//!") && !file.ends_with("/tests.rs") {
        broken.push(format!("{file}: must start with //! that says what it is for"));
    }
    for (at, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        if code.contains(concat!("unsafe", " {")) && !file.starts_with("crates/sys/") {
            broken.push(format!("{file}:{}: unsafe belongs in sys", at + 1));
        }
        if is_ignored(code) {
            broken.push(format!("{file}:{}: a test is run or it is not there", at + 1));
        }
        if skips_alone(code) && !file.starts_with("crates/reference/") && !file.starts_with("xtask/") {
            broken
                .push(format!("{file}:{}: a test that checks nothing says so by reference::skipped", at + 1));
        }
    }
    broken
}

/// An attribute that leaves a test out, in any of its forms.
fn is_ignored(code: &str) -> bool {
    let bare: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    bare.starts_with("#[ignore") || (bare.starts_with("#[cfg_attr(") && bare.contains(",ignore"))
}

/// A line that tells the reader of a captured log, nobody else, that nothing was checked.
fn skips_alone(code: &str) -> bool {
    code.contains("println!(") && code.to_ascii_lowercase().contains(concat!("\"", "skipp"))
}

#[cfg(test)]
mod tests {
    use super::{files, is_ignored, skips_alone};

    #[test]
    fn files_that_git_does_not_tell_are_no_empty_list() {
        let dir = std::env::temp_dir().join(format!("corten-tidy-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let error = files(&dir).unwrap_err().to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(error.starts_with("git ls-files: ") && error.contains("not a git repository"), "{error}");
    }

    #[test]
    fn tests_that_are_left_out_are_found() {
        for code in
            ["#[ignore]", "#[ignore = \"slow\"]", "#[ ignore ]", "#[cfg_attr(debug_assertions, ignore)]"]
        {
            assert!(is_ignored(code), "{code}");
        }
        assert!(!is_ignored("#[cfg_attr(test, allow(dead_code))]"));
        for code in ["eprintln!(\"SKIPPED: no kubectl\");", "println!(\"skipped: x\");"] {
            assert!(skips_alone(code), "{code}");
        }
        assert!(!skips_alone("println!(\"{sent} requests\");"));
    }
}
