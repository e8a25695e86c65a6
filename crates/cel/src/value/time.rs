//! Timestamps from year 1 to 9999 and durations of nanoseconds, read and printed as upstream does.
//! It must never read a clock; zones come from the program's own database.
// k8s: github.com/google/cel-go common/types/timestamp.go, duration.go; Go's package time

use std::fmt;

/// A moment: seconds since 1970, nanoseconds, and the offset from UTC it was written with, which only printing knows.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
    offset: i32,
}

// k8s: github.com/google/cel-go common/types/timestamp.go minUnixTime, maxUnixTime
const MIN_SECONDS: i64 = -62_135_596_800;
const MAX_SECONDS: i64 = 253_402_300_799;
const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        (self.seconds, self.nanos) == (other.seconds, other.nanos)
    }
}
impl Eq for Timestamp {}
impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }
}

/// A day and a time of day somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// From 0.
    pub day_of_year: i64,
    /// From 0, Sunday.
    pub weekday: i64,
}

impl Timestamp {
    /// Upstream's zero time, the first second of year 1.
    pub const ZERO: Timestamp = Timestamp { seconds: MIN_SECONDS, nanos: 0, offset: 0 };

    /// `None` out of the years that there are.
    #[must_use]
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        ((MIN_SECONDS..=MAX_SECONDS).contains(&seconds) && i64::from(nanos) < NANOS).then_some(Timestamp {
            seconds,
            nanos,
            offset: 0,
        })
    }

    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    #[must_use]
    pub const fn subsec_nanos(self) -> u32 {
        self.nanos
    }

    /// This moment and a duration later. `None` out of the years that there are.
    #[must_use]
    pub fn plus(self, d: i128) -> Option<Self> {
        let total = i128::from(self.seconds) * i128::from(NANOS) + i128::from(self.nanos) + d;
        let seconds = i64::try_from(total.div_euclid(i128::from(NANOS))).ok()?;
        let nanos = u32::try_from(total.rem_euclid(i128::from(NANOS))).ok()?;
        Timestamp::new(seconds, nanos).map(|t| Timestamp { offset: self.offset, ..t })
    }

    /// How long after the other it is.
    #[must_use]
    pub fn since(self, other: Timestamp) -> Option<Duration> {
        let nanos = i128::from(self.seconds - other.seconds) * i128::from(NANOS) + i128::from(self.nanos)
            - i128::from(other.nanos);
        i64::try_from(nanos).ok().map(Duration)
    }

    /// Day and time of day so many seconds east of UTC.
    #[must_use]
    pub fn civil(self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let (days, rest) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = date_of(days);
        Civil {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            day_of_year: days - days_to(year, 1, 1),
            weekday: (days + 4).rem_euclid(7),
        }
    }

    /// Seconds east of UTC in a zone: empty, a name of the database, or `-07:30`.
    ///
    /// # Errors
    /// That there is no such zone, in upstream's words.
    // k8s: github.com/google/cel-go common/stdlib/standard.go inTimeZone
    pub fn offset_in(self, zone: &str) -> Result<i64, String> {
        let Some((hours, minutes)) = zone.split_once(':') else {
            let zone = meta::zone::load(zone)?;
            // Those who wrote the database say nothing of the far ends.
            let clamped = self.seconds.clamp(MIN_SECONDS, jiff::Timestamp::MAX.as_second() - 1);
            let at = jiff::Timestamp::from_second(clamped).map_err(|e| e.to_string())?;
            return Ok(i64::from(zone.to_offset(at).seconds()));
        };
        let number = |text: &str| {
            text.parse::<i64>()
                .ok()
                .filter(|n| n.abs() < 100_000)
                .ok_or_else(|| format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))
        };
        let (h, m) = (number(hours)?, number(minutes)?);
        Ok(if hours.starts_with('-') { h * 60 - m } else { h * 60 + m } * 60)
    }

    /// RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Parsed> {
        let b = text.as_bytes();
        let number = |from: usize, len: usize| {
            let digits = b.get(from..from + len)?;
            digits.iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
        };
        let is = |at: usize, c: u8| b.get(at) == Some(&c);
        if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut at = 19;
        let mut nanos = 0u32;
        if matches!(b.get(at), Some(b'.' | b',')) {
            let digits = b[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            for place in 0..9 {
                let digit = if place < digits { u32::from(b[at + 1 + place] - b'0') } else { 0 };
                nanos = nanos * 10 + digit;
            }
            at += 1 + digits;
        }
        let offset = match b.get(at)? {
            b'Z' if b.len() == at + 1 => 0,
            sign @ (b'+' | b'-') if b.len() == at + 6 && is(at + 3, b':') => {
                let (h, m) = (number(at + 1, 2)?, number(at + 4, 2)?);
                if h > 24 || m > 60 {
                    return None;
                }
                (h * 3600 + m * 60) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        let seconds = days_to(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
        let offset = i32::try_from(offset).ok()?;
        Some(
            Timestamp::new(seconds, nanos)
                .map_or(Parsed::OutOfRange, |t| Parsed::At(Timestamp { offset, ..t })),
        )
    }
}

/// What a text that is a timestamp says.
#[derive(Clone, Copy, Debug)]
pub enum Parsed {
    At(Timestamp),
    OutOfRange,
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.civil(i64::from(self.offset));
        write!(f, "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)?;
        if self.nanos > 0 {
            write!(f, ".{}", format!("{:09}", self.nanos).trim_end_matches('0'))?;
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let (sign, minutes) = (if self.offset < 0 { '-' } else { '+' }, self.offset.abs() / 60);
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01; years count from March in it, so that the leap day is the last.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let d = z.rem_euclid(146_097);
    let y = (d - d / 1460 + d / 36_524 - d / 146_096) / 365;
    let of_year = d - (365 * y + y / 4 - y / 100);
    let m = (5 * of_year + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (y + era * 400 + i64::from(month <= 2), month, of_year - (153 * m + 2) / 5 + 1)
}

/// A span of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

impl Duration {
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// `1h2m3.5s`, `-15ms`.
    // k8s: Go's time.ParseDuration
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Duration(0));
        }
        if rest.is_empty() {
            return None;
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            rest = after;
            total += piece(number, unit)?;
            if total > 1 << 63 {
                return None;
            }
        }
        let nanos = if negative { -i128::try_from(total).ok()? } else { i128::try_from(total).ok()? };
        i64::try_from(nanos).ok().map(Duration)
    }
}

fn piece(number: &str, unit: &str) -> Option<u128> {
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 20 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = &fraction[..fraction.len().min(18)];
    let part: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let power = 10u128.pow(u32::try_from(digits.len()).ok()?);
    whole.checked_mul(scale).map(|w| w + part * scale / power)
}

/// Seconds with as many decimals as there are.
impl fmt::Display for Duration {
    // k8s: github.com/google/cel-go common/types/duration.go ConvertToType
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As upstream, through a double.
        let seconds = (self.0 / NANOS) as f64 + (self.0 % NANOS) as f64 / 1e9;
        write!(f, "{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        for days in (-719_162..2_932_896).step_by(97) {
            let (y, m, d) = date_of(days);
            assert_eq!(days_to(y, m, d), days);
            assert!((1..=days_in(y, m)).contains(&d));
        }
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(days_to(1, 1, 1) * DAY, MIN_SECONDS);
    }

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("1h2m3.5s", Some(3_723_500_000_000)),
            ("-15ms", Some(-15_000_000)),
            ("0", Some(0)),
            ("1.5µs", Some(1500)),
            (".5s", Some(500_000_000)),
            ("", None),
            ("1", None),
            ("1x", None),
            (".s", None),
            ("9223372036s", Some(9_223_372_036_000_000_000)),
            ("9223372037s", None),
            ("-9223372036854775808ns", Some(i64::MIN)),
        ] {
            assert_eq!(Duration::parse(text).map(Duration::nanos), nanos, "{text}");
        }
    }
}
