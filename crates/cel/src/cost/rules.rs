//! How the cost of a call follows from its arguments, by function: one table for estimates and for counting.
//! It must never change without a reason: what costs too much cannot be written into a cluster.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/cost.go; github.com/google/cel-go interpreter/runtimecost.go,
// ext/lists.go, ext/sets.go

use super::range::{LIST_BASE, REGEX_FACTOR, STRING_FACTOR, STRUCT_BASE, scale};
use crate::value::Value;

/// How a call is charged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// One, whatever it is given.
    One,
    /// Asking an authorizer: two of them use up what an expression has.
    Check,
    /// Reading a selector.
    Selector,
    /// Looking at each element.
    Scan,
    /// The size of an argument by a factor.
    Size {
        arg: usize,
        factor: f64,
        result: ResultSize,
    },
    Replace,
    Split,
    Join,
    /// A string by a regular expression.
    Regex {
        result: bool,
    },
    ContainsIp {
        text: bool,
    },
    ContainsCidr {
        text: bool,
    },
    Validate,
    InList,
    /// The smaller of two sizes.
    Smaller,
    AddText,
    AddList,
    Contains,
    And,
    Conditional,
    /// A list as long as the result, made anew.
    NewList(NewList),
    /// Each with each.
    Sets {
        factor: f64,
    },
}

/// What is known of the size of a call's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ResultSize {
    Unknown,
    Same,
    /// As many bytes as characters, or four times as many.
    TextToBytes,
    BytesToText,
    Quoted,
}

/// The list functions of the language's library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NewList {
    Slice,
    Range,
    Reverse,
    Flatten,
    Distinct,
    Sort { text: bool },
    SortBy { text: bool },
}

/// The longest regular expression of a named format, and the longest format.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/limits.go, format.go
pub(crate) const MAX_FORMAT_REGEX: u64 = 128;
pub(crate) const MAX_FORMAT: u64 = 64;
pub(crate) const CHECK: u64 = 350_000;

const fn size(arg: usize, factor: f64, result: ResultSize) -> Rule {
    Rule::Size { arg, factor, result }
}

/// The rule of a function; `overload` when it is known which it is.
#[must_use]
pub fn rule(function: &str, overload: Option<&str>) -> Rule {
    if let Some(rule) = overload.and_then(by_overload) {
        return rule;
    }
    let overload = overload.unwrap_or("");
    match function {
        "check" => Rule::Check,
        "fieldSelector" | "labelSelector" => Rule::Selector,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => Rule::Scan,
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "jsonpatch.escapeKey" => {
            size(0, STRING_FACTOR, ResultSize::Same)
        }
        "replace" => Rule::Replace,
        "split" => Rule::Split,
        "join" => Rule::Join,
        "find" | "findAll" => Rule::Regex { result: true },
        "ip" if overload == "cidr_ip" => Rule::One,
        "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
            size(0, STRING_FACTOR, ResultSize::Unknown)
        }
        "ip.isCanonical" => size(0, 2.0 * STRING_FACTOR, ResultSize::Unknown),
        "containsIP" => Rule::ContainsIp { text: overload == "cidr_contains_ip_string" },
        "containsCIDR" => Rule::ContainsCidr { text: overload == "cidr_contains_cidr_string" },
        "validate" => Rule::Validate,
        _ => core(overload),
    }
}

/// Those that libraries set for overloads; they come first.
fn by_overload(overload: &str) -> Option<Rule> {
    let text = |id: &str| id.starts_with("list_string_") || id.starts_with("list_bytes_");
    Some(match overload {
        "list_slice" => Rule::NewList(NewList::Slice),
        "lists_range" => Rule::NewList(NewList::Range),
        "list_reverse" => Rule::NewList(NewList::Reverse),
        "list_flatten" | "list_flatten_int" => Rule::NewList(NewList::Flatten),
        "list_distinct" => Rule::NewList(NewList::Distinct),
        id if id.ends_with("_sort") => Rule::NewList(NewList::Sort { text: text(id) }),
        id if id.ends_with("_sortByAssociatedKeys") => Rule::NewList(NewList::SortBy { text: text(id) }),
        "list_sets_contains_list" | "list_sets_intersects_list" => Rule::Sets { factor: 1.0 },
        "list_sets_equivalent_list" => Rule::Sets { factor: 2.0 },
        _ => return None,
    })
}

/// Those of the language.
fn core(overload: &str) -> Rule {
    match overload {
        "starts_with_string" | "ends_with_string" => size(1, STRING_FACTOR, ResultSize::Unknown),
        "string_to_bytes" => size(0, STRING_FACTOR, ResultSize::TextToBytes),
        "bytes_to_string" => size(0, STRING_FACTOR, ResultSize::BytesToText),
        "strings_quote" => size(0, STRING_FACTOR, ResultSize::Quoted),
        "string_format" => size(0, STRING_FACTOR, ResultSize::Unknown),
        "in_list" => Rule::InList,
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => Rule::Smaller,
        "add_string" | "add_bytes" => Rule::AddText,
        "add_list" => Rule::AddList,
        "matches" | "matches_string" => Rule::Regex { result: false },
        "contains_string" => Rule::Contains,
        "logical_and" | "logical_or" => Rule::And,
        "conditional" => Rule::Conditional,
        _ => Rule::One,
    }
}

