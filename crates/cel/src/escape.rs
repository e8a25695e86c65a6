//! Names of fields as identifiers: what is reserved or no letter is spelled out.
//! It must never make one identifier of two names.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/escaping.go

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The identifier of a field; `None` for names that have none.
#[must_use]
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '_' if rest.starts_with('_') => {
                rest = &rest[1..];
                out.push_str("__underscores__");
            }
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            '_' => out.push('_'),
            c if c.is_ascii_alphanumeric() => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

/// The name that an identifier was made of; `None` when it was made of none.
#[must_use]
pub fn unescape(identifier: &str) -> Option<String> {
    let mut out = String::with_capacity(identifier.len());
    let mut rest = identifier;
    while let Some(at) = rest.find("__") {
        let Some(len) = rest[at + 2..].find('_').filter(|n| *n > 0 && rest[at + 2 + n..].starts_with("__"))
        else {
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
            continue;
        };
        out.push_str(&rest[..at]);
        let word = &rest[at + 2..at + 2 + len];
        match word {
            "underscores" => out.push_str("__"),
            "dot" => out.push('.'),
            "dash" => out.push('-'),
            "slash" => out.push('/'),
            word if RESERVED.contains(&word) && identifier.len() == len + 4 => out.push_str(word),
            _ => return None,
        }
        rest = &rest[at + len + 4..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    // k8s: staging/src/k8s.io/apiserver/pkg/cel/escaping_test.go
    #[test]
    fn there_and_back() {
        for (name, identifier) in [
            ("a", "a"),
            ("a.a", "a__dot__a"),
            ("CEL", "CEL"),
            ("namespace", "__namespace__"),
            ("a__a", "a__underscores__a"),
            ("a.-/__a", "a__dot____dash____slash____underscores__a"),
            ("_dot_", "_dot_"),
            ("___dot_", "__underscores___dot_"),
            ("a/b-c", "a__slash__b__dash__c"),
            ("true_", "true_"),
        ] {
            assert_eq!(escape(name).as_deref(), Some(identifier));
            assert_eq!(unescape(identifier).as_deref(), Some(name));
        }
        for bad in ["", "0a", "a b", "ø", "a$"] {
            assert_eq!(escape(bad), None, "{bad}");
        }
        for bad in ["a__namespace__", "__unknown__"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
