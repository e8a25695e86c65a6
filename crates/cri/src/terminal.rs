//! Commands on a terminal that has its size before their first instruction.
//!
//! CRI's Exec has no place for a size: a runtime's streaming server can only change it once the program runs, and by
//! then the program may have looked. containerd's own task service, on the same socket, takes the size with the
//! process. The process is the container's own with other arguments, as CRI's Exec makes it; a command must never get
//! more rights here than it would get there.
// k8s: (containerd) internal/cri/server/container_execsync.go execInternal

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use crate::{Error, Result};

/// Where containerd keeps the containers that it makes over CRI.
const NAMESPACE: &str = "k8s.io";
const CONTAINERS_GET: &str = "/containerd.services.containers.v1.Containers/Get";
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// Output on its way to a client.
const OUTPUT_BYTES: usize = 32 << 10;

/// What is to run on a terminal, in a container that runs.
#[derive(Clone, Debug)]
pub struct TerminalCommand {
    pub container_id: String,
    /// Names the process; unique among those of the container.
    pub exec_id: String,
    pub cmd: Vec<String>,
    /// Whether anything will be written to it.
    pub stdin: bool,
    /// Characters.
    pub columns: u16,
    pub rows: u16,
    /// Where its pipes are made; the runtime must see the same directory. Made when missing.
    pub pipes_dir: PathBuf,
}

/// A command that runs on a terminal. It runs on when this is dropped; its output is then thrown away.
pub struct Terminal {
    pub stdin: Option<pipe::Sender>,
    /// All it writes; ends when nobody holds the terminal any more.
    pub output: DuplexStream,
    pub control: TerminalControl,
    /// The exit code, or why it is not known; after the end of the output.
    pub end: oneshot::Receiver<Result<u32>>,
}

/// Changes a terminal that is in use.
#[derive(Clone, Debug)]
pub struct TerminalControl {
    channel: Channel,
    limit: Duration,
    container_id: String,
    exec_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetContainerRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    container: Option<ContainerRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerRecord {
    #[prost(message, optional, tag = "5")]
    spec: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExecProcessRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    stdin: String,
    #[prost(string, tag = "3")]
    stdout: String,
    #[prost(bool, tag = "5")]
    terminal: bool,
    #[prost(message, optional, tag = "6")]
    spec: Option<Any>,
    #[prost(string, tag = "7")]
    exec_id: String,
}

/// Starting, waiting for and deleting a process name it alike.
#[derive(Clone, PartialEq, prost::Message)]
struct ProcessRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WaitResponse {
    #[prost(uint32, tag = "1")]
    exit_status: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResizePtyRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
    #[prost(uint32, tag = "3")]
    width: u32,
    #[prost(uint32, tag = "4")]
    height: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CloseIoRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
    #[prost(bool, tag = "3")]
    stdin: bool,
}

/// An answer of which nothing is read.
#[derive(Clone, PartialEq, prost::Message)]
struct Nothing {}

/// One call of containerd's own services; without a limit it waits for ever.
async fn call<Q, A>(
    channel: &Channel,
    op: &'static str,
    path: &'static str,
    limit: Option<Duration>,
    ask: Q,
) -> Result<A>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let work = async {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.map_err(|e| tonic::Status::unavailable(e.to_string()))?;
        let mut request = tonic::Request::new(ask);
        let namespace = tonic::metadata::MetadataValue::from_static(NAMESPACE);
        request.metadata_mut().insert("containerd-namespace", namespace);
        let codec: tonic_prost::ProstCodec<Q, A> = tonic_prost::ProstCodec::default();
        client.unary(request, PathAndQuery::from_static(path), codec).await
    };
    let answer = match limit {
        None => work.await,
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(answer) => answer,
            Err(_) => return Err(Error::Timeout { op, message: format!("no answer within {limit:?}") }),
        },
    };
    answer.map(tonic::Response::into_inner).map_err(|s| Error::from_status(op, &s))
}

fn other(op: &'static str, message: impl Into<String>) -> Error {
    Error::Other { op, code: "Internal".to_owned(), message: message.into() }
}

