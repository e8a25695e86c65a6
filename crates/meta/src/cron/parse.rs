//! Reads schedules.
// k8s: robfig/cron v3 parser.go

use jiff::tz::TimeZone;

use super::schedule::{Fields, STAR, Schedule};
use crate::{duration, zone};

/// What a field may hold: its lowest and highest number, and names for numbers.
struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const fn bounds(min: u64, max: u64, names: &'static [&'static str]) -> Bounds {
    Bounds { min, max, names }
}

const MINUTES: Bounds = bounds(0, 59, &[]);
const HOURS: Bounds = bounds(0, 23, &[]);
const DAYS: Bounds = bounds(1, 31, &[]);
const MONTHS: Bounds =
    bounds(1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]);
const WEEKDAYS: Bounds = bounds(0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]);

/// Reads a schedule, with a time zone in front (`TZ=Asia/Tokyo `) or in UTC.
///
/// # Errors
/// The library's message.
pub fn parse(text: &str) -> Result<Schedule, String> {
    if text.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let (zone, text) = zone_of(text)?;
    if text.starts_with('@') {
        return descriptor(text, zone);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    };
    Ok(Schedule::Fields(Fields {
        minute: field(minute, &MINUTES)?,
        hour: field(hour, &HOURS)?,
        day_of_month: field(day_of_month, &DAYS)?,
        month: field(month, &MONTHS)?,
        day_of_week: field(day_of_week, &WEEKDAYS)?,
        zone,
    }))
}

fn zone_of(text: &str) -> Result<(TimeZone, &str), String> {
    let Some(rest) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) else {
        return Ok((TimeZone::UTC, text));
    };
    let Some((name, rest)) = rest.split_once(' ') else {
        // What upstream makes of the library's panic.
        return Err("invalid schedule format: runtime error: slice bounds out of range [:-1]".to_owned());
    };
    let zone = zone::load(name).map_err(|why| format!("provided bad location {name}: {why}"))?;
    Ok((zone, rest.trim()))
}

fn descriptor(text: &str, zone: TimeZone) -> Result<Schedule, String> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(every) = text.strip_prefix("@every ") else {
                return Err(format!("unrecognized descriptor: {text}"));
            };
            let nanos =
                duration::parse(every).map_err(|why| format!("failed to parse duration {text}: {why}"))?;
            return Ok(Schedule::Every((nanos / 1_000_000_000).max(1)));
        }
    };
    let Schedule::Fields(fields) = parse(fields)? else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    Ok(Schedule::Fields(Fields { zone, ..fields }))
}

fn field(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let ranges = text.split(',').filter(|r| !r.is_empty());
    ranges.map(|r| range(r, bounds)).try_fold(0, |all, bits| Ok(all | bits?))
}

fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let span: Vec<&str> = parts[0].split('-').collect();
    let mut star = 0;
    let (start, mut end) = if matches!(span[0], "*" | "?") {
        star = STAR;
        (bounds.min, bounds.max)
    } else {
        let start = named(span[0], bounds)?;
        match span[..] {
            [_] => (start, start),
            [_, end] => (start, named(end, bounds)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match parts[..] {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if span.len() == 1 {
                end = bounds.max;
            }
            if step > 1 {
                star = 0;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    let Bounds { min, max, .. } = *bounds;
    match () {
        () if start < min => Err(format!("beginning of range ({start}) below minimum ({min}): {text}")),
        () if end > max => Err(format!("end of range ({end}) above maximum ({max}): {text}")),
        () if start > end => Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}")),
        () if step == 0 => Err(format!("step of range should be a positive number: {text}")),
        () => {
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            Ok((start..=end).step_by(step).fold(star, |bits, n| bits | 1 << n))
        }
    }
}

fn named(text: &str, bounds: &Bounds) -> Result<u64, String> {
    match bounds.names.iter().position(|n| text.eq_ignore_ascii_case(n)) {
        Some(i) => Ok(bounds.min + i as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let fail = |why: &str| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}");
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fail("invalid syntax"));
    }
    let n: i64 = text.parse().map_err(|_| fail("value out of range"))?;
    u64::try_from(n).map_err(|_| format!("negative number ({n}) not allowed: {text}"))
}
