//! A registry on loopback: `docker-registry serve` with a storage of its own, and the few requests
//! that push an image.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use cri::image::{Descriptor, Image};
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::netns::Netns;

/// How long the registry may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running registry; ended on drop. Its storage stays.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    /// Starts a registry on a free loopback port of the namespace (or of ours) with its storage
    /// below `dir`. Several registries may serve one storage.
    pub fn start(dir: &Path, netns: Option<&Netns>) -> Result<Self> {
        Self::start_at(dir, netns, "127.0.0.1:0")
    }

    /// The same at a given address.
    pub fn start_at(dir: &Path, netns: Option<&Netns>, address: &str) -> Result<Self> {
        let config = write_config(dir, address)?;
        let mut command = match netns {
            Some(netns) => netns.command("docker-registry"),
            None => Command::new("docker-registry"),
        };
        let mut child = command
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("docker-registry is not installed: apt-get install docker-registry")?;
        let log = child.stderr.take().context("no stderr")?;
        match listening_address(log) {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Pushes an image as `repository:tag`. The registry must be in our network namespace.
    pub async fn push(&self, image: &Image, repository: &str, tag: &str) -> Result<()> {
        push(&self.url(), image, repository, tag).await
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(dir: &Path, address: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let storage = serde_json::json!({ "rootdirectory": dir.join("storage") });
    // JSON is YAML.
    let config = serde_json::json!({
        "version": 0.1,
        "log": { "level": "info" },
        "storage": { "filesystem": storage, "delete": { "enabled": true } },
        "http": { "addr": address },
    });
    let path = dir.join(format!("{}.json", crate::unique("config")));
    std::fs::write(&path, config.to_string()).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Reads the log up to the line that tells the port, and the rest in the background.
fn listening_address(log: impl std::io::Read + Send + 'static) -> Result<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // Nobody listens any more once the address was found; the pipe must still be drained.
            let _ = sender.send(line);
        }
    });
    let mut seen = Vec::new();
    loop {
        match receiver.recv_timeout(START_LIMIT) {
            Ok(line) => match line.split("listening on ").nth(1) {
                Some(rest) => {
                    let address = rest.split(['"', ' ', ',']).next().unwrap_or(rest);
                    return Ok(address.to_owned());
                }
                None => seen.push(line),
            },
            Err(_) => bail!("docker-registry does not listen:\n{}", seen.join("\n")),
        }
    }
}

/// Pushes an image to the registry at `url` over plain HTTP: blobs first, then the manifest.
pub async fn push(url: &str, image: &Image, repository: &str, tag: &str) -> Result<()> {
    for (descriptor, bytes) in [(image.layer(), image.layer_bytes()), (image.config(), image.config_bytes())]
    {
        push_blob(url, repository, descriptor, bytes).await?;
    }
    let request = Request::put(format!("{url}/v2/{repository}/manifests/{tag}"))
        .header(CONTENT_TYPE, image.manifest().media_type)
        .body(Full::from(Bytes::copy_from_slice(image.manifest_bytes())))?;
    send(request, StatusCode::CREATED).await?;
    Ok(())
}

async fn push_blob(url: &str, repository: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
    let start = Request::post(format!("{url}/v2/{repository}/blobs/uploads/")).body(Full::default())?;
    let answer = send(start, StatusCode::ACCEPTED).await?;
    let location = answer.headers().get(LOCATION).context("an upload without a location")?.to_str()?;
    let location = if location.starts_with('/') { format!("{url}{location}") } else { location.to_owned() };
    let separator = if location.contains('?') { '&' } else { '?' };
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("{location}{separator}digest={}", descriptor.digest))
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(Full::from(Bytes::copy_from_slice(bytes)))?;
    send(request, StatusCode::CREATED).await?;
    Ok(())
}

async fn send(request: Request<Full<Bytes>>, want: StatusCode) -> Result<Response<Bytes>> {
    let what = format!("{} {}", request.method(), request.uri());
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.with_context(|| what.clone())?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    if parts.status == want {
        return Ok(Response::from_parts(parts, body));
    }
    Err(anyhow!("{what}: {}: {}", parts.status, String::from_utf8_lossy(&body)))
}
