//! A registry on loopback: `docker-registry serve` with a storage of its own, and the few requests
//! that push an image.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cri::image::{Descriptor, Image};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::netns::Netns;

/// How long the registry may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Longest answer read from it.
const ANSWER_LIMIT_BYTES: u64 = 1024 * 1024;

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
    let host = url.strip_prefix("http://").context("only http:// is known")?;
    for (descriptor, bytes) in [(image.layer(), image.layer_bytes()), (image.config(), image.config_bytes())]
    {
        push_blob(host, repository, descriptor, bytes).await?;
    }
    let path = format!("/v2/{repository}/manifests/{tag}");
    send(host, "PUT", &path, image.manifest().media_type, image.manifest_bytes(), 201).await?;
    Ok(())
}

async fn push_blob(host: &str, repository: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
    let bytes_type = "application/octet-stream";
    let start = format!("/v2/{repository}/blobs/uploads/");
    let head = send(host, "POST", &start, bytes_type, &[], 202).await?;
    let location = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim())
    });
    let location = location.context("an upload without a location")?;
    let path = location.strip_prefix(&format!("http://{host}")).unwrap_or(location);
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}digest={}", descriptor.digest);
    send(host, "PUT", &path, bytes_type, bytes, 201).await?;
    Ok(())
}

/// One request on one connection; gives the answer's head. The registry is ours and on loopback,
/// and its answers are small: they are read to the end of the connection.
async fn send(
    host: &str,
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
    want: u16,
) -> Result<String> {
    let mut stream = TcpStream::connect(host).await.with_context(|| format!("connect to {host}"))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
    if status != Some(want) {
        bail!("{method} {path} at {host}: {answer}");
    }
    Ok(answer)
}
