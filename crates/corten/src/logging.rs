//! The process's log: one line an event on standard error.

use std::fmt::Display;
use std::io::Write;

use tracing_subscriber::EnvFilter;

/// A line for the user on standard output. That nobody reads it any more is no failure.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Starts logging. `verbosity` is upstream's `-v`: 0–3 info, 4–5 debug, more is trace. `CORTEN_LOG` overrides it.
pub fn init(verbosity: u8) {
    let level = match verbosity {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    };
    let default = format!("{level},hyper=warn,h2=warn,rustls=warn,tower=warn,hickory_proto=warn");
    let filter = EnvFilter::try_from_env("CORTEN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // A second start in one process keeps the first subscriber.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
