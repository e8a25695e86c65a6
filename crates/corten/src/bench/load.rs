//! A closed loop: every client sends its next request when it has the answer to the last one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use client::{Client, Remote};
use futures_util::StreamExt;
use meta::{Body, Request, Status};
use sys::{Clock, SystemClock};
use tokio::task::JoinSet;

/// What a loop has found.
#[derive(Debug)]
pub struct Load {
    /// Operations per second.
    pub rate: f64,
    pub times: Times,
}

/// Durations, sorted.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// From durations in any order.
    #[must_use]
    pub fn new(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Times(all)
    }

    /// The time within which `percent` of the operations were done, in milliseconds.
    #[must_use]
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * percent / 100).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    }

    /// `p50 1.2 ms, p99 3.4 ms`.
    #[must_use]
    pub fn note(&self) -> String {
        format!("p50 {:.2} ms, p99 {:.2} ms", self.percentile_ms(50), self.percentile_ms(99))
    }
}

/// Runs `operation` for 0..`total` over the clients. The first failure ends it.
///
/// # Errors
/// The Status that an operation failed with.
pub async fn run<F, Fut>(clients: &[Arc<Remote>], total: usize, operation: F) -> Result<Load>
where
    F: Fn(Arc<Remote>, usize) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Status>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    let began = SystemClock.monotonic();
    for client in clients {
        let (client, next, operation) = (Arc::clone(client), Arc::clone(&next), operation.clone());
        workers.spawn(async move {
            let mut times = Vec::with_capacity(total / 8);
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= total {
                    return Ok(times);
                }
                let sent = SystemClock.monotonic();
                operation(Arc::clone(&client), at).await?;
                times.push(SystemClock.monotonic().saturating_sub(sent));
            }
        });
    }
    let mut all = Vec::with_capacity(total);
    while let Some(done) = workers.join_next().await {
        let times: Result<Vec<Duration>, Status> = done?;
        all.extend(times.map_err(|s| anyhow!("a request failed: {s}"))?);
    }
    let took = SystemClock.monotonic().saturating_sub(began);
    Ok(Load { rate: total as f64 / took.as_secs_f64(), times: Times::new(all) })
}

/// Sends a request and throws its answer away. Gives the answer's length.
///
/// # Errors
/// The server's Status.
pub async fn exchange(client: &Remote, request: Request) -> Result<usize, Status> {
    match client.send(request).await?.body {
        Body::Full(bytes) => Ok(bytes.len()),
        Body::Chunks(all) => Ok(all.iter().map(bytes::Bytes::len).sum()),
        Body::Stream(mut stream) => {
            let mut length = 0;
            while let Some(piece) = stream.next().await {
                length += piece?.len();
            }
            Ok(length)
        }
        Body::Tunnel(_) => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let times = Times::new((1..=101).rev().map(Duration::from_millis).collect());
        assert!((times.percentile_ms(50) - 51.0).abs() < 1e-9);
        assert!((times.percentile_ms(99) - 100.0).abs() < 1e-9);
        assert!(Times::default().percentile_ms(50).abs() < 1e-9);
    }
}
