//! The process's log: one line an event on standard error.

use tracing_subscriber::EnvFilter;

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
