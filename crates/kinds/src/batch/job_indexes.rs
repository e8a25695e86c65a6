//! Texts of indexes (`0-3,5`) as a job's rules read them: strictly.
// k8s: pkg/apis/batch/validation/validation.go validateIndexesFormat, parseIndexInterval

use meta::field::quoted;

/// First and last index.
type Interval = (i64, i64);

fn interval(text: &str, completions: i64) -> Result<Interval, String> {
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() > 2 {
        return Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            quoted(text)
        ));
    }
    let number = |text: &str| match text.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {}", quoted(text))),
        Ok(n) if n >= completions => Err(format!("too large index: {}", quoted(text))),
        Ok(n) => Ok(n),
    };
    let first = number(parts[0])?;
    let Some(last) = parts.get(1) else { return Ok((first, first)) };
    match number(last)? {
        last if first >= last => Err(format!("non-increasing order, previous: {first}, current: {last}")),
        last => Ok((first, last)),
    }
}

/// How many indexes the text names.
///
/// # Errors
/// What is wrong with it.
pub fn total(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut total, mut before) = (0, None);
    for part in text.split(',') {
        let (first, last) = interval(part, completions)?;
        if let Some(before) = before.filter(|b| *b >= first) {
            return Err(format!("non-increasing order, previous: {before}, current: {first}"));
        }
        total += last - first + 1;
        before = Some(last);
    }
    Ok(total)
}

/// An index that is in both texts; what cannot be read is passed over.
// k8s: validation.go validateFailedIndexesNotOverlapCompleted
#[must_use]
pub fn shared(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<Interval> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (completed, failed) = (read(completed), read(failed));
    let (mut i, mut j) = (0, 0);
    while let (Some(c), Some(f)) = (completed.get(i), failed.get(j)) {
        if c.0 <= f.1 && f.0 <= c.1 {
            return Some(c.0.max(f.0));
        }
        if c.0 <= f.0 { i += 1 } else { j += 1 }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, want) in [
            ("", Ok(0)),
            ("0-2,4", Ok(4)),
            ("1,1", Err("non-increasing order, previous: 1, current: 1")),
            ("2-1", Err("non-increasing order, previous: 2, current: 1")),
            (
                "0-1-2",
                Err(
                    "the fragment \"0-1-2\" violates the requirement that an index interval can have at most \
                           two parts separated by '-'",
                ),
            ),
            ("x", Err("cannot convert string to integer for index: \"x\"")),
            ("3-5", Err("too large index: \"5\"")),
        ] {
            assert_eq!(total(text, 5), want.map_err(str::to_owned), "{text}");
        }
        assert_eq!(shared("0-2,7", "3-5,7-8", 10), Some(7));
        assert_eq!(shared("0-2,9", "3-5,7-8", 10), None);
    }
}
