//! What a reader of logs asks for.

use jiff::{SignedDuration, Timestamp};
use meta::Query;

/// Options as in PodLogOptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub tail_lines: Option<u64>,
    pub limit_bytes: Option<u64>,
    pub since: Option<Timestamp>,
    /// `Some(true)`: only standard error; `Some(false)`: only standard output.
    pub stderr_only: Option<bool>,
}

impl Options {
    /// From a query.
    ///
    /// # Errors
    /// The text of a 400.
    pub fn parse(q: &Query, now: Timestamp) -> Result<Self, String> {
        let on = |k: &str| matches!(q.get(k), Some("true" | "1" | "True" | "TRUE"));
        let number = |k: &str| match q.get(k).filter(|v| !v.is_empty()) {
            None => Ok(None),
            Some(v) => match v.parse::<i64>() {
                Ok(n) if n >= 0 => Ok(Some(n.unsigned_abs())),
                _ => Err(format!("{k}: Invalid value: \"{v}\": must be greater than or equal to 0")),
            },
        };
        let mut out = Options {
            follow: on("follow"),
            previous: on("previous"),
            timestamps: on("timestamps"),
            tail_lines: number("tailLines")?,
            limit_bytes: number("limitBytes")?,
            ..Options::default()
        };
        if out.limit_bytes == Some(0) {
            return Err("limitBytes: Invalid value: 0: must be greater than 0".to_owned());
        }
        let seconds = number("sinceSeconds")?;
        let time = q.get("sinceTime").filter(|v| !v.is_empty());
        out.since = match (seconds, time) {
            (Some(_), Some(_)) => {
                return Err("at most one of sinceTime or sinceSeconds may be specified".to_owned());
            }
            (Some(s), None) => {
                now.checked_sub(SignedDuration::from_secs(i64::try_from(s).unwrap_or(i64::MAX))).ok()
            }
            (None, Some(t)) => {
                Some(t.parse().map_err(|e| format!("sinceTime: Invalid value: \"{t}\": {e}"))?)
            }
            (None, None) => None,
        };
        out.stderr_only = match q.get("stream") {
            None | Some("" | "All") => None,
            Some("Stdout") => Some(false),
            Some("Stderr") => Some(true),
            Some(other) => return Err(format!("stream: Unsupported value: \"{other}\"")),
        };
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let now = Timestamp::from_second(1000).unwrap();
        let parse = |pairs: &[(&str, &str)]| {
            Options::parse(&Query(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()), now)
        };
        let o =
            parse(&[("follow", "true"), ("tailLines", "5"), ("sinceSeconds", "60"), ("stream", "Stderr")])
                .unwrap();
        assert_eq!((o.follow, o.tail_lines, o.stderr_only), (true, Some(5), Some(true)));
        assert_eq!(o.since.unwrap().as_second(), 940);
        for bad in [
            ("tailLines", "-1"),
            ("tailLines", "x"),
            ("limitBytes", "0"),
            ("sinceTime", "no"),
            ("stream", "x"),
        ] {
            assert!(parse(&[bad]).is_err(), "{bad:?}");
        }
    }
}
