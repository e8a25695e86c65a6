//! Streams over upgraded connections: remote commands (exec, attach) and port forwarding, over SPDY/3.1 and
//! WebSocket, as one type each whatever the protocol. It must never know what runs at the other end.
// k8s: staging/src/k8s.io/kubelet/pkg/cri/streaming, staging/src/k8s.io/client-go/tools/remotecommand

mod client;
mod command;
mod forward;
mod pipe;
pub(crate) mod push;
mod spdy;
mod upgrade;
mod websocket;

use meta::{BoxFuture, Query, Request, Response, Status, StatusCause, StatusDetails};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

pub use client::{Forwarded, PortForwarder, RemoteProcess, StreamError, bridge, open_command};
pub use pipe::{Input, Output};
pub(crate) use upgrade::{accept, accept_push};

/// Which streams a command has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Streams {
    /// From the query of `pods/exec` (`stdin=true`) or of a kubelet (`input=1`). A terminal has no stderr.
    ///
    /// # Errors
    /// 400 when none is asked for.
    // k8s: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/httpstream.go NewOptions
    pub fn from_query(query: &Query) -> Result<Self, Status> {
        let on = |names: [&str; 2]| {
            names.iter().any(|n| query.get(n).is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("true")))
        };
        let tty = on(["tty", "tty"]);
        let streams = Streams {
            stdin: on(["input", "stdin"]),
            stdout: on(["output", "stdout"]),
            stderr: on(["error", "stderr"]) && !tty,
            tty,
        };
        if !streams.stdin && !streams.stdout && !streams.stderr {
            return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
        }
        Ok(streams)
    }
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminalSize {
    pub width: u16,
    pub height: u16,
}

/// The server's end of a remote command. Dropping an output ends that stream.
pub struct RemoteCommand {
    pub stdin: Option<Input>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    /// Sizes of the client's terminal as they change.
    pub resize: mpsc::Receiver<TerminalSize>,
    pub status: StatusWriter,
}

/// Tells the client how the command ended.
pub struct StatusWriter {
    pub(crate) output: Output,
    /// Protocol v4 and later: a Status as JSON; before: the text of an error.
    pub(crate) json: bool,
}

impl StatusWriter {
    /// Sends the end. Outputs should be shut down before.
    pub async fn finish(mut self, status: &Status) {
        let bytes = match (self.json, status.status == "Success") {
            (true, true) => br#"{"metadata":{},"status":"Success"}"#.to_vec(),
            (true, false) => status.to_json(),
            (false, true) => Vec::new(),
            (false, false) => status.message.clone().into_bytes(),
        };
        // A client that has gone does not want to know.
        let _ = self.output.write_all(&bytes).await;
        let _ = self.output.shutdown().await;
    }
}

/// The Status of a command that ended with this exit code.
// k8s: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/exec.go ServeExec
#[must_use]
pub fn exit_status(code: i32) -> Status {
    if code == 0 {
        return Status { status: "Success".into(), ..Status::failure(200, "", "") };
    }
    let message = format!("command terminated with non-zero exit code: exit status {code}");
    let mut status = Status::failure(500, "NonZeroExitCode", message);
    status.details = Some(StatusDetails {
        causes: vec![StatusCause {
            reason: "ExitCode".to_owned(),
            message: code.to_string(),
            field: String::new(),
        }],
        ..StatusDetails::default()
    });
    status
}

/// The exit code that a Status tells; `None` when the command could not run.
#[must_use]
pub fn exit_code(status: &Status) -> Option<i32> {
    if status.status == "Success" {
        return Some(0);
    }
    let causes = &status.details.as_ref()?.causes;
    causes.iter().find(|c| c.reason == "ExitCode")?.message.parse().ok()
}

/// One connection that is forwarded to a port.
pub struct Forward {
    pub port: u16,
    pub input: Input,
    pub output: Output,
    pub error: ForwardError,
}

/// Tells the client why a forwarded connection failed; dropped when it did not.
pub struct ForwardError(pub(crate) Output);

impl ForwardError {
    /// Sends the text.
    pub async fn send(mut self, text: &str) {
        let _ = self.0.write_all(text.as_bytes()).await;
        let _ = self.0.shutdown().await;
    }
}

/// Runs one command; dropped when the client goes away.
pub type RunCommand = Box<dyn FnOnce(RemoteCommand) -> BoxFuture<'static, ()> + Send>;
/// Runs one forwarded connection; dropped when the client goes away.
pub type RunForward = Box<dyn Fn(Forward) -> BoxFuture<'static, ()> + Send + Sync>;

/// What an upgraded connection is for.
pub enum Session {
    Command {
        streams: Streams,
        run: RunCommand,
    },
    PortForward {
        /// From the query; WebSocket clients name them there, SPDY clients with each stream.
        ports: Vec<u16>,
        run: RunForward,
    },
}

/// Takes requests that ask for an upgrade (the kubelet's exec, attach and port-forward).
pub trait Upgrader: Send + Sync + 'static {
    /// The session, or the response that refuses it.
    fn upgrade(&self, request: Request) -> BoxFuture<'_, Result<Session, Response>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_a_query() {
        for (query, want) in [
            ("stdin=true&stdout=1&tty=1&stderr=true", Some((true, true, false, true))),
            ("output=1&error=1&command=a", Some((false, true, true, false))),
            ("stdin=false", None),
        ] {
            let query = Query(crate::escape::parse_query(query));
            let got = Streams::from_query(&query).ok().map(|s| (s.stdin, s.stdout, s.stderr, s.tty));
            assert_eq!(got, want);
        }
    }

    #[test]
    fn exit_codes_survive_json() {
        for code in [0, 1, 137] {
            let json = exit_status(code).to_json();
            assert_eq!(exit_code(&Status::from_json(&json).expect("a Status")), Some(code));
        }
        assert_eq!(exit_code(&Status::internal("x")), None);
    }
}
