//! The image store of a containerd, ours or one that was there: archives go in and out of it by `ctr`, which comes
//! with containerd. Nothing is ever pulled here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::config::Layout;
use super::{DaemonError, find_program, supervise};
use crate::image::{Image, archive_names};
use crate::{CriClient, Runtime, Timeouts, facts, v1};

/// How long an imported image may take to show in the runtime.
const SHOW_LIMIT: Duration = Duration::from_secs(30);
/// Time between two looks for it.
const SHOW_POLL: Duration = Duration::from_millis(10);

/// A containerd's images.
#[derive(Debug, Clone)]
pub struct Images {
    socket: PathBuf,
    snapshotter: String,
    client: CriClient,
}

impl Images {
    pub(super) fn new(socket: &Path, snapshotter: &str, client: CriClient) -> Self {
        Self { socket: socket.to_owned(), snapshotter: snapshotter.to_owned(), client }
    }

    /// Those of the containerd at a CRI endpoint.
    ///
    /// # Errors
    /// When nothing answers there, or what answers is another runtime.
    pub async fn at(endpoint: &str) -> Result<Self, DaemonError> {
        let client = CriClient::new(endpoint, Timeouts::default())?;
        let runtime = client.version().await?.runtime_name;
        if runtime != "containerd" {
            return Err(DaemonError::Foreign { endpoint: endpoint.to_owned(), runtime });
        }
        let snapshotter = facts::of_runtime(&client.status(true).await?).snapshotter;
        let socket = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        Ok(Self::new(Path::new(socket), snapshotter.as_deref().unwrap_or("overlayfs"), client))
    }

    /// The client of the runtime that has the images.
    pub fn client(&self) -> &CriClient {
        &self.client
    }

    /// Whether an image of that full name is there.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub async fn has(&self, name: &str) -> Result<bool, DaemonError> {
        let spec = v1::ImageSpec { image: name.to_owned(), ..Default::default() };
        Ok(self.client.image_status(spec, false).await?.image.is_some())
    }

    /// Puts a built image into the store under each full name; the archive is for a moment in `dir`.
    ///
    /// # Errors
    /// When it cannot be written or is refused.
    pub async fn add(&self, image: &Image, names: &[&str], dir: &Path) -> Result<(), DaemonError> {
        let hex = image.manifest().digest.trim_start_matches("sha256:");
        let path = dir.join(format!("import-{hex}.tar"));
        tokio::fs::write(&path, image.oci_archive(names)).await.map_err(DaemonError::io("write", &path))?;
        let result = self.import(&path).await;
        tokio::fs::remove_file(&path).await.map_err(DaemonError::io("remove", &path))?;
        result.map(drop)
    }

    /// Imports an OCI or docker archive; gives the names of its images.
    ///
    /// # Errors
    /// When it is damaged, has no names, or is refused.
    pub async fn import(&self, archive: &Path) -> Result<Vec<String>, DaemonError> {
        let file = archive.to_owned();
        let names = tokio::task::spawn_blocking(move || archive_names(&file))
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
            .map_err(|source| DaemonError::Archive { path: archive.to_owned(), source })?;
        let mut command = self.ctr()?;
        command.args(["import", "--snapshotter", &self.snapshotter]).arg(archive);
        run(command, &format!("import of {}", archive.display())).await?;
        for name in &names {
            self.wait_for(name).await?;
        }
        Ok(names)
    }

    /// Saves images under their names as an archive, which is there whole or not at all.
    ///
    /// # Errors
    /// When one of them is not there, or the file cannot be written.
    pub async fn export(&self, names: &[String], file: &Path) -> Result<(), DaemonError> {
        let mut partial = file.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut command = self.ctr()?;
        command.arg("export").arg(&partial).args(names);
        let saved = run(command, &format!("export to {}", file.display())).await;
        let renamed = match saved {
            Ok(()) => std::fs::rename(&partial, file).map_err(DaemonError::io("write", file)),
            Err(error) => Err(error),
        };
        if renamed.is_err() {
            // It may not have been made at all.
            let _ = std::fs::remove_file(&partial);
        }
        renamed
    }

    fn ctr(&self) -> Result<Command, DaemonError> {
        let program =
            find_program("ctr").ok_or(DaemonError::Missing { program: "ctr", package: "containerd" })?;
        let mut command = Command::new(program);
        command.arg("--address").arg(&self.socket).args(["--namespace", "k8s.io", "images"]);
        Ok(command)
    }

    /// The CRI side learns of an imported image by an event, a little later.
    async fn wait_for(&self, name: &str) -> Result<(), DaemonError> {
        let wait = async {
            while !self.has(name).await? {
                tokio::time::sleep(SHOW_POLL).await;
            }
            Ok(())
        };
        tokio::time::timeout(SHOW_LIMIT, wait).await.unwrap_or_else(|_| {
            let output = "it does not show in the runtime".to_owned();
            Err(DaemonError::Command { command: format!("import of {name}"), output })
        })
    }
}

/// The endpoint of the daemon on a directory, when it runs.
#[must_use]
pub fn running_endpoint(dir: &Path) -> Option<String> {
    let layout = Layout::new(dir);
    supervise::find(&layout)?;
    Some(format!("unix://{}", layout.socket.display()))
}

/// Runs a program whose error is its last line.
async fn run(mut command: Command, what: &str) -> Result<(), DaemonError> {
    let output = command.output().await.map_err(DaemonError::io("run", Path::new("ctr")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.trim().lines().last().unwrap_or("no reason was given");
    let output = line.trim_start_matches("ctr: ").to_owned();
    Err(DaemonError::Command { command: what.to_owned(), output })
}
