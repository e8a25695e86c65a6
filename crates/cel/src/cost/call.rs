//! The estimated cost of one call, and what its result's size can be.
//! It must never look at anything but sizes.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/cost.go EstimateCallCost; github.com/google/cel-go checker/cost.go
// functionCost, ext/lists.go

use super::argument::Node;
use super::estimate::Coster;
use super::range::{LIST_BASE, REGEX_FACTOR, Range, STRING_FACTOR};
use super::rules::{self, NewList, ResultSize, Rule};
use crate::ast::Expr;
use crate::types::Type;

type Estimate = (Range, Option<Range>);

impl<'c> Coster<'c> {
    /// The cost of a call with that of its arguments, and the size of its result.
    pub(super) fn call_cost(
        &mut self,
        expr: &Expr,
        function: &str,
        rule: Rule,
        target: Option<&Node<'c>>,
        args: &[Node<'c>],
        costs: &[Range],
    ) -> Estimate {
        match rule {
            // Only the left side is sure to be evaluated.
            Rule::And => {
                let both = costs.iter().fold(Range::ZERO, |a, b| a.plus(*b));
                return (Range::new(costs.first().map_or(0, |c| c.min), both.max), None);
            }
            Rule::Conditional => return self.conditional(expr, args, costs),
            _ => {}
        }
        let sum = costs.iter().fold(Range::ZERO, |a, b| a.plus(*b));
        let all: Vec<&Node<'c>> = target.into_iter().chain(args).collect();
        let (cost, size) = match rule {
            Rule::AddText | Rule::AddList => self.added(expr, rule, args),
            Rule::Smaller => (self.compared(function, args), None),
            Rule::Scan => (self.scanned(function, target), None),
            Rule::Join => self.joined(target, args),
            Rule::NewList(kind) => new_list(kind, &all),
            _ => fixed_rule(rule, &all),
        };
        (cost.plus(sum), size)
    }

    fn conditional(&mut self, expr: &Expr, args: &[Node<'c>], costs: &[Range]) -> Estimate {
        let [_, yes, no] = args else { return (Range::UNKNOWN, None) };
        let size = yes.sized().union(no.sized());
        let entries = match (self.entries_of(yes.expr), self.entries_of(no.expr)) {
            (Some(a), Some(b)) => Some(a.union(b)),
            _ => None,
        };
        self.set_entries(expr.id, entries);
        (costs[0].plus(costs[1].union(costs[2])), Some(size))
    }

    fn added(&mut self, expr: &Expr, rule: Rule, args: &[Node<'c>]) -> Estimate {
        let [a, b] = args else { return (Range::fixed(1), None) };
        let size = a.sized().plus(b.sized());
        if let (Some(a), Some(b)) = (self.entries_of(a.expr), self.entries_of(b.expr)) {
            self.set_entries(expr.id, Some(a.union(b)));
        }
        let cost = if rule == Rule::AddList { Range::fixed(1) } else { size.scaled(STRING_FACTOR) };
        (cost, Some(size))
    }

    /// Equality and order.
    fn compared(&self, function: &str, args: &[Node<'c>]) -> Range {
        let [a, b] = args else { return Range::fixed(1) };
        let (ta, tb) = (self.checked.type_of(a.expr), self.checked.type_of(b.expr));
        if function == "_==_" && ta == tb {
            match ta.name() {
                "net.IP" | "net.CIDR" | "kubernetes.Quantity" | "kubernetes.Semver" => {
                    return Range::fixed(1);
                }
                "kubernetes.NamedFormat" => {
                    return Range::new(1, rules::MAX_FORMAT).scaled(STRING_FACTOR);
                }
                // As upstream has it, the size of the right side stands for both.
                "kubernetes.URL" => return Range::new(1, b.size.map_or(1, |s| s.max)).scaled(STRING_FACTOR),
                name if name.starts_with("kubernetes.authorization.") => return Range::fixed(1),
                _ => {}
            }
        }
        let most = a.sized().max.min(b.sized().max);
        Range::new(u64::from(most > 0), most).scaled(STRING_FACTOR)
    }

    /// The size of a list's elements as far as somebody knows it.
    fn element(&self, list: &Node<'c>) -> Option<(Type, Range)> {
        let ty = self.checked.type_of(list.expr);
        let of = ty.params().first().copied().cloned()?;
        let path = list.path.clone().map(|mut p| {
            p.push("@items".to_owned());
            p
        });
        let size = self.asked(path.as_deref(), &of);
        Some((of, size))
    }

    fn scanned(&self, function: &str, target: Option<&Node<'c>>) -> Range {
        let Some(target) = target else { return Range::fixed(1) };
        let one = Range::fixed(1);
        match self.element(target) {
            Some((Type::String | Type::Bytes, size)) => {
                target.sized().times(one.plus(size.scaled(STRING_FACTOR)))
            }
            Some(_) => target.sized().times(one),
            None if function == "includes" => target.sized().times(one),
            None => target.sized().scaled(STRING_FACTOR),
        }
    }

    fn joined(&self, target: Option<&Node<'c>>, args: &[Node<'c>]) -> Estimate {
        let Some(target) = target else { return (Range::fixed(1), None) };
        let list = target.sized();
        let mut size = self.element(target).map_or(Range::ZERO, |(_, e)| list.times(e));
        if let Some(separator) = args.first() {
            let count = Range::new(list.min.saturating_sub(1), list.max.saturating_sub(1));
            size = size.plus(separator.sized().times(count));
        }
        (size.scaled(STRING_FACTOR), Some(size))
    }
}

/// Rules that follow from the sizes of the arguments alone, the receiver first.
fn fixed_rule(rule: Rule, all: &[&Node<'_>]) -> Estimate {
    let sized = |at: usize| all.get(at).map_or(Range::UNKNOWN, |n| n.sized());
    let text = |r: Range| r.scaled(STRING_FACTOR);
    match rule {
        Rule::Check => (Range::fixed(rules::CHECK), None),
        Rule::Selector => {
            let size = sized(1);
            (Range::new(rules::selector(size.min), rules::selector(size.max)), None)
        }
        Rule::Size { arg, factor, result } => {
            let size = sized(arg);
            (size.scaled(factor), result_size(result, size))
        }
        Rule::Replace => (sized(0).scaled(2.0 * STRING_FACTOR), Some(replaced(sized(0), sized(1), sized(2)))),
        Rule::Split => {
            let size = sized(0);
            let limit = all.get(2).and_then(|n| n.expr.as_int());
            let most = limit.map_or(size.max, |l| l as u64);
            (size.scaled(2.0 * STRING_FACTOR), Some(Range::new(0, most)))
        }
        Rule::Regex { result } => {
            let cost = text(sized(0).plus(Range::fixed(1))).times(sized(1).scaled(REGEX_FACTOR));
            (cost, result.then(|| Range::new(0, sized(0).max)))
        }
        Rule::ContainsIp { text: is_text } => {
            let parse = if is_text { text(sized(1)) } else { Range::ZERO };
            (text(Range::new(8, 32)).plus(parse), None)
        }
        Rule::ContainsCidr { text: is_text } => {
            let parse = if is_text { text(sized(1)) } else { Range::ZERO };
            (text(Range::new(8, 32)).plus(text(Range::new(4, 16))).plus(Range::fixed(1)).plus(parse), None)
        }
        Rule::Validate => (text(sized(1)).scaled(rules::MAX_FORMAT_REGEX as f64 * REGEX_FACTOR), None),
        Rule::InList => (sized(1), None),
        Rule::Contains => (text(sized(0)).times(text(sized(1))), None),
        Rule::Sets { factor } => (sized(0).times(sized(1)).scaled(factor).plus(Range::fixed(1)), None),
        _ => (Range::fixed(1), None),
    }
}

fn result_size(result: ResultSize, size: Range) -> Option<Range> {
    match result {
        ResultSize::Unknown => None,
        ResultSize::Same => Some(size),
        ResultSize::TextToBytes => Some(Range::new(size.min, size.max.wrapping_mul(4))),
        ResultSize::BytesToText => Some(Range::new(size.min / 4, size.max)),
        ResultSize::Quoted => {
            Some(Range::new(size.min.wrapping_add(2), size.max.wrapping_mul(2).wrapping_add(2)))
        }
    }
}

/// How long a string can be after what was found in it was replaced.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/cost.go case "replace"
fn replaced(text: Range, old: Range, new: Range) -> Range {
    let div = |a: u64, b: u64| (a as f64 / b as f64).ceil() as u64;
    let (most, kept_most) = if old.min == 0 {
        (text.max.saturating_add(1), text.max)
    } else if new.max <= old.min {
        (0, text.max)
    } else {
        (div(text.max, old.min), 0)
    };
    let (least, kept_least) = if old.max == 0 {
        (text.min.saturating_add(1), text.min)
    } else if old.max <= new.min {
        (0, text.min)
    } else {
        (div(text.min, old.max), 0)
    };
    Range::new(least, most).times(new).plus(Range::new(kept_least, kept_most))
}

fn new_list(kind: NewList, all: &[&Node<'_>]) -> Estimate {
    let sized = |at: usize| all.get(at).map_or(Range::UNKNOWN, |n| n.sized());
    let square = |at: usize| sized(at).times(sized(at));
    let text_factor = |text: bool| if text { 2.0 + STRING_FACTOR } else { 2.0 };
    let (factor, size) = match kind {
        NewList::Slice => {
            let start = all.get(1).map_or(0, |n| n.literal(0));
            let end = all.get(2).map_or(u64::MAX, |n| n.literal(sized(0).max));
            (1.0, Range::fixed(end.wrapping_sub(start)))
        }
        NewList::Range => (1.0, Range::fixed(all.first().map_or(u64::MAX, |n| n.literal(u64::MAX)))),
        NewList::Reverse => (1.0, sized(0)),
        NewList::Flatten => {
            let depth = all.get(1).map_or(1, |n| n.literal(u64::MAX));
            (depth as f64, sized(0))
        }
        NewList::Distinct => (2.0, square(0)),
        NewList::Sort { text } => (text_factor(text), square(0)),
        NewList::SortBy { text } => (text_factor(text), square(1)),
    };
    let cost = size.scaled(factor).plus(Range::fixed(1 + LIST_BASE));
    (cost, Some(size))
}
