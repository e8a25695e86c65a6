//! `FieldsV1`: a set as JSON text and back. It must never follow nesting without limit.
// k8s: structured-merge-diff/fieldpath/serialize.go, serialize-pe.go

use std::borrow::Cow;

use schema::{Key, MAX_DEPTH, Value, decode_plain, encode_plain, write_json_string};

use crate::element::Element;
use crate::set::{Node, Set};

/// The text of a set.
#[must_use]
pub fn encode(set: &Set) -> String {
    let mut out = Vec::with_capacity(256);
    write(&mut out, set, false);
    String::from_utf8_lossy(&out).into_owned()
}

fn write(out: &mut Vec<u8>, set: &Set, is_member: bool) {
    out.push(b'{');
    let mut first = true;
    if is_member && !set.is_empty() {
        out.extend_from_slice(b"\".\":{}");
        first = false;
    }
    for node in set.nodes() {
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        write_element(out, &node.element);
        out.push(b':');
        write(out, &node.children, node.member);
    }
    out.push(b'}');
}

fn write_element(out: &mut Vec<u8>, element: &Element) {
    match element {
        Element::Field(name) => {
            let at = out.len();
            write_json_string(out, name);
            out.splice(at + 1..at + 1, *b"f:");
        }
        Element::Key(fields) => {
            let mut text = b"k:{".to_vec();
            for (at, (name, value)) in fields.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                write_json_string(&mut text, name);
                text.push(b':');
                text.extend_from_slice(&encode_plain(value));
            }
            text.push(b'}');
            write_json_string(out, &String::from_utf8_lossy(&text));
        }
        Element::Value(value) => {
            let text = encode_plain(value);
            write_json_string(out, &format!("v:{}", String::from_utf8_lossy(&text)));
        }
        Element::Index(at) => write_json_string(out, &format!("i:{at}")),
    }
}

/// The set that a text is of.
///
/// # Errors
/// When it is none.
pub fn decode(text: &str) -> Result<Set, String> {
    let mut scan = Scan { text, at: 0 };
    let (children, _) = scan.object(MAX_DEPTH)?;
    if scan.peek() != 0 {
        return Err(scan.wrong("after the set"));
    }
    Ok(children)
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(c) = bytes.get(self.at) {
            if !matches!(c, b' ' | b'\n' | b'\t' | b'\r') {
                return *c;
            }
            self.at += 1;
        }
        0
    }

    fn wrong(&self, what: &str) -> String {
        format!("managedFields parsing: unexpected character at byte {} {what}", self.at)
    }

    fn expect(&mut self, c: u8) -> Result<(), String> {
        if self.peek() != c {
            return Err(self.wrong(&format!("(expecting {:?})", char::from(c))));
        }
        self.at += 1;
        Ok(())
    }

    /// What is below, and whether the object that holds it is a member itself.
    fn object(&mut self, depth: usize) -> Result<(Set, bool), String> {
        let depth = depth.checked_sub(1).ok_or("managedFields parsing: exceeded max depth")?;
        if self.peek() == b'n' && self.text[self.at..].starts_with("null") {
            self.at += 4;
            return Ok((Set::new(), true));
        }
        self.expect(b'{')?;
        let mut nodes: Vec<Node> = Vec::new();
        let mut member = false;
        while self.peek() != b'}' {
            if !nodes.is_empty() || member {
                self.separator()?;
            }
            let key = self.string()?;
            self.expect(b':')?;
            let (children, is_member) = self.object(depth)?;
            if key == "." {
                member = true;
            } else if let Some(element) = element(&key)? {
                nodes.push(Node { element, member: is_member, children });
            } else {
                // Not known, maybe of a later version: left out.
                nodes.push(Node { element: Element::Index(-1), member: false, children: Set::new() });
            }
        }
        self.at += 1;
        let set = if nodes.is_sorted_by(|a, b| a.element < b.element) {
            Set::from_nodes(nodes)
        } else {
            Set::from_repeated(nodes)
        };
        member |= set.is_empty();
        Ok((set, member))
    }

    fn separator(&mut self) -> Result<(), String> {
        self.expect(b',')
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        self.expect(b'"')?;
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let mut escaped = false;
        while let Some(c) = bytes.get(self.at) {
            match c {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        let body = self.text.get(start..self.at).ok_or_else(|| self.wrong("in a string"))?;
        self.expect(b'"')?;
        if !escaped {
            return Ok(Cow::Borrowed(body));
        }
        match decode_plain(format!("\"{body}\"").as_bytes()) {
            Ok(Value::Str(text)) => Ok(Cow::Owned(text.into())),
            _ => Err(self.wrong("in a string")),
        }
    }
}

/// The element that a key names; `None` for a sort that is not known.
fn element(key: &str) -> Result<Option<Element>, String> {
    let Some((sort, rest)) = key.split_at_checked(2) else {
        return Err(format!("managedFields parsing: key must be 2 characters long: {key}"));
    };
    if !sort.ends_with(':') {
        return Err(format!("managedFields parsing: missing colon: {key}"));
    }
    let json = |text: &str| decode_plain(text.as_bytes()).map_err(|e| format!("managedFields parsing: {e}"));
    Ok(Some(match sort {
        "f:" => Element::Field(Cow::Owned(rest.to_owned())),
        "v:" => Element::Value(json(rest)?),
        "k:" => match json(rest)? {
            Value::Map(map) => {
                let mut fields: Vec<(Key, Value)> = map.0;
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                Element::Key(fields.into())
            }
            _ => return Err(format!("managedFields parsing: not a key: {key}")),
        },
        "i:" => {
            let at = rest.parse().map_err(|_| format!("managedFields parsing: not an index: {key}"))?;
            Element::Index(at)
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let cases = [
            "{}",
            r#"{"f:a":{}}"#,
            r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}"#,
            r#"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}}}}"#,
            r#"{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{}},"f:set":{"v:\"a\"":{},"v:1":{}}}"#,
            r#"{"f:l":{"i:1":{},"i:2":{}}}"#,
            r#"{"f:a\"b\\c":{}}"#,
        ];
        for text in cases {
            let set = decode(text).expect(text);
            let again = encode(&set);
            // Numbers sort before texts.
            assert_eq!(decode(&again).expect("own text"), set, "{text}");
            assert_eq!(again.len(), text.len(), "{text} became {again}");
        }
    }

    #[test]
    fn order_repetition_and_what_is_not_known() {
        let set = decode(r#"{ "f:b": {}, "x:later":{"f:z":{}}, "f:a":{"f:c":{}}, "f:b":{"f:d":{}} }"#)
            .expect("a set");
        assert_eq!(encode(&set), r#"{"f:a":{"f:c":{}},"f:b":{".":{},"f:d":{}}}"#);
    }

    #[test]
    fn refused() {
        let deep = format!("{}{}", r#"{"f:a":"#.repeat(600), "}".repeat(600));
        for text in [
            "",
            "[]",
            "{",
            r#"{"f:a"}"#,
            r#"{"f:a":1}"#,
            r#"{"a":{}}"#,
            r#"{"f:a":{}}x"#,
            r#"{"k:1":{}}"#,
            &deep,
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
