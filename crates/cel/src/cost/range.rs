//! Ranges of costs and sizes, and what things cost. It must never wrap around: what cannot be counted is the largest
//! number.
// k8s: github.com/google/cel-go checker/cost.go, common/cost.go

/// A range of costs or sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub min: u64,
    pub max: u64,
}

// k8s: github.com/google/cel-go common/cost.go
pub(crate) const STRING_FACTOR: f64 = 0.1;
pub(crate) const REGEX_FACTOR: f64 = 0.25;
pub(crate) const LIST_BASE: u64 = 10;
pub(crate) const MAP_BASE: u64 = 30;
pub(crate) const STRUCT_BASE: u64 = 40;

impl Range {
    pub const UNKNOWN: Range = Range { min: 0, max: u64::MAX };
    pub const ZERO: Range = Range::fixed(0);

    #[must_use]
    pub const fn fixed(n: u64) -> Range {
        Range { min: n, max: n }
    }

    #[must_use]
    pub const fn new(min: u64, max: u64) -> Range {
        Range { min, max }
    }

    #[must_use]
    pub const fn plus(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    #[must_use]
    pub const fn times(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// By a factor, rounded up.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Range {
        Range { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    /// The least range that has both in it.
    #[must_use]
    pub fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// By a factor, rounded up.
// k8s: github.com/google/cel-go checker/cost.go multiplyByCostFactor
#[must_use]
pub fn scale(n: u64, factor: f64) -> u64 {
    let scaled = (n as f64 * factor).ceil();
    // Where the product is beyond what can be counted the conversion saturates.
    scaled as u64
}
