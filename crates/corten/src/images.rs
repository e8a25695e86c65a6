//! Images without a registry: `corten images`, the archives in a state directory's folder, and the example image that
//! every node has. Nothing here pulls.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cri::Runtime;
use cri::containerd::{DaemonError, Images, running_endpoint};
use cri::image::{HELLO_NAME, hello_image};
use serde::{Deserialize, Serialize};

use crate::cli;
use crate::clusters::record::Named;
use crate::host::need_root_to_look;
use crate::logging::say;
use crate::remains::{Remains, containerd_dir};
use crate::state::{self, StateDir};

/// Most archives of the folder that are loaded.
const ARCHIVE_LIMIT: usize = 1000;

/// `corten images`.
///
/// # Errors
/// When no node runs here, or an archive is refused.
pub async fn run(command: cli::ImagesCommand) -> Result<()> {
    need_root_to_look("corten images")?;
    match command {
        cli::ImagesCommand::Import { place, files } => {
            let mut nodes = Vec::new();
            for (_, dir) in nodes_of(&place)? {
                nodes.push(running(&dir).await?);
            }
            import(&nodes, &files).await
        }
        cli::ImagesCommand::List { place } => {
            let nodes = nodes_of(&place)?;
            for (name, dir) in &nodes {
                if nodes.len() > 1 {
                    say(format_args!("on {name}:"));
                }
                list(&running(dir).await?).await?;
            }
            Ok(())
        }
        cli::ImagesCommand::Export { place, file, names } => {
            let (_, dir) = nodes_of(&place)?.into_iter().next().context("a cluster has a node")?;
            running(&dir).await?.export(&names, &file).await?;
            say(format_args!("saved in {}", file.display()));
            Ok(())
        }
    }
}

/// Names and state directories of the nodes that are meant: all of a cluster with a name, or this machine's.
fn nodes_of(place: &cli::Place) -> Result<Vec<(String, PathBuf)>> {
    let Some(name) = &place.name else {
        return Ok(vec![(String::new(), place.state.state_dir.clone())]);
    };
    let named = Named::existing(&place.clusters.clusters_dir, name)?;
    Ok(named.members().map(|member| (member.name, member.state)).collect())
}

/// The images of the node that runs from a state directory.
async fn running(state_dir: &Path) -> Result<Images> {
    let nothing = || {
        format!(
            "no node runs from {}: {} starts one, and loads the archives in {}",
            state_dir.display(),
            state::command("up", state_dir),
            state_dir.join("images").display()
        )
    };
    if !state_dir.is_dir() {
        bail!(nothing());
    }
    let state = StateDir::open(state_dir)?;
    let remains = Remains::read(&state)?.with_context(nothing)?;
    let own = || running_endpoint(&containerd_dir(&state));
    let endpoint = remains.runtime_endpoint.or_else(own).with_context(nothing)?;
    Ok(Images::at(&endpoint).await?)
}

/// Whether the example image is on the node that runs from a state directory.
pub async fn has_example(state: &StateDir) -> bool {
    match running(state.path()).await {
        Ok(images) => images.has(HELLO_NAME).await.unwrap_or(false),
        Err(_) => false,
    }
}

/// Every archive is tried; those that failed are named, each with one line.
async fn import(nodes: &[Images], files: &[PathBuf]) -> Result<()> {
    let mut failed = 0;
    for file in files {
        match import_everywhere(nodes, file).await {
            Ok(names) => names.iter().for_each(say),
            Err(error) => {
                failed += 1;
                eprintln!("corten: {error}");
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} archives not loaded", files.len());
    }
    Ok(())
}

/// The names of the images in an archive, which are on every node then.
async fn import_everywhere(nodes: &[Images], file: &Path) -> Result<Vec<String>, DaemonError> {
    let mut names = Vec::new();
    for images in nodes {
        names = images.import(file).await?;
    }
    Ok(names)
}

async fn list(images: &Images) -> Result<()> {
    let mut rows = Vec::new();
    for image in images.client().list_images(None).await? {
        let id = image.id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
        let names = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
        rows.extend(names.iter().map(|name| (name.clone(), id.clone(), image.size)));
    }
    rows.sort();
    let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or_default().max(4);
    say(format_args!("{:width$}  {:12}  BYTES", "NAME", "ID"));
    for (name, id, bytes) in rows {
        say(format_args!("{name:width$}  {id:12}  {bytes}"));
    }
    Ok(())
}

/// An archive that was loaded: the file as it was then, and the images in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Loaded {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: i128,
    names: Vec<String>,
}

/// What was loaded, by the name of the file.
type Record = BTreeMap<String, Loaded>;

/// Loads the example image and the archives in the folder, those that are there already excepted. A bad archive is
/// told in the log and keeps nothing from starting.
pub async fn load(state: &StateDir, images: &Images) {
    if let Err(error) = example(state, images).await {
        tracing::warn!("the example image {HELLO_NAME} is not loaded: {error:#}");
    }
    if let Err(error) = folder(state, images).await {
        tracing::warn!("images in {} are not loaded: {error:#}", state.images().display());
    }
}

async fn example(state: &StateDir, images: &Images) -> Result<()> {
    if !images.has(HELLO_NAME).await? {
        images.add(&hello_image()?, &[HELLO_NAME], state.path()).await?;
    }
    Ok(())
}

async fn folder(state: &StateDir, images: &Images) -> Result<()> {
    let dir = state.images();
    if !dir.is_dir() {
        return Ok(());
    }
    let record = read_record(&state.images_record());
    let mut now = Record::new();
    for path in archives(&dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match archive(images, &path, record.get(&name)).await {
            Ok(loaded) => drop(now.insert(name, loaded)),
            Err(error) => tracing::warn!("not loaded: {error:#}"),
        }
    }
    if now != record {
        std::fs::write(state.images_record(), serde_json::to_vec_pretty(&now)?)?;
    }
    Ok(())
}

/// The folder's archives in the order of their names; what is something else is said.
fn archives(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "tar") {
            found.push(path);
        } else {
            tracing::warn!("{} is left alone: image archives end in .tar", path.display());
        }
    }
    found.sort();
    if found.len() > ARCHIVE_LIMIT {
        bail!("{} archives, at most {ARCHIVE_LIMIT}", found.len());
    }
    Ok(found)
}

async fn archive(images: &Images, path: &Path, before: Option<&Loaded>) -> Result<Loaded> {
    let file = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    let modified = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    if let Some(same) = before.filter(|b| b.bytes == file.len() && b.modified == modified)
        && all_there(images, &same.names).await?
    {
        return Ok(same.clone());
    }
    let names = images.import(path).await?;
    tracing::info!("loaded {} from {}", names.join(", "), path.display());
    Ok(Loaded { bytes: file.len(), modified, names })
}

async fn all_there(images: &Images, names: &[String]) -> Result<bool> {
    for name in names {
        if !images.has(name).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A record that cannot be read costs loading once more, nothing else.
fn read_record(path: &Path) -> Record {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}
