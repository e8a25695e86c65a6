//! Durations as flags have them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// `1h`, `30m`, `90s`, or several of them one after the other, as Go writes durations.
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> Result<Duration> {
    let wrong = || format!("{text:?} is not a duration such as 1h, 30m or 90s");
    let mut total = 0_u64;
    let mut number = String::new();
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => bail!(wrong()),
        };
        let n: u64 = number.parse().with_context(wrong)?;
        total = n.checked_mul(unit).and_then(|n| total.checked_add(n)).with_context(wrong)?;
        number.clear();
    }
    if text.is_empty() || !number.is_empty() {
        bail!(wrong());
    }
    Ok(Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        for bad in ["", "1", "h", "1x", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
