//! Timestamps as the API writes them.

use jiff::Timestamp;

/// `2026-01-02T03:04:05Z`: metav1.Time, whole seconds.
#[must_use]
pub fn rfc3339(t: Timestamp) -> String {
    whole_seconds(t).to_string()
}

/// `2026-01-02T03:04:05.000000Z`: metav1.MicroTime.
#[must_use]
pub fn rfc3339_micro(t: Timestamp) -> String {
    format!("{:.6}", t)
}

/// Without the fraction of a second, as the API keeps times.
#[must_use]
pub fn whole_seconds(t: Timestamp) -> Timestamp {
    Timestamp::from_second(t.as_millisecond().div_euclid(1000)).unwrap_or(t)
}

/// `t` later by that many seconds; the end of time when there is no such time.
#[must_use]
pub fn after(t: Timestamp, d: std::time::Duration) -> Timestamp {
    t.checked_add(d).unwrap_or(Timestamp::MAX)
}

/// Seconds from `from` to `to`; negative when `to` is earlier.
#[must_use]
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    (to.as_microsecond() - from.as_microsecond()) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let t: Timestamp = "2026-01-02T03:04:05.678901234Z".parse().unwrap();
        assert_eq!(rfc3339(t), "2026-01-02T03:04:05Z");
        assert_eq!(rfc3339_micro(t), "2026-01-02T03:04:05.678901Z");
        assert_eq!(rfc3339_micro(whole_seconds(t)), "2026-01-02T03:04:05.000000Z");
        assert_eq!(seconds_between(t, after(t, std::time::Duration::from_millis(1500))), 1.5);
    }
}
