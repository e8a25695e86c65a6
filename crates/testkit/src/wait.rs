//! Waiting for a condition with a deadline, and running programs with a time limit. Nothing here sleeps for a
//! fixed time and hopes.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use sys::{Clock, SystemClock};

/// Time between two looks at a condition.
const POLL: Duration = Duration::from_millis(100);

/// Time since some fixed point.
#[must_use]
pub fn now() -> Duration {
    SystemClock.monotonic()
}

/// A look at a condition failed; the next one is due a little later.
pub fn pause() {
    let (_sender, receiver) = mpsc::channel::<()>();
    // Nobody sends, so this ends with the time.
    let _ = receiver.recv_timeout(POLL);
}

/// Looks until `look` gives a value.
///
/// # Errors
/// After `limit`: what was waited for, and what the last look said.
pub fn try_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let start = now();
    loop {
        let last = match look() {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if now().saturating_sub(start) > limit {
            return Err(format!("not within {} s: {what}; last seen: {last}", limit.as_secs()));
        }
        pause();
    }
}

/// [`try_for`] for tests: panics at the caller's line.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, look: impl FnMut() -> Result<T, String>) -> T {
    match try_for(what, limit, look) {
        Ok(value) => value,
        Err(message) => panic!("{message}"),
    }
}

/// What a program has said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The words it was called with.
    pub command: String,
    pub stdout: String,
    pub stderr: String,
    /// The exit code; [`None`]: it was ended by a signal, or by us after the time limit.
    pub code: Option<i32>,
}

impl Output {
    /// Its stdout when it has succeeded; else a panic that shows everything.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == Some(0), "{self}");
        self.stdout
    }

    /// Its stderr when it has failed by itself; else a panic.
    #[track_caller]
    pub fn fails(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "should have failed: {self}");
        self.stderr
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code =
            self.code.map_or_else(|| "ended by a signal or the time limit".to_owned(), |c| c.to_string());
        write!(f, "{}\nexit: {code}\nstdout:\n{}\nstderr:\n{}", self.command, self.stdout, self.stderr)
    }
}

fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a program to its end with `stdin`; it is killed after `limit`.
#[must_use]
pub fn run(command: Command, stdin: &[u8], limit: Duration) -> Output {
    let mut running = Running::start(command);
    running.write(stdin);
    running.finish(limit)
}

#[derive(Debug, Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A program in the background whose output is gathered; killed on drop.
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
    said: Arc<Mutex<Said>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Starts it; a program that cannot be started is a panic.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let text = words(&command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{text}: {error}"),
        };
        let said = Arc::new(Mutex::new(Said::default()));
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(gather(pipe, Arc::clone(&said), |said| &mut said.stdout));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(gather(pipe, Arc::clone(&said), |said| &mut said.stderr));
        }
        Self { command: text, child, said, readers, writer: None }
    }

    /// Gives it its whole stdin, from a thread: it may talk before it has read everything.
    pub fn write(&mut self, stdin: &[u8]) {
        let Some(mut pipe) = self.child.stdin.take() else { return };
        if stdin.is_empty() {
            return;
        }
        let bytes = stdin.to_vec();
        // A program that does not read to the end is no failure of the writer.
        self.writer = Some(std::thread::spawn(move || drop(pipe.write_all(&bytes))));
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.said().stdout).into_owned()
    }

    /// Waits until stdout or stderr has the text.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str, limit: Duration) {
        wait_for(&format!("{text:?} from {}", self.command), limit, || {
            let said = self.said();
            let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
            if out.contains(text) || err.contains(text) { Ok(()) } else { Err(format!("{out}\n{err}")) }
        });
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL and gives what it has said.
    pub fn kill(mut self) -> Output {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.finish(Duration::from_secs(10))
    }

    /// Waits for its end; kills it after `limit`.
    pub fn finish(mut self, limit: Duration) -> Output {
        drop(self.child.stdin.take());
        let ended = try_for("its end", limit, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status.code()),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        let killed = ended.is_err();
        if killed {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // A grandchild may hold the pipes after a kill; what was read until then is enough.
        let readers = std::mem::take(&mut self.readers);
        let _ = try_for("the end of its output", Duration::from_secs(2), || {
            if readers.iter().all(std::thread::JoinHandle::is_finished) { Ok(()) } else { Err(String::new()) }
        });
        let said = self.said();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut stderr = text(&said.stderr);
        if killed {
            stderr.push_str(&format!("\n(killed after {} s)", limit.as_secs()));
        }
        Output {
            command: self.command.clone(),
            stdout: text(&said.stdout),
            stderr,
            code: ended.unwrap_or(None),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(
    mut pipe: impl Read + Send + 'static,
    said: Arc<Mutex<Said>>,
    which: fn(&mut Said) -> &mut Vec<u8>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(n) = pipe.read(&mut buffer) {
            if n == 0 {
                return;
            }
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            which(&mut said).extend_from_slice(&buffer[..n]);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_run_and_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "cat; echo err >&2; exit 3"]);
        let output = run(command, b"in", Duration::from_secs(10));
        assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.code), ("in", "err\n", Some(3)));
        let mut command = Command::new("sleep");
        command.arg("1000");
        let output = run(command, b"", Duration::ZERO);
        assert_eq!(output.code, None);
        assert!(output.stderr.contains("killed after 0 s"), "{output}");
    }

    #[test]
    fn a_condition_that_never_holds_says_what_was_seen() {
        let error = try_for("rain", Duration::ZERO, || Err::<(), _>("sun".to_owned())).unwrap_err();
        assert_eq!(error, "not within 0 s: rain; last seen: sun");
    }
}
