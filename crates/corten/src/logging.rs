//! The process's log: one line an event on standard error.

use std::fmt::Display;
use std::io::Write;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A line for the user on standard output. That nobody reads it any more is no failure.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Starts logging. `verbosity` is upstream's `-v`: 0–3 info, 4–5 debug, more is trace. `CORTEN_LOG` overrides it: a level,
/// or `target=level` with commas between them.
pub fn init(verbosity: u8) {
    let level = match verbosity {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    };
    let default = format!("{level},hyper=warn,h2=warn,rustls=warn,tower=warn,hickory_proto=warn");
    let asked = std::env::var("CORTEN_LOG").unwrap_or_default();
    let (filter, refused) = filter(&asked, &default);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second start in one process keeps the first subscriber.
    let first = tracing_subscriber::registry().with(lines).with(filter).try_init().is_ok();
    if let Some(refused) = refused.filter(|_| first) {
        tracing::warn!("CORTEN_LOG has no effect: {refused}");
    }
}

/// What is logged, and why what was asked for is not.
fn filter(asked: &str, default: &str) -> (Targets, Option<String>) {
    let usual = || default.parse().expect("our own text has levels and targets only");
    if asked.is_empty() {
        return (usual(), None);
    }
    match asked.parse() {
        Ok(filter) => (filter, None),
        Err(error) => (usual(), Some(format!("{asked:?}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::filter;

    #[test]
    fn what_cannot_be_read_is_said_and_changes_nothing() {
        let (quiet, refused) = filter("warn,corten=debug", "info");
        assert_eq!(refused, None);
        assert!(quiet.would_enable("corten::node", &Level::DEBUG));
        assert!(!quiet.would_enable("kubelet", &Level::INFO));
        let (usual, refused) = filter("corten=loud", "info,h2=warn");
        assert!(refused.is_some_and(|text| text.starts_with("\"corten=loud\": ")));
        assert!(usual.would_enable("kubelet", &Level::INFO));
        assert!(!usual.would_enable("h2::proto", &Level::INFO));
    }
}
