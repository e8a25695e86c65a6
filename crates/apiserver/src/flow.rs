//! Bounds how many requests are being worked on. Priority and fairness by user come later; until then this
//! is upstream's older pair of limits.
// k8s: staging/src/k8s.io/apiserver/pkg/server/filters/maxinflight.go

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use meta::Status;

/// Upstream's `--max-requests-inflight`.
pub const DEFAULT_READS: usize = 400;
/// Upstream's `--max-mutating-requests-inflight`.
pub const DEFAULT_WRITES: usize = 200;

/// Counters of running requests.
#[derive(Debug)]
pub struct Flow {
    reads: Gate,
    writes: Gate,
}

#[derive(Debug)]
struct Gate {
    running: Arc<AtomicUsize>,
    limit: usize,
}

/// Counts one running request until it is dropped.
#[derive(Debug)]
pub struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Flow {
    /// With these limits; 0 means no limit.
    #[must_use]
    pub fn new(reads: usize, writes: usize) -> Self {
        let gate = |limit| Gate { running: Arc::new(AtomicUsize::new(0)), limit };
        Flow { reads: gate(reads), writes: gate(writes) }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// 429 when too many are running.
    pub fn enter(&self, is_write: bool) -> Result<Ticket, Status> {
        let gate = if is_write { &self.writes } else { &self.reads };
        let before = gate.running.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket(gate.running.clone());
        if gate.limit > 0 && before >= gate.limit {
            return Err(Status::too_many_requests("too many requests, please try again later", 1));
        }
        Ok(ticket)
    }

    /// Running reads and writes.
    #[must_use]
    pub fn running(&self) -> (usize, usize) {
        (self.reads.running.load(Ordering::Relaxed), self.writes.running.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_over_the_limit() {
        let f = Flow::new(1, 2);
        let a = f.enter(false).unwrap();
        let e = f.enter(false).unwrap_err();
        assert_eq!((e.code, e.details.and_then(|d| d.retry_after_seconds)), (429, Some(1)));
        assert!(f.enter(true).is_ok());
        drop(a);
        assert!(f.enter(false).is_ok());
        assert_eq!(f.running(), (0, 0));
    }
}
