//! Doubling delays that forget after a quiet time.
// k8s: staging/src/k8s.io/client-go/util/flowcontrol/backoff.go

use jiff::{SignedDuration, Timestamp};

/// First and largest delay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub first: SignedDuration,
    pub most: SignedDuration,
}

/// Restarting containers and pulling images.
pub const CRASH_LOOP: Limits =
    Limits { first: SignedDuration::from_secs(10), most: SignedDuration::from_secs(300) };
/// Mounting volumes, running sandboxes.
pub const MOUNT: Limits =
    Limits { first: SignedDuration::from_millis(500), most: SignedDuration::from_secs(30) };

/// One thing's delay.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    entry: Option<(SignedDuration, Timestamp)>,
}

impl Backoff {
    /// The current delay.
    #[must_use]
    pub fn delay(&self) -> SignedDuration {
        self.entry.map_or(SignedDuration::ZERO, |(d, _)| d)
    }

    /// When an event at `since` may be followed up; the past when at once.
    #[must_use]
    pub fn until(&self, since: Timestamp, limits: Limits) -> Timestamp {
        match self.entry {
            Some((d, last)) if !expired(since, last, limits) => {
                since.saturating_add(d).unwrap_or(Timestamp::MAX)
            }
            _ => since,
        }
    }

    /// Counts one more attempt at `now`, whose cause lies at `since`.
    pub fn next(&mut self, since: Timestamp, now: Timestamp, limits: Limits) {
        let delay = match self.entry {
            Some((d, last)) if !expired(since, last, limits) => (d + d).min(limits.most),
            _ => limits.first,
        };
        self.entry = Some((delay, now));
    }

    /// Forgets.
    pub fn reset(&mut self) {
        self.entry = None;
    }
}

/// Twice the largest delay without an event.
fn expired(since: Timestamp, last: Timestamp, limits: Limits) -> bool {
    since.duration_since(last) > limits.most * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + s).unwrap()
    }

    #[test]
    fn doubles_to_the_most_and_forgets() {
        let mut b = Backoff::default();
        let mut now = 0;
        let mut seen = Vec::new();
        for _ in 0..8 {
            let until = b.until(at(now), CRASH_LOOP);
            seen.push(until.duration_since(at(now)).as_secs());
            now = until.as_second() - 1_000_000;
            b.next(at(now), at(now), CRASH_LOOP);
            now += 1;
        }
        assert_eq!(seen, [0, 10, 20, 40, 80, 160, 300, 300]);
        // Ten quiet minutes.
        assert_eq!(b.until(at(now + 700), CRASH_LOOP), at(now + 700));
        b.next(at(now + 700), at(now + 700), CRASH_LOOP);
        assert_eq!(b.delay().as_secs(), 10);
    }
}
