//! A field that holds a number or a text: a port number or its name, a count or a percentage.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number or a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    Int(i32),
    Str(String),
}

/// Why a count or percentage cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value for IntOrString: invalid type: string is not a percentage")]
pub struct NotAPercentage;

impl IntOrString {
    /// The percentage in a text such as `25%`.
    #[must_use]
    pub fn percent(&self) -> Option<i32> {
        match self {
            IntOrString::Int(_) => None,
            IntOrString::Str(s) => s.strip_suffix('%')?.parse().ok(),
        }
    }

    /// The number itself, or that percentage of `total`, rounded up or down.
    // k8s: staging/src/k8s.io/apimachinery/pkg/util/intstr/intstr.go GetScaledValueFromIntOrPercent
    pub fn scaled(&self, total: i32, round_up: bool) -> Result<i32, NotAPercentage> {
        match self {
            IntOrString::Int(n) => Ok(*n),
            IntOrString::Str(_) => {
                let percent = i64::from(self.percent().ok_or(NotAPercentage)?);
                let scaled = percent * i64::from(total);
                let rounded = if round_up { (scaled + 99).div_euclid(100) } else { scaled.div_euclid(100) };
                Ok(i32::try_from(rounded).unwrap_or(i32::MAX))
            }
        }
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrString::Int(n) => write!(f, "{n}"),
            IntOrString::Str(s) => f.write_str(s),
        }
    }
}

impl From<i32> for IntOrString {
    fn from(n: i32) -> Self {
        IntOrString::Int(n)
    }
}

impl From<&str> for IntOrString {
    fn from(s: &str) -> Self {
        IntOrString::Str(s.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_percentages() {
        let p = IntOrString::from("25%");
        assert_eq!((p.scaled(10, true), p.scaled(10, false)), (Ok(3), Ok(2)));
        assert_eq!(IntOrString::from(7).scaled(1, true), Ok(7));
        assert_eq!(IntOrString::from("x").scaled(1, true), Err(NotAPercentage));
        assert_eq!(serde_json::to_string(&p).unwrap(), "\"25%\"");
        assert_eq!(serde_json::from_str::<IntOrString>("8080").unwrap(), IntOrString::Int(8080));
    }
}
