//! JSON paths as Kubernetes writes them: what columns of tables show and where parts of custom objects are.
//! It must never take more steps than [`LIMIT_STEPS`] for one path over one object.
// k8s: staging/src/k8s.io/client-go/util/jsonpath/{parser,jsonpath}.go

use std::cmp::Ordering;

use crate::Value;

/// Longest path in bytes.
const LIMIT_BYTES: usize = 4 << 10;
/// Most values looked at by one search.
const LIMIT_STEPS: usize = 100_000;

/// A path that can be looked up: `.spec.containers[*].name`, `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// All members of a map or a list.
    Every,
    /// Everything below, at any depth, itself included.
    Descend,
    /// From, to (without), by; negative ones count from the end.
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Index(i64),
    Filter(Operand, Comparison, Operand),
    /// Items that have it.
    Has(Operand),
    Union(Vec<JsonPath>),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a path, with or without braces around it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<JsonPath, String> {
        if text.len() > LIMIT_BYTES {
            return Err(format!("a path may have {LIMIT_BYTES} bytes at most"));
        }
        let text = text.trim();
        let inside = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut parser = Parser { text: inside.as_bytes(), at: 0 };
        let path = parser.path(8)?;
        if parser.at < parser.text.len() {
            return Err(parser.unexpected());
        }
        Ok(path)
    }

    /// The names of nested fields, where the path has nothing else.
    #[must_use]
    pub fn fields(&self) -> Option<Vec<&str>> {
        self.0.iter().map(Step::name).collect()
    }

    /// What the path leads to. What is not there is left out.
    #[must_use]
    pub fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        let mut left = LIMIT_STEPS;
        self.walk(root, &mut left)
    }

    fn walk<'v>(&self, root: &'v Value, left: &mut usize) -> Vec<&'v Value> {
        let mut now = vec![root];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in now {
                if *left == 0 {
                    return Vec::new();
                }
                *left -= 1;
                step.apply(value, &mut next, left);
            }
            now = next;
        }
        now
    }
}

impl Step {
    fn name(&self) -> Option<&str> {
        match self {
            Step::Field(name) => Some(name),
            _ => None,
        }
    }

    fn apply<'v>(&self, value: &'v Value, out: &mut Vec<&'v Value>, left: &mut usize) {
        match self {
            Step::Field(name) => out.extend(value.get(name)),
            Step::Every => out.extend(members(value)),
            Step::Descend => descend(value, out, left),
            Step::Index(at) => {
                let list = value.as_list().unwrap_or_default();
                out.extend(from_end(*at, list.len()).and_then(|at| list.get(at)));
            }
            Step::Slice(from, to, by) => slice(value.as_list().unwrap_or_default(), *from, *to, *by, out),
            Step::Has(operand) => out.extend(members(value).filter(|item| operand.of(item, left).is_some())),
            Step::Filter(a, comparison, b) => {
                out.extend(members(value).filter(|item| match (a.of(item, left), b.of(item, left)) {
                    (Some(a), Some(b)) => comparison.holds(a, b),
                    _ => false,
                }))
            }
            Step::Union(paths) => {
                for path in paths {
                    out.extend(path.walk(value, left));
                }
            }
        }
    }
}

fn members(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::List(list) => Box::new(list.iter()),
        Value::Map(map) => Box::new(map.iter().map(|(_, v)| v)),
        _ => Box::new(std::iter::empty()),
    }
}

fn descend<'v>(value: &'v Value, out: &mut Vec<&'v Value>, left: &mut usize) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    out.push(value);
    for member in members(value) {
        descend(member, out, left);
    }
}

fn from_end(at: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if at < 0 { at + length } else { at }).ok()
}

fn slice<'v>(
    list: &'v [Value],
    from: Option<i64>,
    to: Option<i64>,
    by: Option<i64>,
    out: &mut Vec<&'v Value>,
) {
    let bound = |at: Option<i64>, otherwise: usize| match at {
        None => otherwise,
        Some(at) => from_end(at, list.len()).unwrap_or(0).min(list.len()),
    };
    let (from, to) = (bound(from, 0), bound(to, list.len()));
    let step = usize::try_from(by.unwrap_or(1)).unwrap_or(0);
    if step > 0 && from < to {
        out.extend(list[from..to].iter().step_by(step));
    }
}

impl Operand {
    fn of<'v>(&'v self, item: &'v Value, left: &mut usize) -> Option<&'v Value> {
        match self {
            Operand::Path(path) => path.walk(item, left).first().copied(),
            Operand::Value(value) => Some(value),
        }
    }
}

