//! Links in a page that a proxied server has sent. Only attributes that hold links change; every other byte of the page
//! stays as it is.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/proxy/transport.go rewriteHTML

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

/// Attributes that hold links, by element.
const LINKS: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// A value and where it stands in the page.
type Found = (String, Span<usize>);

fn links(page: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    let (mut of_element, mut is_link): (&[&str], bool) = (&[], false);
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, span: Span<usize>| {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                of_element = LINKS.iter().find(|(e, _)| e.as_bytes() == name).map_or(&[], |(_, all)| all);
            }
            CallbackEvent::AttributeName { name } => {
                is_link = of_element.iter().any(|a| a.as_bytes() == name);
            }
            CallbackEvent::AttributeValue { value } if is_link => {
                if let Ok(value) = std::str::from_utf8(value) {
                    found.push((value.to_owned(), span));
                }
            }
            _ => {
                of_element =
                    if matches!(event, CallbackEvent::AttributeValue { .. }) { of_element } else { &[] }
            }
        }
        None::<std::convert::Infallible>
    });
    // What stands between <script> and </script> is no page.
    emitter.naively_switch_states(true);
    match Tokenizer::new_with_emitter(page, emitter).finish() {
        Ok(()) => found,
        Err(never) => match never {},
    }
}

/// The page with `link` applied to its links.
pub(super) fn rewrite(page: &[u8], link: impl Fn(&str) -> String) -> Vec<u8> {
    let mut new = Vec::with_capacity(page.len() + page.len() / 8);
    let mut done = 0;
    for (value, span) in links(page) {
        let after = link(&value);
        let (Some(before), true) = (page.get(done..span.start), after != value) else { continue };
        new.extend_from_slice(before);
        new.extend_from_slice(escape(&after).as_bytes());
        done = span.end;
    }
    new.extend_from_slice(page.get(done..).unwrap_or_default());
    new
}

/// Text as the value of an attribute, quoted either way.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_change_and_nothing_else() {
        let link = |l: &str| l.strip_prefix('/').map_or_else(|| l.to_owned(), |rest| format!("/p/{rest}"));
        for (page, want) in [
            ("<a href=\"/x\">test</a>", "<a href=\"/p/x\">test</a>"),
            (
                "<A\r\n HREF = '/x?a=1&amp;b=2'  id=/x>\r\n/x",
                "<A\r\n HREF = '/p/x?a=1&amp;b=2'  id=/x>\r\n/x",
            ),
            ("<img src=/x><img src='y'><img alt='/x'>", "<img src=/p/x><img src='y'><img alt='/x'>"),
            ("<video src='/a' poster='/b'/><p cite='/c'>", "<video src='/p/a' poster='/p/b'/><p cite='/c'>"),
            ("<a href>", "<a href>"),
            ("<a href=''>", "<a href=''>"),
            ("<!-- <a href='/x'> -->", "<!-- <a href='/x'> -->"),
            ("<script src='/s'>'<a href=\"/x\">'</script>", "<script src='/p/s'>'<a href=\"/x\">'</script>"),
            ("</a href='/x'><a href='/it&#39;s'>", "</a href='/x'><a href='/p/it&#39;s'>"),
            ("über <a title='ü' href='/ü'>", "über <a title='ü' href='/p/ü'>"),
            ("<a href='/x", "<a href='/x"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8(rewrite(page.as_bytes(), link)).unwrap(), want, "{page}");
        }
        assert_eq!(rewrite(b"\xff<a href='/x'>\xfe", link), b"\xff<a href='/p/x'>\xfe");
    }
}
