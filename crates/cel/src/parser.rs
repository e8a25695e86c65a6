//! Tokens to the tree, by upstream's grammar, macros expanded on the way. Size and depth are bounded, and what
//! is wrong is said in upstream's words as far as a parser that stops at the first error can say them.
//! It must never recurse deeper than its limits.
// k8s: github.com/google/cel-go parser/parser.go, parser/gen/CEL.g4

use crate::ast::{Element, Entry, Expr, Field, Id, Kind, Literal};
use crate::lexer::{Tok, Token, tokens};
use crate::macros::{Builder, Macro};
use crate::source::{Issues, Location, Source};
use crate::unescape;

/// How large an expression may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Code points of the source.
    pub code_points: usize,
    /// How deep each rule of the grammar may be inside itself.
    pub rule_depth: u32,
    /// How deep the tree may become.
    pub tree_depth: u32,
}

impl Default for Limits {
    // k8s: github.com/google/cel-go parser/parser.go NewParser
    fn default() -> Self {
        Limits { code_points: 100_000, rule_depth: 250, tree_depth: 250 }
    }
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Ast {
    pub expr: Expr,
    pub source: Source,
    /// Where nodes are, by their ids.
    pub(crate) places: Vec<usize>,
}

impl Ast {
    /// Where a node is.
    #[must_use]
    pub fn location(&self, id: Id) -> Location {
        self.places.get(id as usize).map_or(Location::NONE, |at| self.source.location(*at))
    }

    /// One more than the largest id.
    #[must_use]
    pub fn ids(&self) -> usize {
        self.places.len()
    }
}

/// The tree of `text`, with `macros` expanded.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str, macros: &[Macro], limits: Limits) -> Result<Ast, Issues> {
    let count = text.chars().take(limits.code_points.saturating_add(1)).count();
    if count > limits.code_points {
        let mut issues = Issues::new(&Source::default());
        let (size, limit) = (text.chars().count(), limits.code_points);
        issues.report(
            Location::NONE,
            format!("expression code point size exceeds limit: size: {size}, limit {limit}"),
        );
        return Err(issues);
    }
    let source = Source::new(text);
    let mut issues = Issues::new(&source);
    let tokens = tokens(&source, &mut issues);
    let mut parser = Parser {
        source: &source,
        tokens,
        at: 0,
        issues,
        builder: Builder::default(),
        macros,
        limits,
        depth: [0; 4],
        call_at: usize::MAX,
    };
    let parsed = parser.start();
    let Parser { issues, builder, .. } = parser;
    let expr = match parsed {
        Ok(expr) => expr,
        // The error was reported.
        Err(Stop) => Expr { id: 0, kind: Kind::Unspecified },
    };
    let places = builder.places;
    issues.or(()).map(|()| Ast { expr, source, places })
}

/// An error was reported and there is nothing to go on with.
struct Stop;

type Parsed = Result<(Expr, u32), Stop>;

/// The rules that can be inside themselves.
#[derive(Clone, Copy)]
enum Rule {
    Expr,
    Relation,
    Calc,
    Member,
}

struct Parser<'s> {
    source: &'s Source,
    tokens: Vec<Token>,
    at: usize,
    issues: Issues,
    builder: Builder,
    macros: &'s [Macro],
    limits: Limits,
    depth: [u32; 4],
    /// Where the arguments of the last call begin.
    call_at: usize,
}

/// What an expression can begin with, as upstream's parser lists it.
const PRIMARY: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// And what arguments can.
const ARGUMENTS: &str = "{'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// What can follow a complete expression.
const FOLLOW: &str =
    "'==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', '.', '-', '?', '+', '*', '/', '%'";

const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