impl Comparison {
    fn holds(self, a: &Value, b: &Value) -> bool {
        let order = match (a, b) {
            (Value::Str(a), Value::Str(b)) => a.partial_cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.partial_cmp(b),
            (Value::Int(a), Value::Int(b)) => a.partial_cmp(b),
            _ => match (number(a), number(b)) {
                (Some(a), Some(b)) => a.partial_cmp(&b),
                _ => None,
            },
        };
        match (self, order) {
            (Comparison::Equal, Some(o)) => o == Ordering::Equal,
            (Comparison::Unequal, Some(o)) => o != Ordering::Equal,
            (Comparison::Less, Some(o)) => o == Ordering::Less,
            (Comparison::LessOrEqual, Some(o)) => o != Ordering::Greater,
            (Comparison::Greater, Some(o)) => o == Ordering::Greater,
            (Comparison::GreaterOrEqual, Some(o)) => o != Ordering::Less,
            (_, None) => false,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "numbers of different kinds are compared as floats")]
fn number(v: &Value) -> Option<f64> {
    match v {
        Value::Int(n) => Some(*n as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    }
}

/// How a find is printed: texts as they are, everything else as JSON.
#[must_use]
pub fn text(v: &Value) -> String {
    match v {
        Value::Str(s) => s.to_string(),
        other => String::from_utf8_lossy(&crate::encode_plain(other)).into_owned(),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn unexpected(&self) -> String {
        match self.text.get(self.at) {
            None => "unexpected end of the path".to_owned(),
            Some(_) => {
                format!("unrecognized character in path: {}", String::from_utf8_lossy(&self.text[self.at..]))
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.text[self.at..].starts_with(token.as_bytes());
        if found {
            self.at += token.len();
        }
        found
    }

    fn blanks(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Steps up to something that belongs to no path. `depth` bounds filters in filters.
    fn path(&mut self, depth: usize) -> Result<JsonPath, String> {
        let depth = depth.checked_sub(1).ok_or("the path is nested too deeply")?;
        let mut steps = Vec::new();
        if !self.take("$") {
            self.take("@");
        }
        loop {
            if self.take("..") {
                steps.push(Step::Descend);
                if self.peek() != Some(b'[') {
                    self.member(&mut steps)?;
                }
            } else if self.take(".") {
                match self.peek() {
                    // A dot before a bracket, or alone, says nothing.
                    Some(b'[') | None => {}
                    _ => self.member(&mut steps)?,
                }
            } else if self.peek() == Some(b'[') {
                self.bracket(&mut steps, depth)?;
            } else if steps.is_empty() && self.peek().is_some_and(is_name) {
                self.member(&mut steps)?;
            } else {
                return Ok(JsonPath(steps));
            }
        }
    }

    fn member(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        if self.take("*") {
            steps.push(Step::Every);
            return Ok(());
        }
        let mut name = Vec::new();
        while let Some(byte) = self.peek() {
            if byte == b'\\' && self.at + 1 < self.text.len() {
                name.push(self.text[self.at + 1]);
                self.at += 2;
            } else if is_name(byte) {
                name.push(byte);
                self.at += 1;
            } else {
                break;
            }
        }
        if name.is_empty() {
            return Err(self.unexpected());
        }
        steps.push(Step::Field(String::from_utf8_lossy(&name).into_owned()));
        Ok(())
    }

    fn bracket(&mut self, steps: &mut Vec<Step>, depth: usize) -> Result<(), String> {
        self.at += 1;
        self.blanks();
        if self.take("?(") {
            steps.push(self.filter(depth)?);
            self.blanks();
            if !self.take(")") {
                return Err("unterminated filter".to_owned());
            }
        } else {
            let mut parts = vec![self.part()?];
            self.blanks();
            while self.take(",") {
                self.blanks();
                parts.push(self.part()?);
                self.blanks();
            }
            match parts.len() {
                1 => steps.append(&mut parts),
                _ => steps.push(Step::Union(parts.into_iter().map(|step| JsonPath(vec![step])).collect())),
            }
        }
        self.blanks();
        if self.take("]") { Ok(()) } else { Err("unterminated array".to_owned()) }
    }

    /// What stands between brackets and commas.
    fn part(&mut self) -> Result<Step, String> {
        match self.peek() {
            Some(b'*') => {
                self.at += 1;
                Ok(Step::Every)
            }
            Some(quote @ (b'\'' | b'"')) => Ok(Step::Field(self.quoted(quote)?)),
            Some(b'-' | b':' | b'0'..=b'9') => self.range(),
            _ => Err("invalid array index".to_owned()),
        }
    }

    fn range(&mut self) -> Result<Step, String> {
        let first = self.integer()?;
        if !self.take(":") {
            return first.map(Step::Index).ok_or_else(|| "invalid array index".to_owned());
        }
        let second = self.integer()?;
        let third = if self.take(":") { self.integer()? } else { None };
        if third.is_some_and(|by| by < 1) {
            return Err("step must be > 0".to_owned());
        }
        Ok(Step::Slice(first, second, third))
    }

    fn integer(&mut self) -> Result<Option<i64>, String> {
        let start = self.at;
        self.take("-");
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_| format!("invalid array index {digits}"))
    }

    fn quoted(&mut self, quote: u8) -> Result<String, String> {
        self.at += 1;
        let mut out = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b if b == quote => return Ok(String::from_utf8_lossy(&out).into_owned()),
                b'\\' if self.at < self.text.len() => {
                    out.push(self.text[self.at]);
                    self.at += 1;
                }
                b => out.push(b),
            }
        }
        Err("unterminated quoted string".to_owned())
    }

    fn filter(&mut self, depth: usize) -> Result<Step, String> {
        const SIGNS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        self.blanks();
        let left = self.operand(depth)?;
        self.blanks();
        for (sign, comparison) in SIGNS {
            if self.take(sign) {
                self.blanks();
                return Ok(Step::Filter(left, comparison, self.operand(depth)?));
            }
        }
        Ok(Step::Has(left))
    }

    fn operand(&mut self, depth: usize) -> Result<Operand, String> {
        match self.peek() {
            Some(quote @ (b'\'' | b'"')) => Ok(Operand::Value(Value::from(self.quoted(quote)?))),
            Some(b'@' | b'$' | b'.' | b'[') => Ok(Operand::Path(self.path(depth)?)),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
                    self.at += 1;
                }
                match crate::decode_plain(&self.text[start..self.at]) {
                    Ok(value) => Ok(Operand::Value(value)),
                    Err(_) => Err(self.unexpected()),
                }
            }
        }
    }
}

/// What a name without quotes consists of.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b'\\') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, json: &str) -> String {
        let value = crate::decode_plain(json.as_bytes()).unwrap();
        let path = JsonPath::parse(path).unwrap();
        path.find(&value).into_iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn finds() {
        let json = r#"{"spec":{"replicas":3,"a.b":"dotted","list":[{"n":"x","v":1},{"n":"y","v":2},{"n":"z"}]},
            "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Old","status":"False"}]},"none":null}"#;
        for (path, want) in [
            (".spec.replicas", "3"),
            ("{.spec.replicas}", "3"),
            ("spec.replicas", "3"),
            ("$.spec.replicas", "3"),
            (".spec['replicas']", "3"),
            (r".spec.a\.b", "dotted"),
            (".spec['a.b']", "dotted"),
            (".spec.list[0].n", "x"),
            (".spec.list[-1].n", "z"),
            (".spec.list[7].n", ""),
            (".spec.list[*].n", "x y z"),
            (".spec.list[1:].n", "y z"),
            (".spec.list[0:3:2].n", "x z"),
            (".spec.list[0,2].n", "x z"),
            (r#".status.conditions[?(@.type=="Ready")].status"#, "True"),
            (".status.conditions[?(@.type == 'Old')].status", "False"),
            (".spec.list[?(@.v>1)].n", "y"),
            (".spec.list[?(@.v)].n", "x y"),
            (
                "..status",
                r#"{"conditions":[{"type":"Ready","status":"True"},{"type":"Old","status":"False"}]} True False"#,
            ),
            (".missing.deeper", ""),
            (".none", ""),
            (".spec.list[2]", r#"{"n":"z"}"#),
        ] {
            assert_eq!(found(path, json), want, "{path}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (path, why) in [
            (".spec[", "invalid array index"),
            (".spec[0", "unterminated array"),
            (".spec[x]", "invalid array index"),
            (".spec['x]", "unterminated quoted string"),
            (".spec[?(@.a==1]", "unterminated filter"),
            (".spec[0:1:0]", "step must be > 0"),
            (".spec.", ""),
            (".spec!", "unrecognized character in path: !"),
            (".a..", "unexpected end of the path"),
        ] {
            let found = JsonPath::parse(path).map(|_| String::new()).unwrap_or_else(|e| e);
            assert_eq!(found, why, "{path}");
        }
        let nested = format!("{}1{}", ".a[?(@".repeat(20), ")]".repeat(20));
        assert!(JsonPath::parse(&nested).is_err());
    }

    #[test]
    fn fields_only() {
        let fields = |path: &str| JsonPath::parse(path).unwrap().fields().map(|f| f.join("/"));
        assert_eq!(fields(".spec.replicas"), Some("spec/replicas".to_owned()));
        assert_eq!(fields(".spec.list[0]"), None);
    }
}