/// The container's process with other arguments and a terminal of that size; `None` when the record is not one.
fn process(spec: &[u8], command: &TerminalCommand) -> Option<Vec<u8>> {
    let mut spec: Value = serde_json::from_slice(spec).ok()?;
    let process = spec.get_mut("process").filter(|p| p.is_object())?;
    process["terminal"] = json!(true);
    process["consoleSize"] = json!({"height": command.rows, "width": command.columns});
    process["args"] = json!(command.cmd);
    if let Some(all) = process.as_object_mut() {
        all.remove("commandLine");
    }
    let mut env = process["env"].as_array().cloned().unwrap_or_default();
    env.retain(|e| !e.as_str().is_some_and(|e| e.starts_with("TERM=")));
    env.push(json!("TERM=xterm"));
    process["env"] = Value::Array(env);
    serde_json::to_vec(process).ok()
}

/// The pipes of one process, in a directory of their own.
struct Pipes {
    dir: PathBuf,
    stdin: Option<PathBuf>,
    output: PathBuf,
}

impl Pipes {
    fn make(command: &TerminalCommand) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let dir = command.pipes_dir.join(&command.exec_id);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let pipes =
            Pipes { stdin: command.stdin.then(|| dir.join("stdin")), output: dir.join("output"), dir };
        for path in pipes.stdin.iter().chain([&pipes.output]) {
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        }
        Ok(pipes)
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        // What is left is only names without anybody behind them.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Starts a command on a terminal.
///
/// # Errors
/// [`Error::Unimplemented`] from a runtime that is no containerd, [`Error::NotFound`] without such a container; for a
/// command that does not start, the words of CRI's Exec.
pub(crate) async fn start(channel: &Channel, limit: Duration, command: TerminalCommand) -> Result<Terminal> {
    const OP: &str = "Exec";
    let ask = GetContainerRequest { id: command.container_id.clone() };
    let record: GetContainerResponse = call(channel, OP, CONTAINERS_GET, Some(limit), ask).await?;
    let spec = record.container.and_then(|c| c.spec).unwrap_or_default();
    let process = process(&spec.value, &command).ok_or_else(|| {
        other(OP, format!("the runtime tells no process of container {}", command.container_id))
    })?;
    let pipes = Pipes::make(&command)
        .map_err(|e| other(OP, format!("make pipes in {}: {e}", command.pipes_dir.display())))?;
    let open = |e: std::io::Error| other(OP, format!("open pipes in {}: {e}", pipes.dir.display()));
    let output = pipe::OpenOptions::new().open_receiver(&pipes.output).map_err(open)?;
    let control = TerminalControl {
        channel: channel.clone(),
        limit,
        container_id: command.container_id.clone(),
        exec_id: command.exec_id.clone(),
    };
    let exec = ExecProcessRequest {
        container_id: command.container_id,
        stdin: pipes.stdin.as_deref().map(shown).unwrap_or_default(),
        stdout: shown(&pipes.output),
        terminal: true,
        spec: Some(Any { type_url: PROCESS_TYPE.to_owned(), value: process }),
        exec_id: command.exec_id,
    };
    control.exec(exec).await?;
    if let Err(e) = control.start().await {
        control.delete().await;
        return Err(e);
    }
    // Opened both ways, since the runtime's end of it may be a moment late.
    let stdin = pipes.stdin.as_deref();
    let stdin = stdin.map(|p| pipe::OpenOptions::new().read_write(true).open_sender(p)).transpose();
    let stdin = stdin.map_err(|e| other(OP, format!("open pipes in {}: {e}", pipes.dir.display())))?;
    let (near, far) = tokio::io::duplex(OUTPUT_BYTES);
    let (send, end) = oneshot::channel();
    tokio::spawn(see_to_the_end(control.clone(), pipes, output, near, send));
    Ok(Terminal { stdin, output: far, control, end })
}

/// Carries the output, waits for the exit code and clears up, whether or not anybody still wants to know.
async fn see_to_the_end(
    control: TerminalControl,
    pipes: Pipes,
    mut from: pipe::Receiver,
    mut to: DuplexStream,
    end: oneshot::Sender<Result<u32>>,
) {
    let mut buffer = vec![0; OUTPUT_BYTES];
    let mut wanted = true;
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        wanted = wanted && to.write_all(&buffer[..n]).await.is_ok();
    }
    let _ = to.shutdown().await;
    let code = control.wait().await;
    control.delete().await;
    drop(pipes);
    let _ = end.send(code);
}

impl TerminalControl {
    fn named(&self) -> ProcessRequest {
        ProcessRequest { container_id: self.container_id.clone(), exec_id: self.exec_id.clone() }
    }

