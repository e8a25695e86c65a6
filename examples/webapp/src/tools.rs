//! What a test wants to run inside a container that has no shell.

use std::io::{Error, ErrorKind, Result, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

/// Runs one tool of `webapp help`.
pub fn run(tool: &str, arguments: &[&str]) -> Result<ExitCode> {
    match (tool, arguments) {
        ("sleep", []) => sleep(None),
        ("sleep", [seconds]) => sleep(Some(Duration::from_secs(number(seconds)?))),
        ("cat", files) => {
            for file in files {
                std::io::copy(&mut open(file)?, &mut std::io::stdout())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ("ls", [dir]) => list(dir),
        ("write", [file, text]) => std::fs::write(file, text).map(|()| ExitCode::SUCCESS),
        ("exit", [code]) => Ok(ExitCode::from(u8::try_from(number(code)?).unwrap_or(255))),
        ("echo", words) => print(&(words.join(" ") + "\n")),
        ("stderr", words) => {
            eprintln!("{}", words.join(" "));
            Ok(ExitCode::SUCCESS)
        }
        ("stdin-cat", []) => {
            std::io::copy(&mut std::io::stdin(), &mut std::io::stdout())?;
            std::io::stdout().flush().map(|()| ExitCode::SUCCESS)
        }
        ("tty-size", []) => {
            let size = rustix::termios::tcgetwinsize(std::io::stdin())?;
            print(&format!("{} {}\n", size.ws_row, size.ws_col))
        }
        ("id", []) => {
            let status = std::fs::read_to_string("/proc/self/status")?;
            let wanted = ["Uid:", "Gid:", "Groups:", "CapEff:", "NoNewPrivs:", "Seccomp:"];
            let lines = status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
            print(&lines.map(|line| line.replace('\t', " ") + "\n").collect::<String>())
        }
        ("lines", [count]) => lines(number(count)?, 0),
        ("lines", [count, millis]) => lines(number(count)?, number(millis)?),
        ("fill", [mb]) => {
            let kept = fill(number(mb)?);
            println!("filled {} bytes", kept.len());
            sleep(None)
        }
        ("listen", [port]) => listen(number(port)?),
        _ => {
            Err(Error::new(ErrorKind::InvalidInput, format!("no such tool: {tool} {}", arguments.join(" "))))
        }
    }
}

/// Prints a text as it is.
pub fn print(text: &str) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush().map(|()| ExitCode::SUCCESS)
}

/// Waits.
pub fn pause(time: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    // Nobody sends, so this always ends with the time.
    let _ = receiver.recv_timeout(time);
}

/// Memory that is really there: every page is written.
pub fn fill(mb: u64) -> Vec<u8> {
    let length = usize::try_from(mb.saturating_mul(1024 * 1024)).unwrap_or(usize::MAX / 2);
    let mut memory = Vec::new();
    if memory.try_reserve_exact(length).is_ok() {
        memory.resize(length, 0xa5);
    }
    memory
}

/// FNV-1a.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Until SIGTERM or SIGINT (a PID 1 without a handler would not get them), or for a time.
fn sleep(time: Option<Duration>) -> Result<ExitCode> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(signals.wait()));
    let _ = match time {
        Some(time) => receiver.recv_timeout(time).ok(),
        None => receiver.recv().ok(),
    };
    Ok(ExitCode::SUCCESS)
}

fn lines(count: u64, millis: u64) -> Result<ExitCode> {
    for n in 0..count {
        print(&format!("line {n}\n"))?;
        if millis > 0 {
            pause(Duration::from_millis(millis));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(dir: &str) -> Result<ExitCode> {
    let entries = std::fs::read_dir(dir).map_err(|e| Error::new(e.kind(), format!("{dir}: {e}")))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned() + "\n").collect();
    names.sort();
    print(&names.concat())
}

fn listen(port: u64) -> Result<ExitCode> {
    let port = u16::try_from(port).map_err(|_| Error::new(ErrorKind::InvalidInput, "not a port"))?;
    for stream in crate::serve::listen(port)?.incoming() {
        let mut stream = stream?;
        let peer = stream.peer_addr()?;
        println!("{peer}");
        writeln!(stream, "{}", peer.ip())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn open(file: &str) -> Result<std::fs::File> {
    std::fs::File::open(file).map_err(|error| Error::new(error.kind(), format!("{file}: {error}")))
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::new(ErrorKind::InvalidInput, format!("{text} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_filled_and_summed() {
        assert_eq!(fill(1).len(), 1024 * 1024);
        assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert!(run("no-such-tool", &[]).is_err());
        assert!(number("x").is_err());
    }
}