impl<'s> Parser<'s> {
    fn start(&mut self) -> Result<Expr, Stop> {
        let (expr, _) = self.expr()?;
        let next = self.peek();
        if next.tok != Tok::End {
            // Where one token could be left out, upstream's parser calls it extraneous.
            let rest = self.tokens.len() - self.at;
            let what = if rest == 2 { "extraneous" } else { "mismatched" };
            let message = format!("{what} input {} expecting <EOF>", self.quoted(next));
            return self.syntax(next, &message);
        }
        Ok(expr)
    }

    fn peek(&self) -> Token {
        self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn text(&self, token: Token) -> &'s [char] {
        &self.source.chars()[token.start..token.end]
    }

    fn string(&self, token: Token) -> String {
        self.text(token).iter().collect()
    }

    fn quoted(&self, token: Token) -> String {
        if token.tok == Tok::End { "'<EOF>'".to_owned() } else { format!("'{}'", self.string(token)) }
    }

    fn is(&self, punct: &str) -> bool {
        let token = self.peek();
        token.tok == Tok::Punct && self.text(token).iter().copied().eq(punct.chars())
    }

    fn take(&mut self, punct: &str) -> Option<Token> {
        self.is(punct).then(|| self.next())
    }

    fn expect(&mut self, punct: &str, expecting: &str) -> Result<Token, Stop> {
        let token = self.peek();
        match self.take(punct) {
            Some(token) => Ok(token),
            None => {
                let message = format!("mismatched input {} expecting {expecting}", self.quoted(token));
                self.syntax(token, &message)
            }
        }
    }

    fn syntax<T>(&mut self, token: Token, message: &str) -> Result<T, Stop> {
        self.issues.report(self.source.location(token.start), format!("Syntax error: {message}"));
        Err(Stop)
    }

    /// Reports and goes on with a node that stands for the error.
    fn error(&mut self, at: usize, message: impl Into<String>) -> Expr {
        self.issues.report(self.source.location(at), message);
        self.builder.expr(at, Kind::Unspecified)
    }

    fn enter(&mut self, rule: Rule) -> Result<(), Stop> {
        self.depth[rule as usize] += 1;
        if self.depth[rule as usize] > self.limits.rule_depth {
            let limit = self.limits.rule_depth;
            self.issues.report(Location::NONE, format!("expression recursion limit exceeded: {limit}"));
            return Err(Stop);
        }
        Ok(())
    }

    fn exit(&mut self, rule: Rule, times: u32) {
        self.depth[rule as usize] -= times;
    }

    /// A tree one higher than `height`.
    fn higher(&mut self, height: u32) -> Result<u32, Stop> {
        if height >= self.limits.tree_depth {
            self.issues.report(Location::NONE, "max recursion depth exceeded");
            return Err(Stop);
        }
        Ok(height + 1)
    }

    fn expr(&mut self) -> Parsed {
        self.enter(Rule::Expr)?;
        let (condition, height) = self.logic("||")?;
        let out = if let Some(op) = self.take("?") {
            let id = self.builder.id(op.start);
            let (yes, h1) = self.logic("||")?;
            self.expect(":", "':'")?;
            let (no, h2) = self.expr()?;
            let height = self.higher(height.max(h1).max(h2))?;
            (call(id, "_?_:_", vec![condition, yes, no]), height)
        } else {
            (condition, height)
        };
        self.exit(Rule::Expr, 1);
        Ok(out)
    }

    /// `||` over `&&` over relations; many terms become a balanced tree.
    fn logic(&mut self, op: &str) -> Parsed {
        let below = |this: &mut Self| if op == "||" { this.logic("&&") } else { this.binary(0) };
        let (first, mut height) = below(self)?;
        let (mut terms, mut ops) = (vec![first], Vec::new());
        while let Some(token) = self.take(op) {
            let (term, h) = below(self)?;
            ops.push(self.builder.id(token.start));
            terms.push(term);
            height = height.max(h);
        }
        if ops.is_empty() {
            return Ok((terms.remove(0), height));
        }
        for _ in 0..usize::BITS - ops.len().leading_zeros() {
            height = self.higher(height)?;
        }
        let function = if op == "||" { "_||_" } else { "_&&_" };
        let mut terms: Vec<_> = terms.into_iter().map(Some).collect();
        Ok((balanced(function, &mut terms, &ops, 0, ops.len() - 1), height))
    }

