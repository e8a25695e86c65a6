//! `/exec` on a terminal: the client's first size is waited for, so that the command begins in a terminal of that
//! size. CRI alone can tell a size only to a command that runs already; that road is taken where the runtime has no
//! other.

use std::sync::Arc;
use std::time::Duration;

use cri::{Terminal, TerminalCommand, TerminalControl, v1};
use meta::Status;
use tokio::io::{AsyncWriteExt, copy};
use tokio::sync::mpsc;
use wire::stream::{RemoteCommand, RunCommand, Streams, TerminalSize, bridge, exit_status, open_command};

use crate::run::Shared;

/// How long a client may take to tell its first size; those that never tell any wait so long for their command.
const FIRST_SIZE: Duration = Duration::from_secs(1);

/// Runs a command on a terminal.
pub(super) fn run(shared: Arc<Shared>, ask: v1::ExecRequest, streams: Streams) -> RunCommand {
    Box::new(move |command| Box::pin(begin(shared, ask, streams, command)))
}

async fn begin(shared: Arc<Shared>, ask: v1::ExecRequest, streams: Streams, mut command: RemoteCommand) {
    let size = tokio::time::timeout(FIRST_SIZE, command.resize.recv()).await.ok().flatten();
    if let Some(size) = size {
        match shared.runtime.exec_on_terminal(sized(&shared, &ask, size)).await {
            Ok(terminal) => return carry(command, terminal).await,
            // A runtime without it; or one that has more to say of this container over CRI.
            Err(e) if e.is_unimplemented() || e.is_not_found() => {}
            Err(e) => return command.status.finish(&failed(e.message())).await,
        }
    }
    let url = match shared.runtime.exec(ask).await {
        Ok(url) => url,
        Err(e) => return command.status.finish(&failed(e.message())).await,
    };
    match open_command(&url, streams).await {
        Ok(mut process) => {
            if let (Some(size), Some(sizes)) = (size, &mut process.resize) {
                let _ = sizes.write_all(&serde_json::to_vec(&size).unwrap_or_default()).await;
            }
            bridge(command, process).await;
        }
        Err(e) => command.status.finish(&Status::internal(e.to_string())).await,
    }
}

// k8s: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/exec.go ServeExec
fn failed(why: &str) -> Status {
    Status::internal(format!("error executing command in container: {why}"))
}

fn sized(shared: &Shared, ask: &v1::ExecRequest, size: TerminalSize) -> TerminalCommand {
    TerminalCommand {
        container_id: ask.container_id.clone(),
        exec_id: format!("{:016x}{:016x}", shared.ctx.entropy.next_u64(), shared.ctx.entropy.next_u64()),
        cmd: ask.cmd.clone(),
        stdin: ask.stdin,
        columns: size.width,
        rows: size.height,
        pipes_dir: shared.config.root_dir.join("exec"),
    }
}

/// Lets the client's streams be those of the command, until it ends.
async fn carry(command: RemoteCommand, terminal: Terminal) {
    let RemoteCommand { stdin, stdout, stderr: _, resize, status } = command;
    let Terminal { stdin: to, mut output, control, end } = terminal;
    let input = async {
        if let (Some(mut from), Some(mut to)) = (stdin, to) {
            let _ = copy(&mut from, &mut to).await;
            let _ = control.close_stdin().await;
        }
        std::future::pending::<Status>().await
    };
    let result = async {
        if let Some(mut stdout) = stdout {
            let _ = copy(&mut output, &mut stdout).await;
            let _ = stdout.shutdown().await;
        }
        drop(output);
        match end.await {
            Ok(Ok(code)) => exit_status(i32::try_from(code).unwrap_or(i32::MAX)),
            Ok(Err(e)) => failed(e.message()),
            Err(_) => failed("its end was not seen"),
        }
    };
    let end = tokio::select! {
        end = result => end,
        end = input => end,
        end = follow(resize, &control) => end,
    };
    status.finish(&end).await;
}

/// Passes further sizes on. Does not end.
async fn follow(mut sizes: mpsc::Receiver<TerminalSize>, control: &TerminalControl) -> Status {
    while let Some(size) = sizes.recv().await {
        if let Err(e) = control.resize(size.width, size.height).await {
            tracing::debug!("a terminal keeps its size: {e}");
        }
    }
    std::future::pending().await
}
