//! Where one is in a schema or a value: a chain on the stack, made into text only for a complaint. Texts made on
//! the way down would cost their length at each step.

use meta::Path;

/// A step below another place.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// The place where one began.
    Base(&'a Path),
    /// `.name`, and `name` at the beginning.
    Child(&'a str),
    /// `.name` even at the beginning: what is missing, and what no property names.
    Dotted(&'a str),
    Index(usize),
    /// `[key]`
    Key(&'a str),
}

/// A place.
#[derive(Clone, Copy)]
pub struct Trail<'a> {
    above: Option<&'a Trail<'a>>,
    step: Step<'a>,
}

impl<'a> Trail<'a> {
    pub const fn at(base: &'a Path) -> Trail<'a> {
        Trail { above: None, step: Step::Base(base) }
    }

    pub const fn child(&'a self, name: &'a str) -> Trail<'a> {
        Trail { above: Some(self), step: Step::Child(name) }
    }

    pub const fn dotted(&'a self, name: &'a str) -> Trail<'a> {
        Trail { above: Some(self), step: Step::Dotted(name) }
    }

    pub const fn index(&'a self, at: usize) -> Trail<'a> {
        Trail { above: Some(self), step: Step::Index(at) }
    }

    pub const fn key(&'a self, name: &'a str) -> Trail<'a> {
        Trail { above: Some(self), step: Step::Key(name) }
    }

    /// Whether nothing has been passed.
    pub const fn is_base(&self) -> bool {
        self.above.is_none()
    }

    /// The path of a field error; a leading dot is left out.
    pub fn path(&self) -> Path {
        let text = self.text();
        let text = text.strip_prefix('.').unwrap_or(&text);
        if text.is_empty() { Path::default() } else { Path::new(text) }
    }

    /// The text, with the leading dot that [`Trail::dotted`] may have made.
    pub fn text(&self) -> String {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(trail) = at {
            steps.push(trail.step);
            at = trail.above;
        }
        let mut out = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Base(path) => out.push_str(path.as_str()),
                Step::Child(name) if out.is_empty() => out.push_str(name),
                Step::Child(name) | Step::Dotted(name) => {
                    out.push('.');
                    out.push_str(name);
                }
                Step::Index(i) => out.push_str(&format!("[{i}]")),
                Step::Key(key) => {
                    out.push('[');
                    out.push_str(key);
                    out.push(']');
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let empty = Path::default();
        let root = Trail::at(&empty);
        let (spec, missing) = (root.child("spec"), root.dotted("spec"));
        let (item, entry) = (spec.index(3), spec.key("a.b/c"));
        let below = item.child("x");
        let table = [
            (&root, "", "<nil>"),
            (&spec, "spec", "spec"),
            (&missing, ".spec", "spec"),
            (&below, "spec[3].x", "spec[3].x"),
            (&entry, "spec[a.b/c]", "spec[a.b/c]"),
        ];
        for (trail, text, path) in table {
            assert_eq!((trail.text().as_str(), trail.path().to_string().as_str()), (text, path));
        }
        let base = Path::new("spec").child("schema");
        assert_eq!(Trail::at(&base).child("type").text(), "spec.schema.type");
    }
}