    fn operator(&self) -> Option<(&'static str, u32, Rule)> {
        let token = self.peek();
        if token.tok == Tok::In {
            return Some(("@in", 0, Rule::Relation));
        }
        if token.tok != Tok::Punct {
            return None;
        }
        let (function, precedence) = match self.string(token).as_str() {
            "<" => ("_<_", 0),
            "<=" => ("_<=_", 0),
            ">" => ("_>_", 0),
            ">=" => ("_>=_", 0),
            "==" => ("_==_", 0),
            "!=" => ("_!=_", 0),
            "+" => ("_+_", 1),
            "-" => ("_-_", 1),
            "*" => ("_*_", 2),
            "/" => ("_/_", 2),
            "%" => ("_%_", 2),
            _ => return None,
        };
        Some((function, precedence, if precedence == 0 { Rule::Relation } else { Rule::Calc }))
    }

    fn binary(&mut self, least: u32) -> Parsed {
        let (mut left, mut height) = self.unary()?;
        let mut entered = Vec::new();
        while let Some((function, precedence, rule)) = self.operator() {
            if precedence < least {
                break;
            }
            let op = self.next();
            self.enter(rule)?;
            entered.push(rule);
            let id = self.builder.id(op.start);
            let (right, h) = self.binary(precedence + 1)?;
            height = self.higher(height.max(h))?;
            left = call(id, function, vec![left, right]);
        }
        for rule in entered {
            self.exit(rule, 1);
        }
        Ok((left, height))
    }

    fn unary(&mut self) -> Parsed {
        let op = self.peek();
        let function = if self.is("!") {
            "!_"
        } else if self.is("-") && !self.is_number(self.at + 1) {
            "-_"
        } else {
            return self.member();
        };
        let sign = if function == "!_" { "!" } else { "-" };
        let mut ops = 0;
        while self.is(sign) {
            self.next();
            ops += 1;
        }
        if ops % 2 == 0 {
            return self.member();
        }
        let id = self.builder.id(op.start);
        let (operand, height) = self.member()?;
        let height = self.higher(height)?;
        Ok((call(id, function, vec![operand]), height))
    }