    async fn exec(&self, ask: ExecProcessRequest) -> Result<()> {
        let path = "/containerd.services.tasks.v1.Tasks/Exec";
        let made: Result<Nothing> = call(&self.channel, "Exec", path, Some(self.limit), ask).await;
        made.map(|_| ()).map_err(|e| match e {
            Error::Other { .. } => {
                let id = &self.exec_id;
                other(
                    "Exec",
                    format!("failed to exec in container: failed to create exec \"{id}\": {}", e.message()),
                )
            }
            e => e,
        })
    }

    async fn start(&self) -> Result<()> {
        let path = "/containerd.services.tasks.v1.Tasks/Start";
        let started: Result<Nothing> =
            call(&self.channel, "Exec", path, Some(self.limit), self.named()).await;
        started.map(|_| ()).map_err(|e| {
            let id = &self.exec_id;
            other(
                "Exec",
                format!("failed to exec in container: failed to start exec \"{id}\": {}", e.message()),
            )
        })
    }

    async fn wait(&self) -> Result<u32> {
        let path = "/containerd.services.tasks.v1.Tasks/Wait";
        let end: WaitResponse = call(&self.channel, "Exec", path, None, self.named()).await?;
        Ok(end.exit_status)
    }

    async fn delete(&self) {
        let path = "/containerd.services.tasks.v1.Tasks/DeleteProcess";
        let gone: Result<Nothing> = call(&self.channel, "Exec", path, Some(self.limit), self.named()).await;
        if let Err(e) = gone {
            tracing::debug!("exec {} of container {} not deleted: {e}", self.exec_id, self.container_id);
        }
    }

    /// Gives the terminal another size, in characters.
    ///
    /// # Errors
    /// When the command has ended, or the runtime is away.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let ask = ResizePtyRequest {
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
            width: u32::from(columns),
            height: u32::from(rows),
        };
        let path = "/containerd.services.tasks.v1.Tasks/ResizePty";
        let done: Result<Nothing> = call(&self.channel, "Exec", path, Some(self.limit), ask).await;
        done.map(|_| ())
    }

    /// Says that nothing more is written to the command.
    ///
    /// # Errors
    /// When the command has ended, or the runtime is away.
    pub async fn close_stdin(&self) -> Result<()> {
        let ask = CloseIoRequest {
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
            stdin: true,
        };
        let path = "/containerd.services.tasks.v1.Tasks/CloseIO";
        let done: Result<Nothing> = call(&self.channel, "Exec", path, Some(self.limit), ask).await;
        done.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> TerminalCommand {
        TerminalCommand {
            container_id: "c".to_owned(),
            exec_id: "e".to_owned(),
            cmd: vec!["top".to_owned()],
            stdin: true,
            columns: 97,
            rows: 31,
            pipes_dir: std::env::temp_dir().join(format!("corten-terminal-{}", std::process::id())),
        }
    }

    #[test]
    fn a_process_is_the_containers_with_arguments_and_a_size() {
        let spec = json!({"process": {"args": ["web"], "commandLine": "web", "cwd": "/", "user": {"uid": 7},
            "noNewPrivileges": true, "env": ["A=1", "TERM=dumb"]}, "root": {}});
        let got = process(spec.to_string().as_bytes(), &command()).unwrap();
        let want = json!({"args": ["top"], "cwd": "/", "user": {"uid": 7}, "noNewPrivileges": true,
            "env": ["A=1", "TERM=xterm"], "terminal": true, "consoleSize": {"height": 31, "width": 97}});
        assert_eq!(serde_json::from_slice::<Value>(&got).unwrap(), want);
        for bad in ["", "{}", "{\"process\": 1}"] {
            assert!(process(bad.as_bytes(), &command()).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_runtime_that_is_away_is_unavailable_and_no_pipe_stays() {
        let client =
            crate::CriClient::new("unix:///nonexistent/runtime.sock", crate::Timeouts::default()).unwrap();
        let error = crate::Runtime::exec_on_terminal(&client, command()).await.err().unwrap();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(!command().pipes_dir.exists());
        let pipes = Pipes::make(&command()).unwrap();
        assert!(pipes.stdin.as_ref().is_some_and(|p| p.exists()) && pipes.output.exists());
        let dir = pipes.dir.clone();
        drop(pipes);
        assert!(!dir.exists());
        fs::remove_dir(command().pipes_dir).unwrap();
    }
}
