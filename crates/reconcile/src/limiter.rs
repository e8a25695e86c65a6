//! Back-off per key and the overall rate of retries, as upstream's default controller rate limiter.
// k8s: staging/src/k8s.io/client-go/util/workqueue/default_rate_limiters.go

use std::time::Duration;

use jiff::Timestamp;

/// Exponential back-off.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub base: Duration,
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: Duration::from_millis(5), max: Duration::from_secs(1000) }
    }
}

impl Backoff {
    /// The delay after `failures` earlier failures (0 for the first).
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures).filter(|_| failures < 31).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

/// A token bucket that answers with how long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Option<Timestamp>,
}

impl Bucket {
    /// `per_second` tokens a second, at most `burst` saved up.
    #[must_use]
    pub fn new(per_second: f64, burst: f64) -> Self {
        Bucket { per_second, burst, tokens: burst, at: None }
    }

    /// Takes a token, perhaps of the future, and says how far ahead that is.
    pub fn reserve(&mut self, now: Timestamp) -> Duration {
        if let Some(at) = self.at {
            let passed = (now.as_microsecond() - at.as_microsecond()).max(0) as f64 / 1e6;
            self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        }
        self.at = Some(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 || self.per_second <= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64((-self.tokens / self.per_second).min(1000.0))
        }
    }

    /// Takes a token if there is one now.
    pub fn try_take(&mut self, now: Timestamp) -> bool {
        let before = *self;
        if self.reserve(now).is_zero() && self.tokens >= 0.0 {
            return true;
        }
        let tokens = self.tokens + 1.0;
        *self = Bucket { tokens, at: self.at, ..before };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let b = Backoff::default();
        assert_eq!(b.delay(0), Duration::from_millis(5));
        assert_eq!(b.delay(3), Duration::from_millis(40));
        assert_eq!(b.delay(17), Duration::from_millis(5 << 17));
        assert_eq!(b.delay(18), Duration::from_secs(1000));
        assert_eq!(b.delay(400), Duration::from_secs(1000));
    }

    #[test]
    fn a_bucket_refills() {
        let t = Timestamp::UNIX_EPOCH;
        let mut b = Bucket::new(10.0, 2.0);
        assert!(b.reserve(t).is_zero());
        assert!(b.try_take(t));
        assert!(!b.try_take(t));
        assert_eq!(b.reserve(t), Duration::from_millis(100));
        let later = t.checked_add(Duration::from_secs(1)).unwrap();
        assert!(b.try_take(later));
        assert!(b.try_take(later));
        assert!(!b.try_take(later));
    }
}
