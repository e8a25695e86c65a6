//! Paths into a schema as rules and selectable fields write them: `.spec.color`, `.data['a.b']`.
// k8s: apiextensions-apiserver pkg/apiserver/schema/cel/validation.go ValidFieldPath

use meta::Path;

use super::node::Node;

/// The place and the schema that a path leads to.
///
/// # Errors
/// Why it leads nowhere.
pub fn find<'n>(text: &str, node: &'n Node, brackets: bool) -> Result<(Path, &'n Node), String> {
    const END: &str = "unexpected end of JSON path";
    let mut tokens = Tokens(text);
    let mut at = Path::default();
    let mut node = node;
    while let Some(token) = tokens.next() {
        match token {
            "." => {
                let name = tokens.next().ok_or(END)?;
                (at, node) = step(name, &at, node)?;
            }
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let token = tokens.next().ok_or(END)?;
                let quoted = token.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
                let quoted =
                    quoted.ok_or_else(|| format!("expected single quoted string but got {token}"))?;
                (at, node) = step(&unescape(quoted)?, &at, node)?;
                match tokens.next().ok_or(END)? {
                    "]" => {}
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    Ok((at, node))
}

fn step<'n>(name: &str, at: &Path, node: &'n Node) -> Result<(Path, &'n Node), String> {
    let nowhere = || "does not refer to a valid field".to_owned();
    if node.properties.is_empty() {
        let schema = node.additional.schema().ok_or_else(nowhere)?;
        return Ok((at.key(name), schema));
    }
    Ok((at.child(name), node.property(name).ok_or_else(nowhere)?))
}

fn unescape(quoted: &str) -> Result<String, String> {
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(e @ ('\'' | '\\')) => out.push(e),
                _ => return Err("invalid string literal: invalid syntax".to_owned()),
            },
            '\'' => return Err("invalid string literal: invalid syntax".to_owned()),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// `.`, `[`, `]`, quoted texts, and what stands between.
struct Tokens<'t>(&'t str);

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let text = self.0;
        let first = text.chars().next()?;
        let len = match first {
            '.' | '[' | ']' => 1,
            '\'' => {
                let mut before = '\'';
                let end = text.char_indices().skip(1).find(|(_, c)| {
                    let found = *c == '\'' && before != '\\';
                    before = *c;
                    found
                });
                end.map_or(text.len(), |(i, _)| i + 1)
            }
            _ => text.find(['.', '[', ']']).unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(len);
        self.0 = rest;
        Some(token)
    }
}