    fn is_number(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| matches!(t.tok, Tok::Int | Tok::Float))
    }

    fn member(&mut self) -> Parsed {
        let (mut expr, mut height) = self.primary()?;
        let mut entered = 0;
        loop {
            let op = self.peek();
            if self.take(".").is_some() {
                let optional = self.take("?").is_some();
                (expr, height) = self.selected(op, optional, expr, height)?;
            } else if self.take("[").is_some() {
                let id = self.builder.id(op.start);
                let optional = self.take("?").is_some();
                let (index, h) = self.expr()?;
                self.expect("]", "']'")?;
                height = height.max(h);
                expr = call(id, if optional { "_[?_]" } else { "_[_]" }, vec![expr, index]);
            } else {
                break;
            }
            self.enter(Rule::Member)?;
            entered += 1;
            height = self.higher(height)?;
        }
        self.exit(Rule::Member, entered);
        Ok((expr, height))
    }

    /// What follows a dot.
    fn selected(&mut self, op: Token, optional: bool, operand: Expr, height: u32) -> Parsed {
        let name = self.next();
        let field = match name.tok {
            Tok::Ident => self.string(name),
            Tok::Escaped => self.text(name)[1..name.end - name.start - 1].iter().collect(),
            _ => {
                let message = if optional {
                    format!("mismatched input {} expecting {{IDENTIFIER, ESC_IDENTIFIER}}", self.quoted(name))
                } else if matches!(name.tok, Tok::True | Tok::False | Tok::Null) {
                    format!("mismatched input {} expecting IDENTIFIER", self.string(name))
                } else {
                    format!("no viable alternative at input '.{}'", self.string(name))
                };
                return self.syntax(name, &message);
            }
        };
        if optional {
            let id = self.builder.id(op.start);
            let field = self.builder.expr(name.start, Kind::Literal(Literal::Str(field)));
            return Ok((call(id, "_?._", vec![operand, field]), height));
        }
        if name.tok == Tok::Ident
            && let Some(open) = self.take("(")
        {
            let id = self.builder.id(open.start);
            let (args, h) = self.arguments()?;
            let height = height.max(h);
            return self.call_or_macro(id, open.start, field, Some(operand), args, height);
        }
        let kind = Kind::Select { operand: Box::new(operand), field, test_only: false };
        Ok((self.builder.expr(op.start, kind), height))
    }

    /// The arguments and the closing bracket.
    fn arguments(&mut self) -> Result<(Vec<Expr>, u32), Stop> {
        let (mut args, mut height) = (Vec::new(), 0);
        self.call_at = self.at;
        if self.take(")").is_some() {
            return Ok((args, height));
        }
        loop {
            let (arg, h) = self.expr()?;
            args.push(arg);
            height = height.max(h);
            if self.take(",").is_none() {
                self.expect(")", &format!("{{{FOLLOW}, ')', ','}}"))?;
                return Ok((args, height));
            }
        }
    }

    fn call_or_macro(
        &mut self,
        id: Id,
        at: usize,
        function: String,
        target: Option<Expr>,
        args: Vec<Expr>,
        height: u32,
    ) -> Parsed {
        let found = self.macros.iter().find(|m| m.matches(&function, target.as_ref(), args.len()));
        let Some(found) = found else {
            let kind = Kind::Call { function, target: target.map(Box::new), args };
            let height = self.higher(height)?;
            return Ok((Expr { id, kind }, height));
        };
        let mut height = height;
        for _ in 0..found.depth {
            height = self.higher(height)?;
        }
        match (found.expand)(&mut self.builder, at, target, args) {
            Ok(expr) => Ok((expr, height)),
            Err((at, message)) => Ok((self.error(at, message), height)),
        }
    }

    fn primary(&mut self) -> Parsed {
        let token = self.peek();
        match token.tok {
            Tok::Ident => self.named(None),
            Tok::Punct => match self.string(token).as_str() {
                "." => {
                    self.next();
                    self.named(Some(token))
                }
                "(" => {
                    self.next();
                    let inner = self.expr()?;
                    if self.peek().tok == Tok::End {
                        return self.syntax(self.peek(), "missing ')' at '<EOF>'");
                    }
                    self.expect(")", &format!("{{{FOLLOW}, ')'}}"))?;
                    Ok(inner)
                }
                "[" => self.list(),
                "{" => self.map(),
                "-" if self.is_number(self.at + 1) => {
                    self.next();
                    let number = self.next();
                    Ok((self.number(token.start, number, true), 1))
                }
                _ => self.unexpected(token),
            },
            Tok::End => self.unexpected(token),
            Tok::In | Tok::Escaped => self.unexpected(token),
            _ => {
                self.next();
                Ok((self.literal(token), 1))
            }
        }
    }

    fn unexpected(&mut self, token: Token) -> Parsed {
        // Where an expression would begin behind one token, upstream's parser calls that one extraneous.
        let before = |c: char| {
            self.at > 0
                && self.tokens[self.at - 1].tok == Tok::Punct
                && self.text(self.tokens[self.at - 1]) == [c]
        };
        let extra = if token.tok == Tok::End { before('!') } else { self.begins(self.at + 1) };
        let what = if extra { "extraneous" } else { "mismatched" };
        let expecting = if before('(') && self.call_at == self.at { ARGUMENTS } else { PRIMARY };
        let message = format!("{what} input {} expecting {expecting}", self.quoted(token));
        self.syntax(token, &message)
    }

    /// Whether an expression can begin with a token.
    fn begins(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| match t.tok {
            Tok::Punct => matches!(self.text(*t), ['[' | '{' | '(' | '.' | '-' | '!']),
            Tok::In | Tok::Escaped | Tok::End => false,
            _ => true,
        })
    }

    /// An identifier, a call or a message, with or without a leading dot.
    fn named(&mut self, dot: Option<Token>) -> Parsed {
        let first = self.next();
        if first.tok != Tok::Ident {
            let message = format!("mismatched input {} expecting IDENTIFIER", self.quoted(first));
            return self.syntax(first, &message);
        }
        let mut name = if dot.is_some() { ".".to_owned() } else { String::new() };
        name.extend(self.text(first));
        if let Some(end) = self.message_name(&mut name) {
            self.at = end;
            return self.message(name);
        }
        if let Some(open) = self.take("(") {
            if self.reserved(&name) {
                let message = format!("reserved identifier: {}", self.string(first));
                let at = dot.unwrap_or(first).start;
                self.arguments()?;
                return Ok((self.error(at, message), 1));
            }
            let id = self.builder.id(open.start);
            let (args, height) = self.arguments()?;
            return self.call_or_macro(id, open.start, name, None, args, height);
        }
        if self.reserved(&name) {
            let message = format!("reserved identifier: {}", self.string(first));
            return Ok((self.error(dot.unwrap_or(first).start, message), 1));
        }
        Ok((self.builder.expr(first.start, Kind::Ident(name)), 1))
    }

    fn reserved(&self, name: &str) -> bool {
        RESERVED.contains(&name.trim_start_matches('.'))
    }

    /// Whether `.b.c{` follows the identifier just read; adds to the name and gives where the brace is.
    fn message_name(&self, name: &mut String) -> Option<usize> {
        let mut at = self.at;
        let is = |at: usize, c: char| {
            self.tokens.get(at).is_some_and(|t| t.tok == Tok::Punct && self.text(*t) == [c])
        };
        let mut rest = String::new();
        while is(at, '.') && self.tokens.get(at + 1).is_some_and(|t| t.tok == Tok::Ident) {
            rest.push('.');
            rest.extend(self.text(self.tokens[at + 1]));
            at += 2;
        }
        if !is(at, '{') {
            return None;
        }
        name.push_str(&rest);
        Some(at)
    }

    fn message(&mut self, name: String) -> Parsed {
        let open = self.next();
        let id = self.builder.id(open.start);
        let (mut fields, mut height) = (Vec::new(), 0);
        while !self.is("}") {
            let optional = self.take("?").is_some();
            let token = self.next();
            let field = match token.tok {
                Tok::Ident => self.string(token),
                Tok::Escaped => self.text(token)[1..token.end - token.start - 1].iter().collect(),
                _ => {
                    let message = format!(
                        "mismatched input {} expecting {{'}}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}}",
                        self.quoted(token)
                    );
                    return self.syntax(token, &message);
                }
            };
            let colon = self.expect(":", "':'")?;
            let id = self.builder.id(colon.start);
            let (value, h) = self.expr()?;
            height = height.max(h);
            fields.push(Field { id, name: field, value, optional });
            if self.take(",").is_none() {
                break;
            }
        }
        self.expect("}", "'}'")?;
        let height = self.higher(height)?;
        Ok((Expr { id, kind: Kind::Struct { name, fields } }, height))
    }

    fn list(&mut self) -> Parsed {
        let open = self.next();
        let id = self.builder.id(open.start);
        let (mut elements, mut height) = (Vec::new(), 0);
        if !self.lone_comma("]") {
            while !self.is("]") {
                let optional = self.take("?").is_some();
                let (value, h) = self.expr()?;
                height = height.max(h);
                elements.push(Element { value, optional });
                if self.take(",").is_none() {
                    break;
                }
                if self.is(",") {
                    self.expect("]", "']'")?;
                }
            }
        }
        self.expect("]", "{']', ','}")?;
        let height = self.higher(height)?;
        Ok((Expr { id, kind: Kind::List(elements) }, height))
    }

    /// `[,]` and `{,}` are empty.
    fn lone_comma(&mut self, close: &str) -> bool {
        if !self.is(",") {
            return false;
        }
        self.next();
        if self.is(close) {
            return true;
        }
        self.at -= 1;
        false
    }

    fn map(&mut self) -> Parsed {
        let open = self.next();
        let id = self.builder.id(open.start);
        let (mut entries, mut height) = (Vec::new(), 0);
        if !self.lone_comma("}") {
            while !self.is("}") {
                let optional = self.take("?").is_some();
                let (key, h1) = self.expr()?;
                let colon = self.expect(":", "':'")?;
                let entry = self.builder.id(colon.start);
                let (value, h2) = self.expr()?;
                height = height.max(h1).max(h2);
                entries.push(Entry { id: entry, key, value, optional });
                if self.take(",").is_none() {
                    break;
                }
            }
        }
        self.expect("}", &format!("{{{FOLLOW}, '}}', ','}}"))?;
        let height = self.higher(height)?;
        Ok((Expr { id, kind: Kind::Map(entries) }, height))
    }

    fn literal(&mut self, token: Token) -> Expr {
        let text = self.text(token);
        let literal = match token.tok {
            Tok::True => Ok(Literal::Bool(true)),
            Tok::False => Ok(Literal::Bool(false)),
            Tok::Null => Ok(Literal::Null),
            Tok::Str => unescape::string(text).map(Literal::Str),
            Tok::Bytes => unescape::bytes(&text[1..]).map(Literal::Bytes),
            _ => return self.number(token.start, token, false),
        };
        match literal {
            Ok(literal) => self.builder.expr(token.start, Kind::Literal(literal)),
            Err(message) => self.error(token.start, message),
        }
    }

    fn number(&mut self, at: usize, token: Token, negative: bool) -> Expr {
        let text = self.string(token);
        let sign = if negative { "-" } else { "" };
        let literal = match token.tok {
            Tok::Int => match text.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(&format!("{sign}{hex}"), 16).ok(),
                None => format!("{sign}{text}").parse().ok(),
            }
            .map(Literal::Int)
            .ok_or("invalid int literal"),
            Tok::Uint => {
                let text = &text[..text.len() - 1];
                match text.strip_prefix("0x") {
                    Some(hex) => u64::from_str_radix(hex, 16).ok(),
                    None => text.parse().ok(),
                }
                .map(Literal::Uint)
                .ok_or("invalid uint literal")
            }
            _ => format!("{sign}{text}")
                .parse::<f64>()
                .ok()
                .filter(|d| d.is_finite())
                .map(Literal::Double)
                .ok_or("invalid double literal"),
        };
        match literal {
            Ok(literal) => self.builder.expr(at, Kind::Literal(literal)),
            Err(message) => self.error(at, message),
        }
    }
}

fn call(id: Id, function: &str, args: Vec<Expr>) -> Expr {
    Expr { id, kind: Kind::Call { function: function.to_owned(), target: None, args } }
}

// k8s: github.com/google/cel-go parser/helper.go balancedTree
fn balanced(function: &str, terms: &mut [Option<Expr>], ops: &[Id], low: usize, high: usize) -> Expr {
    let middle = (low + high).div_ceil(2);
    let mut term = |at: usize| terms[at].take().expect("each term is taken once");
    let left = if middle == low { Some(term(middle)) } else { None };
    let right = if middle == high { Some(term(middle + 1)) } else { None };
    let left = left.unwrap_or_else(|| balanced(function, terms, ops, low, middle - 1));
    let right = right.unwrap_or_else(|| balanced(function, terms, ops, middle + 1, high));
    call(ops[middle], function, vec![left, right])
}
