//! `$(VAR)` in commands, arguments and values.
// k8s: third_party/forked/golang/expansion/expand.go

/// Replaces `$(NAME)` by what `lookup` gives; unknown names stay as they are and `$$` is one `$`.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        match tail.as_bytes().first() {
            Some(b'$') => {
                out.push('$');
                rest = &tail[1..];
            }
            Some(b'(') => {
                if let Some(end) = tail.find(')') {
                    let name = &tail[1..end];
                    match lookup(name) {
                        Some(value) => out.push_str(&value),
                        None => out.push_str(&rest[at..=at + 1 + end]),
                    }
                    rest = &tail[end + 1..];
                } else {
                    out.push_str("$(");
                    rest = &tail[1..];
                }
            }
            _ => {
                out.push('$');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let cases = [
            ("plain", "plain"),
            ("$(A)", "1"),
            ("$(A)-$(B)", "1-2"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(NONE)", "$(NONE)"),
            ("$(A", "$(A"),
            ("$A", "$A"),
            ("a$", "a$"),
            ("", ""),
            ("$()", "$()"),
        ];
        for (text, want) in cases {
            let got = expand(text, |n| match n {
                "A" => Some("1".into()),
                "B" => Some("2".into()),
                _ => None,
            });
            assert_eq!(got, want, "{text}");
        }
    }
}
