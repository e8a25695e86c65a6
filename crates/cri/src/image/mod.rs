//! Container images made from files in memory: no network, no daemon, no image builder.
//!
//! The same input gives the same bytes, and so the same digests: times are 0, order is the
//! caller's, layers are not compressed. [`pause`] is the sandbox image every cluster needs, [`hello`] an
//! application to begin with.

mod archive;
mod elf;
mod hello;
mod pause;
mod read;

pub use archive::{Descriptor, Image};
pub use hello::{HELLO_NAME, HELLO_PORT, hello_image, hello_program};
pub use pause::{PAUSE_NAME, pause_image, pause_program};
pub use read::{ArchiveError, archive_names};

use archive::TarWriter;

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A path or size that a tar header cannot hold.
    #[error("image file {path}: {source}")]
    File { path: String, source: std::io::Error },
    /// There is no built-in program for this machine.
    #[error("no built-in image for architecture {0}: there are those for x86_64 and aarch64")]
    Architecture(String),
}

/// Collects the files and the configuration of a one-layer image.
#[derive(Debug, Default)]
pub struct ImageBuilder {
    layer: TarWriter,
    error: Option<ImageError>,
    config: Config,
}

#[derive(Debug, Default)]
struct Config {
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    env: Vec<String>,
    user: String,
    working_dir: String,
    stop_signal: String,
    ports: Vec<String>,
    labels: Vec<(String, String)>,
}

impl ImageBuilder {
    /// An empty image for this machine's architecture.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a regular file with permission bits `mode`.
    pub fn file(mut self, path: &str, content: &[u8], mode: u32) -> Self {
        let result = self.layer.file(path, content, mode);
        self.note(path, result)
    }

    /// Adds a directory with permission bits `mode`.
    pub fn dir(mut self, path: &str, mode: u32) -> Self {
        let result = self.layer.dir(path, mode);
        self.note(path, result)
    }

    /// Adds a symbolic link at `path` to `target`.
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        let result = self.layer.symlink(path, target);
        self.note(path, result)
    }

    /// The program and its fixed arguments.
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.config.entrypoint = words.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    /// Arguments that a container may replace.
    pub fn cmd(mut self, words: &[&str]) -> Self {
        self.config.cmd = words.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.config.env.push(format!("{name}={value}"));
        self
    }

    /// `uid`, `uid:gid` or names known to the image's `/etc/passwd`.
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.config.user);
        self
    }

    /// The directory the program starts in.
    pub fn working_dir(mut self, path: &str) -> Self {
        path.clone_into(&mut self.config.working_dir);
        self
    }

    /// The signal that asks the program to end, e.g. `SIGQUIT`.
    pub fn stop_signal(mut self, signal: &str) -> Self {
        signal.clone_into(&mut self.config.stop_signal);
        self
    }

    /// Declares a port, e.g. `8080/tcp`.
    pub fn port(mut self, port: &str) -> Self {
        self.config.ports.push(port.to_owned());
        self
    }

    /// Adds a label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.config.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Closes the layer and computes configuration, manifest and digests.
    ///
    /// Errors: the first file that did not fit into a tar.
    pub fn build(self) -> Result<Image, ImageError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let layer = self.layer.finish();
        let config = self.config.render(&Descriptor::digest_of(&layer));
        Ok(Image::new(layer, config))
    }

    fn note(mut self, path: &str, result: std::io::Result<()>) -> Self {
        if let (Err(source), None) = (result, &self.error) {
            self.error = Some(ImageError::File { path: path.to_owned(), source });
        }
        self
    }
}

impl Config {
    fn render(&self, diff_id: &str) -> Vec<u8> {
        use serde_json::{Map, Value, json};
        let mut config = Map::new();
        let mut put = |key: &str, value: Value| {
            let empty = match &value {
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                _ => false,
            };
            if !empty {
                config.insert(key.to_owned(), value);
            }
        };
        put("Cmd", json!(self.cmd));
        put("Entrypoint", json!(self.entrypoint));
        put("Env", json!(self.env));
        put("ExposedPorts", Value::Object(self.ports.iter().map(|p| (p.clone(), json!({}))).collect()));
        put("Labels", Value::Object(self.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect()));
        put("StopSignal", json!(self.stop_signal));
        put("User", json!(self.user));
        put("WorkingDir", json!(self.working_dir));
        let document = json!({
            "architecture": architecture(),
            "created": "1970-01-01T00:00:00Z",
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        document.to_string().into_bytes()
    }
}

/// This machine's architecture as images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Image {
        ImageBuilder::new()
            .dir("/tmp", 0o1777)
            .file("/bin/app", b"program", 0o755)
            .symlink("/app", "/bin/app")
            .entrypoint(&["/bin/app"])
            .cmd(&["serve"])
            .env("PORT", "8080")
            .user("1000:1000")
            .port("8080/tcp")
            .build()
            .unwrap()
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let (a, b) = (sample(), sample());
        assert_eq!(a.oci_archive(&["x/y:1"]), b.oci_archive(&["x/y:1"]));
        assert_eq!(a.manifest().digest, b.manifest().digest);
    }

    #[test]
    fn config_names_the_layer() {
        let image = sample();
        let config: serde_json::Value = serde_json::from_slice(image.config_bytes()).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], image.layer().digest.as_str());
        assert_eq!(config["config"]["Entrypoint"][0], "/bin/app");
        assert_eq!(config["config"]["User"], "1000:1000");
        assert!(config["config"].get("StopSignal").is_none());
    }

    #[test]
    fn a_path_too_long_for_tar_is_refused() {
        let path = format!("/{}", "x".repeat(300));
        let error = ImageBuilder::new().file(&path, b"", 0o644).build().unwrap_err();
        assert!(error.to_string().starts_with("image file /xxx"), "{error}");
    }
}
