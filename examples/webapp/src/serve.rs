//! `webapp serve`: the web application.
//!
//! ```text
//! GET  /              greeting ($GREETING) and host name
//! GET  /healthz       200 while it lives
//! GET  /readyz        200 or 503; POST /ready?value=true|false sets it
//! GET  /config        the file $CONFIG_FILE (default /etc/webapp/config)
//! GET  /secret-hash   a checksum of the file $SECRET_FILE (default /etc/webapp-secret/token)
//! GET  /env           the environment, sorted
//! GET  /work?ms=N     answers after N ms
//! GET  /fill?mb=N     keeps N MB more memory
//! GET  /crash         the process exits with 1
//! ```
//!
//! On SIGTERM it goes on serving for $GRACE_MS (default 1000), since clients learn late that it
//! goes; then it lets the running requests end and exits with 0.

use std::io::{Error, Result};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::http::{Request, read_request, write_response};
use crate::tools::{checksum, fill, pause};

/// A connection that says nothing for so long is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// How long running requests may take after the grace.
const DRAIN_LIMIT_MS: u64 = 20_000;

struct App {
    ready: AtomicBool,
    in_flight: AtomicUsize,
    kept: Mutex<Vec<Vec<u8>>>,
}

/// Serves until SIGTERM or SIGINT.
pub fn run() -> Result<ExitCode> {
    // Blocked here, before any thread is made, so that only `wait` below takes them.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    let app = Arc::new(App {
        ready: AtomicBool::new(variable("NOT_READY", "").is_empty()),
        in_flight: AtomicUsize::new(0),
        kept: Mutex::new(Vec::new()),
    });
    let port = variable("PORT", "8080").parse().map_err(|_| Error::other("PORT is not a port number"))?;
    let listener = listen(port)?;
    println!("webapp {} listens on port {port}", hostname());
    let server = Arc::clone(&app);
    std::thread::spawn(move || accept(&listener, &server));
    let signal = signals.wait()?;
    println!("{signal}: serves on for the grace period");
    pause(Duration::from_millis(variable("GRACE_MS", "1000").parse().unwrap_or(1000)));
    for _ in 0..DRAIN_LIMIT_MS / 10 {
        if app.in_flight.load(Ordering::SeqCst) == 0 {
            break;
        }
        pause(Duration::from_millis(10));
    }
    println!("ends with {} requests unanswered", app.in_flight.load(Ordering::SeqCst));
    Ok(ExitCode::SUCCESS)
}

/// Both families where there is IPv6.
pub fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        .or_else(|_| TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))))
}

fn accept(listener: &TcpListener, app: &Arc<App>) {
    for stream in listener.incoming().flatten() {
        let app = Arc::clone(app);
        app.in_flight.fetch_add(1, Ordering::SeqCst);
        std::thread::spawn(move || {
            if let Err(error) = answer(&stream, &app) {
                eprintln!("webapp: {error}");
            }
            app.in_flight.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn answer(stream: &TcpStream, app: &App) -> Result<()> {
    stream.set_read_timeout(Some(IDLE_LIMIT))?;
    let peer = stream.peer_addr()?;
    let Some(request) = read_request(stream)? else { return Ok(()) };
    let (status, body) = route(&request, app);
    println!("{peer} {} {} {status}", request.method, request.path);
    write_response(stream, status, &body)
}

fn route(request: &Request, app: &App) -> (u16, String) {
    let number = |name: &str| request.query.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => (200, format!("{} from {}\n", variable("GREETING", "hello"), hostname())),
        ("GET", "/healthz") => (200, "ok\n".into()),
        ("GET", "/readyz") if app.ready.load(Ordering::SeqCst) => (200, "ready\n".into()),
        ("GET", "/readyz") => (503, "not ready\n".into()),
        ("POST", "/ready") => {
            let ready = request.query.get("value").is_none_or(|value| value == "true");
            app.ready.store(ready, Ordering::SeqCst);
            (200, format!("ready: {ready}\n"))
        }
        ("GET", "/config") => file(&variable("CONFIG_FILE", "/etc/webapp/config"), |text| text),
        ("GET", "/secret-hash") => file(&variable("SECRET_FILE", "/etc/webapp-secret/token"), |text| {
            format!("{:016x}\n", checksum(text.as_bytes()))
        }),
        ("GET", "/env") => {
            let mut lines: Vec<String> = std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect();
            lines.sort();
            (200, lines.concat())
        }
        ("GET", "/work") => {
            pause(Duration::from_millis(number("ms")));
            (200, "done\n".into())
        }
        ("GET", "/fill") => {
            let kept = fill(number("mb"));
            app.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(kept);
            (200, "filled\n".into())
        }
        ("GET", "/crash") => {
            println!("crash was asked for");
            std::process::exit(1)
        }
        ("GET" | "POST", _) => (404, "not found\n".into()),
        _ => (405, "method not allowed\n".into()),
    }
}

fn file(path: &str, form: impl Fn(String) -> String) -> (u16, String) {
    match std::fs::read_to_string(path) {
        Ok(text) => (200, form(text)),
        Err(error) => (404, format!("{path}: {error}\n")),
    }
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(app: &App, method: &str, path: &str, query: &[(&str, &str)]) -> (u16, String) {
        let query = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        route(&Request { method: method.into(), path: path.into(), query }, app)
    }

    #[test]
    fn readiness_is_toggled() {
        let app = App {
            ready: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
            kept: Mutex::new(Vec::new()),
        };
        assert_eq!(get(&app, "GET", "/readyz", &[]).0, 200);
        assert_eq!(get(&app, "POST", "/ready", &[("value", "false")]).1, "ready: false\n");
        assert_eq!(get(&app, "GET", "/readyz", &[]), (503, "not ready\n".into()));
        assert_eq!(get(&app, "GET", "/healthz", &[]).0, 200);
        assert_eq!(get(&app, "GET", "/nothing", &[]).0, 404);
        assert_eq!(get(&app, "DELETE", "/", &[]).0, 405);
    }
}
