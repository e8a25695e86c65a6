//! Label selectors: the textual form of query parameters and the structured form in objects.
// k8s: staging/src/k8s.io/apimachinery/pkg/labels/selector.go

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::field::quoted;
use crate::{FieldError, Path, name};

/// How a requirement compares a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

/// Conditions that must all hold. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

/// The structured form, as objects hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One expression of a [`LabelSelector`]; `operator` is `In`, `NotIn`, `Exists` or `DoesNotExist`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelectorRequirement {
    pub key: String,
    pub operator: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// Why a selector is refused, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

impl Requirement {
    /// A checked requirement.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, SelectorError> {
        let mut errors = Vec::new();
        errors.extend(check_key(key, &Path::new("key")));
        let path = Path::new("values");
        let printed = || format!("[{}]", values.iter().map(|v| quoted(v)).collect::<Vec<_>>().join(","));
        let wrong = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        errors.extend(wrong.map(|w| FieldError::invalid(&path, printed(), w)));
        for (i, value) in values.iter().enumerate() {
            let at = path.index(i);
            let numeric = matches!(operator, Operator::GreaterThan | Operator::LessThan);
            if numeric && value.parse::<i64>().is_err() {
                let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&at, quoted(value), why));
            }
            let complaints = name::label_value(value);
            if !complaints.is_empty() {
                errors.push(FieldError::invalid(&at.key(key), quoted(value), complaints.join("; ")));
            }
        }
        match errors.as_slice() {
            [] => Ok(Requirement { key: key.to_owned(), operator, values }),
            [one] => Err(SelectorError(one.to_string())),
            many => Err(SelectorError(format!(
                "[{}]",
                many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// Whether a label with this value (or its absence) satisfies it.
    #[must_use]
    pub fn matches(&self, value: Option<&str>) -> bool {
        let has = |v: &str| self.values.iter().any(|x| x == v);
        let numbers =
            || -> Option<(i64, i64)> { Some((value?.parse().ok()?, self.values.first()?.parse().ok()?)) };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(has),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(has),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => numbers().is_some_and(|(have, limit)| have > limit),
            Operator::LessThan => numbers().is_some_and(|(have, limit)| have < limit),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted: BTreeSet<&str> = self.values.iter().map(String::as_str).collect();
        let values = sorted.into_iter().collect::<Vec<_>>().join(",");
        let key = &self.key;
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl Selector {
    /// Selects everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects nothing: what an absent `LabelSelector` means in most places.
    #[must_use]
    pub fn nothing() -> Self {
        Selector { requirements: Vec::new(), nothing: true }
    }

    /// From requirements, put in canonical order (by key).
    #[must_use]
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector { requirements, nothing: false }
    }

    /// Exactly these labels, unchecked, as Services and ReplicationControllers select.
    pub fn from_labels<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        let one = |(k, v): (K, V)| Requirement {
            key: k.into(),
            operator: Operator::Equals,
            values: vec![v.into()],
        };
        Self::new(labels.into_iter().map(one).collect())
    }

    /// Reads the textual form: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Parser { tokens: lex(text), at: 0 }.selector().map(Self::new).map_err(SelectorError)
    }

    /// From the structured form; `None` selects nothing, an empty one everything.
    // k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go LabelSelectorAsSelector
    pub fn from_label_selector(selector: Option<&LabelSelector>) -> Result<Self, SelectorError> {
        let Some(selector) = selector else { return Ok(Self::nothing()) };
        let mut out = Vec::new();
        for (key, value) in &selector.match_labels {
            out.push(Requirement::new(key, Operator::Equals, vec![value.clone()])?);
        }
        for e in &selector.match_expressions {
            let operator = match e.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let text = format!("{} is not a valid label selector operator", quoted(other));
                    return Err(SelectorError(text));
                }
            };
            out.push(Requirement::new(&e.key, operator, e.values.clone())?);
        }
        Ok(Self::new(out))
    }

    /// The conditions, by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether it selects nothing whatever the labels.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Whether an object is selected; `label` gives the value of a label.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(label(&r.key)))
    }

    /// Whether a map of labels is selected.
    #[must_use]
    pub fn matches_map(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches(|k| labels.get(k).map(String::as_str))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            write!(f, "{}{r}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

fn check_key(key: &str, path: &Path) -> Option<FieldError> {
    let complaints = name::qualified_name(key);
    (!complaints.is_empty()).then(|| FieldError::invalid(path, quoted(key), complaints.join("; ")))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// An operator or punctuation.
    Sign(&'static str),
    /// A key, a value, or one of the words `in` and `notin`.
    Word(String),
    /// Signs that make no operator.
    Bad(String),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Sign(s) => s,
            Token::Word(s) | Token::Bad(s) => s,
            Token::End => "",
        }
    }
}

const SIGNS: &[&str] = &["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

fn lex(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while !rest.is_empty() {
        let taken = if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            out.push(Token::Sign(sign));
            sign.len()
        } else {
            let stop = rest.find([' ', '\t', '\r', '\n', '=', '!', '(', ')', ',', '>', '<']);
            let word = &rest[..stop.unwrap_or(rest.len())];
            let bad = word.contains('\0');
            out.push(if bad { Token::Bad(word.to_owned()) } else { Token::Word(word.to_owned()) });
            word.len()
        };
        rest = rest[taken..].trim_start_matches([' ', '\t', '\r', '\n']);
    }
    out.push(Token::End);
    out
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let t = self.peek().clone();
        self.at += 1;
        t
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) | Token::Sign("!") => {}
                Token::End => return Ok(out),
                t => {
                    return Err(format!("found '{}', expected: !, identifier, or 'end of string'", t.text()));
                }
            }
            out.push(self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?);
            match self.next() {
                Token::End => return Ok(out),
                Token::Sign(",") => {
                    if !matches!(self.peek(), Token::Word(_) | Token::Sign("!")) {
                        return Err(format!(
                            "found '{}', expected: identifier after ','",
                            self.peek().text()
                        ));
                    }
                }
                t => return Err(format!("found '{}', expected: ',' or 'end of string'", t.text())),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = *self.peek() == Token::Sign("!");
        if absent {
            self.at += 1;
        }
        let key = match self.next() {
            Token::Word(w) => w,
            t => return Err(format!("found '{}', expected: identifier", t.text())),
        };
        if let Some(e) = check_key(&key, &Path::default()) {
            return Err(e.to_string());
        }
        let (operator, values) = if absent {
            (Operator::DoesNotExist, Vec::new())
        } else if matches!(self.peek(), Token::End | Token::Sign(",")) {
            (Operator::Exists, Vec::new())
        } else {
            let operator = self.operator()?;
            let set = matches!(operator, Operator::In | Operator::NotIn);
            (operator, if set { self.value_set()? } else { vec![self.exact_value()?] })
        };
        Requirement::new(&key, operator, values).map_err(|e| e.0)
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let t = self.next();
        Ok(match t.text() {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            "=" => Operator::Equals,
            "==" => Operator::DoubleEquals,
            "!=" => Operator::NotEquals,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        })
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Word(w) => Ok(w),
            t => Err(format!("found '{}', expected: identifier", t.text())),
        }
    }

    /// `(a,b)`; an empty place between commas or parentheses is the empty value.
    fn value_set(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != Token::Sign("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        if !matches!(self.peek(), Token::Word(_) | Token::Sign("," | ")")) {
            return Err(format!("found '{}', expected: ',', ')' or identifier", self.peek().text()));
        }
        let mut values = BTreeSet::new();
        loop {
            let value = match self.peek() {
                Token::Word(w) => {
                    let w = w.clone();
                    self.at += 1;
                    w
                }
                Token::Sign("," | ")") => String::new(),
                t => return Err(format!("found '{}', expected: ',', or identifier", t.text())),
            };
            values.insert(value);
            match self.next() {
                Token::Sign(",") => {}
                Token::Sign(")") => return Ok(values.into_iter().collect()),
                t => return Err(format!("found '{}', expected: ',' or ')'", t.text())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_canonically() {
        let table: &[(&str, &str)] = &[
            ("", ""),
            ("a=b", "a=b"),
            (" b == c , a != d ", "a!=d,b==c"),
            ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
            ("!a,b", "!a,b"),
            ("a>1,b<2", "a>1,b<2"),
            ("a=,b", "a=,b"),
            ("in in (in,notin)", "in in (in,notin)"),
            ("x in (a,)", "x in (,a)"),
        ];
        for (text, canonical) in table {
            assert_eq!(Selector::parse(text).unwrap().to_string(), *canonical, "{text}");
        }
    }

    #[test]
    fn refuses() {
        let table: &[(&str, &str)] = &[
            ("a=b,", "found '', expected: identifier after ','"),
            ("=b", "found '=', expected: !, identifier, or 'end of string'"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ];
        for (text, error) in table {
            assert_eq!(Selector::parse(text).unwrap_err().to_string(), *error, "{text}");
        }
        let long = format!("a={}", "b".repeat(64));
        let e = Selector::parse(&long).unwrap_err().to_string();
        assert!(e.ends_with("must be no more than 63 bytes"), "{e}");
        assert!(e.contains("values[0][a]: Invalid value"), "{e}");
    }

    #[test]
    fn matches() {
        let labels: BTreeMap<String, String> =
            [("app", "web"), ("n", "5")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let table: &[(&str, bool)] = &[
            ("", true),
            ("app=web", true),
            ("app==web,n", true),
            ("app!=web", false),
            ("other!=x", true),
            ("other", false),
            ("!other", true),
            ("app in (a,web)", true),
            ("app notin (a,web)", false),
            ("other notin (a)", true),
            ("n>4", true),
            ("n<5", false),
            ("app>1", false),
        ];
        for (text, want) in table {
            assert_eq!(Selector::parse(text).unwrap().matches_map(&labels), *want, "{text}");
        }
        assert!(!Selector::nothing().matches_map(&labels));
    }

    #[test]
    fn structured_form() {
        let json = r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"In","values":["e","d"]},{"key":"f","operator":"Exists"}]}"#;
        let s: LabelSelector = serde_json::from_str(json).unwrap();
        assert_eq!(Selector::from_label_selector(Some(&s)).unwrap().to_string(), "a=b,c in (d,e),f");
        assert!(Selector::from_label_selector(None).unwrap().is_nothing());
        let bad = LabelSelector {
            match_expressions: vec![LabelSelectorRequirement {
                key: "a".into(),
                operator: "X".into(),
                values: vec![],
            }],
            ..LabelSelector::default()
        };
        let e = Selector::from_label_selector(Some(&bad)).unwrap_err();
        assert_eq!(e.to_string(), "\"X\" is not a valid label selector operator");
    }
}
