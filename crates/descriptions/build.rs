//! Makes the packed table of descriptions from the source of the crate k8s-openapi, which carries upstream's API
//! documentation. Cargo says where that source is: among the registry's, vendored, or anywhere else.

#[path = "src/extract.rs"]
mod extract;

use std::env;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use extract::Described;

/// The crate whose source is read, and the folder in it of the version of the API that is served.
const CRATE: &str = "k8s-openapi";
const FOLDER: &str = "src/v1_37";
/// Fewer descriptions than this are a sign that the source is written differently from what is understood.
const TYPES_MIN: usize = 700;
const FIELDS_MIN: usize = 2800;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/extract.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    let folder = source()?.join(FOLDER);
    let mut all = Vec::new();
    collect(&folder, &mut all)?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let fields: usize = all.iter().map(|t| t.fields.len()).sum();
    if all.len() < TYPES_MIN || fields < FIELDS_MIN {
        return Err(format!("{}: only {} types with {fields} fields", folder.display(), all.len()).into());
    }
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(extract::table(&all).as_bytes())?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("table.deflate"), packer.finish()?)?;
    Ok(())
}

/// All types below a folder.
fn collect(folder: &Path, out: &mut Vec<Described>) -> Result<(), Box<dyn Error>> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, out)?;
        } else {
            out.extend(extract::types(&std::fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// The folder of the crate. What `cargo build` did not need may not have been fetched: then Cargo does it.
fn source() -> Result<PathBuf, Box<dyn Error>> {
    let mut why = String::new();
    for offline in [true, false] {
        let mut cargo = Command::new(env::var_os("CARGO").ok_or("CARGO is not set")?);
        cargo.args(["metadata", "--format-version", "1", "--filter-platform", &env::var("TARGET")?]);
        cargo.args(offline.then_some("--offline"));
        let answer = cargo.output()?;
        if answer.status.success() {
            let manifest = manifest(&String::from_utf8(answer.stdout)?);
            let manifest = manifest.ok_or_else(|| format!("cargo metadata lists no {CRATE}"))?;
            return Ok(manifest.parent().ok_or("a manifest is in a folder")?.to_owned());
        }
        why = String::from_utf8_lossy(&answer.stderr).into_owned();
    }
    Err(format!("cargo metadata, to find the source of {CRATE}: {why}").into())
}

/// The path of the crate's manifest in what `cargo metadata` writes. A package begins with its name and version; a
/// dependency on one has no version there.
fn manifest(metadata: &str) -> Option<PathBuf> {
    let (_, rest) = metadata.split_once(&format!(r#"{{"name":"{CRATE}","version":""#))?;
    let (_, rest) = rest.split_once(r#""manifest_path":"#)?;
    Some(extract::literal(rest)?.into())
}
