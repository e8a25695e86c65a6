//! How often a log must be looked at so that it does not grow far beyond its limit. Pure.
//!
//! A look is cheap, so each log gets one a second; one that grows fast is looked at when it should have reached the
//! limit at the speed it grew at.

use std::time::Duration;

/// Between looks at a log that does not grow.
pub const CALM: Duration = Duration::from_secs(1);
/// Between looks at any log, at least.
pub const BUSY: Duration = Duration::from_millis(20);

/// What is remembered of one log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Of the last look: when (monotonic), and the log's bytes.
    last: Option<(Duration, u64)>,
    /// When it is looked at next (monotonic).
    due: Duration,
}

impl Pace {
    /// Whether a look is due.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.due <= now
    }

    /// Until the next look.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }

    /// Notes a look that found so many bytes, of which `limit` are wanted at most. `begun_anew`: the log was just
    /// moved aside, so the next one begins with nothing.
    pub fn looked(&mut self, now: Duration, bytes: u64, limit: u64, begun_anew: bool) {
        // A log seen for the first time may have begun a moment ago.
        let (at, before) = self.last.unwrap_or((now.saturating_sub(CALM), 0));
        let elapsed = now.saturating_sub(at).max(Duration::from_millis(1));
        let grown = bytes.saturating_sub(before);
        let bytes = if begun_anew { 0 } else { bytes };
        self.last = Some((now, bytes));
        // A log that is over its limit and could not be moved aside waits like a calm one.
        let wait = if grown == 0 || bytes >= limit {
            CALM
        } else {
            let left = limit.saturating_sub(bytes);
            let nanos = elapsed.as_nanos().saturating_mul(u128::from(left)) / u128::from(grown);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).clamp(BUSY, CALM)
        };
        self.due = now.saturating_add(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest first log and the longest later one of a program that writes steadily, and how often its log was
    /// looked at in a minute.
    fn longest(bytes_per_second: u64, limit: u64) -> (u64, u64, u32) {
        let (mut pace, mut first, mut later, mut looks) = (Pace::default(), 0, 0, 0);
        let mut begun = Duration::ZERO;
        let mut now = Duration::from_millis(300);
        while now < Duration::from_secs(60) {
            if pace.is_due(now) {
                let millis = u64::try_from((now - begun).as_millis()).unwrap();
                let bytes = bytes_per_second * millis / 1000;
                let most = if begun.is_zero() { &mut first } else { &mut later };
                *most = bytes.max(*most);
                looks += 1;
                let full = bytes >= limit;
                if full {
                    begun = now;
                }
                pace.looked(now, bytes, limit, full);
            }
            now += Duration::from_millis(1);
        }
        (first, later, looks)
    }

    #[test]
    fn a_log_overshoots_by_little_at_any_speed() {
        let limit = 10 << 20;
        // (MiB a second, the longest log in MiB, looks in a minute at most)
        for (speed, most, at_most) in [(0, 0, 61), (1, 11, 61), (10, 11, 130), (40, 11, 400), (100, 12, 1000)]
        {
            let (first, later, looks) = longest(speed << 20, limit);
            assert!(later <= most << 20, "{speed} MiB/s: {later} bytes");
            // How fast it is written is known with the first look, a second after its beginning at the latest.
            assert!(first <= limit + (speed << 20), "{speed} MiB/s: {first} bytes");
            assert!(looks <= at_most, "{speed} MiB/s: {looks} looks");
        }
    }
}
