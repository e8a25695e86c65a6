//! What every loop here needs: the client, time, randomness and the order to stop.

use std::sync::Arc;
use std::time::Duration;

use client::Client;
use jiff::Timestamp;
use sys::{Clock, Entropy, SystemClock, SystemEntropy};
use tokio_util::sync::CancellationToken;

use crate::Ports;

/// A client with clock, randomness and a stop token. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub client: Arc<dyn Client>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub stop: CancellationToken,
    /// Whom controllers may ask outside the API.
    pub ports: Ports,
}

impl Context {
    /// With the machine's clock and randomness.
    #[must_use]
    pub fn new(client: Arc<dyn Client>) -> Self {
        Context {
            client,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            stop: CancellationToken::new(),
            ports: Ports::default(),
        }
    }

    /// The same with another stop token.
    #[must_use]
    pub fn with_stop(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// The same with another client (another identity).
    #[must_use]
    pub fn with_client(mut self, client: Arc<dyn Client>) -> Self {
        self.client = client;
        self
    }

    /// Wall-clock time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A random fraction in 0..1.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        (self.entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `base` doubled `failures` times up to `max`, plus up to as much again at random.
    #[must_use]
    pub fn backoff(&self, base: Duration, max: Duration, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.min(20)).unwrap_or(u32::MAX);
        base.saturating_mul(factor).min(max).mul_f64(1.0 + self.fraction())
    }

    /// Sleeps, or returns false at once when it is time to stop.
    pub async fn sleep(&self, d: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(d) => true,
        }
    }
}
