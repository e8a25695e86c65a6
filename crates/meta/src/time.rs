//! Times and durations as the API writes and shows them. Nothing here reads a clock: `now` is a parameter.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;

/// `2006-01-02T15:04:05Z`, what `Time` fields hold. Fractions are cut off.
#[must_use]
pub fn format_seconds(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2006-01-02T15:04:05.000000Z`, what `MicroTime` fields hold.
#[must_use]
pub fn format_micros(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads an RFC 3339 time with any offset and fraction.
#[must_use]
pub fn parse(s: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    // RFC 3339 always has a date, a `T` and an offset; the parser alone would take more forms.
    let b = s.as_bytes();
    if b.len() < 20 || !matches!(b[10], b'T' | b't') {
        return None;
    }
    PARSER.parse_timestamp(s).ok()
}

/// Whole seconds from `then` to `now`, negative when `then` lies ahead.
#[must_use]
pub fn seconds_between(then: Timestamp, now: Timestamp) -> i64 {
    (now.as_millisecond() - then.as_millisecond()) / 1000
}

/// A duration in the short form that tables show, with two units where the first is small: `5m30s`, `3d4h`.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/duration/duration.go HumanDuration
#[must_use]
pub fn human_duration(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let s = seconds.max(0);
    let (minutes, hours, days) = (s / 60, s / 3600, s / 86_400);
    match () {
        () if s < 120 => format!("{s}s"),
        () if minutes < 10 => two(minutes, 'm', s % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two(days, 'd', hours % 24, 'h'),
        () if days < 730 => format!("{days}d"),
        () if days < 2920 => two(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

fn two(big: i64, big_unit: char, small: i64, small_unit: char) -> String {
    if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small}{small_unit}") }
}

/// A duration in one unit: `5m`, `3d`.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/duration/duration.go ShortHumanDuration
#[must_use]
pub fn short_human_duration(seconds: i64) -> String {
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// The age of the time written in `then`; `<unknown>` when it is absent or no time.
#[must_use]
pub fn age(then: &str, now: Timestamp) -> String {
    match parse(then) {
        Some(t) => human_duration(seconds_between(t, now)),
        None => "<unknown>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_durations() {
        const H: i64 = 3600;
        const D: i64 = 24 * H;
        let table: &[(i64, &str)] = &[
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * H - 1, "179m"),
            (3 * H, "3h"),
            (8 * H - 60, "7h59m"),
            (8 * H, "8h"),
            (48 * H - 1, "47h"),
            (2 * D, "2d"),
            (2 * D + H, "2d1h"),
            (8 * D - 1, "7d23h"),
            (8 * D, "8d"),
            (730 * D - 1, "729d"),
            (730 * D, "2y"),
            (731 * D, "2y1d"),
            (8 * 365 * D, "8y"),
        ];
        for (seconds, text) in table {
            assert_eq!(human_duration(*seconds), *text, "{seconds}");
        }
        assert_eq!(short_human_duration(90_061), "1d");
    }

    #[test]
    fn wire_forms() {
        let t = parse("2026-01-02T03:04:05.678901+01:00").unwrap();
        assert_eq!(format_seconds(t), "2026-01-02T02:04:05Z");
        assert_eq!(format_micros(t), "2026-01-02T02:04:05.678901Z");
        for bad in ["", "2026-01-02", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05", "soon"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert_eq!(age("2026-01-02T02:04:05Z", t), "0s");
        assert_eq!(age("", t), "<unknown>");
    }
}
