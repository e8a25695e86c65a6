//! Whether a text is a cron schedule: five fields, or a descriptor such as `@daily`. It never computes times.
// k8s: the standard parser of robfig/cron v3

/// What a field may hold: its lowest and highest number, and names for numbers.
type Field = (u32, u32, &'static [&'static str]);

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [(0, 59, &[]), (0, 23, &[]), (1, 31, &[]), (1, 12, MONTHS), (0, 6, DAYS)];
const DESCRIPTORS: &[&str] =
    &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Says what is wrong with a schedule.
///
/// # Errors
/// The parser's message.
pub fn check(schedule: &str) -> Result<(), String> {
    if schedule.starts_with('@') {
        let every =
            schedule.strip_prefix("@every ").is_some_and(|d| d.starts_with(|c: char| c.is_ascii_digit()));
        return if every || DESCRIPTORS.contains(&schedule) {
            Ok(())
        } else {
            Err(format!("unrecognized descriptor: {schedule}"))
        };
    }
    let parts: Vec<&str> = schedule.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
    }
    parts
        .iter()
        .zip(FIELDS)
        .try_for_each(|(part, field)| part.split(',').try_for_each(|range| check_range(range, field)))
}

fn check_range(range: &str, (low, high, names): Field) -> Result<(), String> {
    let number = |text: &str, first: u32| match names.iter().position(|n| text.eq_ignore_ascii_case(n)) {
        Some(i) => Ok(first + u32::try_from(i).unwrap_or(0)),
        None => text.parse::<u32>().map_err(|_| format!("failed to parse int from {text}")),
    };
    let mut halves = range.split('/');
    let (span, step) = (halves.next().unwrap_or(""), halves.next());
    if halves.next().is_some() {
        return Err(format!("too many slashes: {range}"));
    }
    let (from, to) = match span.split_once('-') {
        _ if matches!(span, "*" | "?") => (low, high),
        Some((_, to)) if to.contains('-') => return Err(format!("too many hyphens: {range}")),
        Some((from, to)) => (number(from, low)?, number(to, low)?),
        None => {
            let only = number(span, low)?;
            (only, if step.is_some() { high } else { only })
        }
    };
    if from < low {
        return Err(format!("beginning of range ({from}) below minimum ({low}): {range}"));
    }
    if to > high {
        return Err(format!("end of range ({to}) above maximum ({high}): {range}"));
    }
    if from > to {
        return Err(format!("beginning of range ({from}) beyond end of range ({to}): {range}"));
    }
    match step.map(|s| number(s, 0)).transpose()? {
        Some(0) => Err(format!("step of range should be a positive number: {range}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["*/5 * * * *", "0 0 1 JAN sun", "1-5,7 ? 1/2 * 0-6", "@daily", "@every 1h30m"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let bad = [
            ("x", "expected exactly 5 fields, found 1: [x]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("* * * foo *", "failed to parse int from foo"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("@never", "unrecognized descriptor: @never"),
        ];
        for (text, why) in bad {
            assert_eq!(check(text), Err(why.to_owned()), "{text}");
        }
    }
}