/// What reading a selector of so many characters costs.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/cost.go selectorCostEstimate
pub(crate) fn selector(length: u64) -> u64 {
    let requirements = scale(scale(length, 0.5), (LIST_BASE + STRUCT_BASE) as f64);
    LIST_BASE.saturating_add(scale(length, STRING_FACTOR)).saturating_add(requirements)
}

impl Rule {
    /// Whether the cost is not known before the result is.
    #[must_use]
    pub fn needs_result(self) -> bool {
        matches!(self, Rule::Join | Rule::NewList(NewList::Slice | NewList::Range | NewList::Reverse))
    }

    /// What a call cost. `result` may be missing where it is not needed.
    // k8s: github.com/google/cel-go interpreter/runtimecost.go costCall
    #[must_use]
    pub fn actual(self, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
        let arg = |at: usize| args.get(at).map_or(1, Value::size);
        let text = |n: u64| scale(n, STRING_FACTOR);
        let result = || result.map_or(1, Value::size);
        match self {
            Rule::One | Rule::AddList => 1,
            Rule::And | Rule::Conditional => 0,
            Rule::Check => CHECK,
            Rule::Selector => selector(arg(1)),
            Rule::Scan => args.first().map_or(0, traversal),
            Rule::Size { arg: at, factor, .. } => scale(arg(at), factor),
            Rule::Replace | Rule::Split => scale(arg(0), 2.0 * STRING_FACTOR),
            Rule::Join => scale(result(), 2.0 * STRING_FACTOR),
            Rule::Regex { .. } => text(arg(0).saturating_add(1)).saturating_mul(scale(arg(1), REGEX_FACTOR)),
            Rule::ContainsIp { text: is_text } => {
                let parse = if is_text { text(arg(1)) } else { 0 };
                text(arg(0).saturating_mul(2)).saturating_add(parse)
            }
            Rule::ContainsCidr { text: is_text } => {
                let parse = if is_text { text(arg(1)) } else { 0 };
                text(arg(0).saturating_mul(2)).saturating_add(text(arg(0)) + 1).saturating_add(parse)
            }
            Rule::Validate => {
                let regex = args.first().and_then(regex_size).unwrap_or(MAX_FORMAT_REGEX);
                text(arg(1).saturating_add(1)).saturating_mul(scale(regex, REGEX_FACTOR))
            }
            Rule::InList => arg(1),
            Rule::Smaller => match args.first() {
                Some(Value::Opaque(_)) => 1,
                _ => text(arg(0).min(arg(1))),
            },
            Rule::AddText => text(arg(0).saturating_add(arg(1))),
            Rule::Contains => text(arg(0)).saturating_mul(text(arg(1))),
            Rule::NewList(kind) => new_list(kind, args, result()),
            Rule::Sets { factor } => 1 + (arg(0).saturating_mul(arg(1)) as f64 * factor) as u64,
        }
    }
}

fn new_list(kind: NewList, args: &[Value<'_>], result: u64) -> u64 {
    let arg = |at: usize| args.get(at).map_or(1, Value::size);
    let (factor, size) = match kind {
        NewList::Slice | NewList::Range | NewList::Reverse => (1.0, result),
        NewList::Flatten => {
            let depth = args.get(1).and_then(Value::as_int).map_or(1.0, |d| d as f64);
            (if depth < 0.0 { 1.0 } else { depth }, arg(0))
        }
        NewList::Distinct | NewList::Sort { .. } | NewList::SortBy { .. } => {
            let at = usize::from(matches!(kind, NewList::SortBy { .. }));
            let first = args.get(at).and_then(Value::as_list).and_then(|l| l.get(0));
            let text = matches!(first, Some(Value::Str(_) | Value::Bytes(_)));
            (if text { 2.0 + STRING_FACTOR } else { 2.0 }, arg(at).saturating_mul(arg(at)))
        }
    };
    ((size as f64 * factor) as u64).saturating_add(1 + LIST_BASE)
}

/// The size of a format's regular expression.
fn regex_size(value: &Value<'_>) -> Option<u64> {
    if let Value::Opaque(o) = value { o.regex_size() } else { None }
}

/// What walking a value costs.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/cost.go traversalCost
fn traversal(value: &Value<'_>) -> u64 {
    match value {
        Value::Str(s) => (s.len() as f64 * STRING_FACTOR) as u64,
        Value::Bytes(b) => (b.len() as f64 * STRING_FACTOR) as u64,
        Value::List(l) => bounded(l.iter().map(|v| traversal(&v))),
        Value::Map(m) => bounded(m.iter().map(|(k, v)| traversal(&k).saturating_add(traversal(&v)))),
        _ => 1,
    }
}

/// A sum that stops where nobody can pay any more.
fn bounded(costs: impl Iterator<Item = u64>) -> u64 {
    const ENOUGH: u64 = 1 << 32;
    let mut sum = 0u64;
    for (steps, cost) in (0u64..).zip(costs) {
        sum = sum.saturating_add(cost);
        if sum > ENOUGH || steps > ENOUGH >> 6 {
            return u64::MAX;
        }
    }
    sum
}
