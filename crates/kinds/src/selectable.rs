//! Fields by which objects of a kind are selected, beside their name and namespace. It says where the text of a
//! field is; it must never read an object.
// k8s: pkg/apis/*/v1/conversion.go AddFieldLabelConversionFunc, pkg/registry/*/*/strategy.go ToSelectableFields

/// A selectable field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selectable<'a> {
    /// As selectors name it.
    pub name: &'a str,
    /// Where it is in the stored object; empty for a field that is taken and never has a value.
    pub path: &'a str,
    pub absent: Absent,
    /// Whether many watchers select by it, so that a change finds its watchers by the value.
    pub indexed: bool,
}

/// What the field is of an object that does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The text that stands for a zero value.
    Text(&'static str),
    /// What is at this other path.
    Path(&'static str),
}

/// A field whose name is its path and whose absence is the empty text.
#[must_use]
pub const fn field(name: &str) -> Selectable<'_> {
    Selectable { name, path: name, absent: Absent::Text(""), indexed: false }
}

impl<'a> Selectable<'a> {
    /// The field is at another path than its name says.
    #[must_use]
    pub const fn at(mut self, path: &'a str) -> Self {
        self.path = path;
        self
    }

    /// The text of an absent field.
    #[must_use]
    pub const fn or(mut self, text: &'static str) -> Self {
        self.absent = Absent::Text(text);
        self
    }

    /// Where the text of an absent field is.
    #[must_use]
    pub const fn or_at(mut self, path: &'static str) -> Self {
        self.absent = Absent::Path(path);
        self
    }

    /// Many watchers select by it.
    #[must_use]
    pub const fn indexed(mut self) -> Self {
        self.indexed = true;
        self
    }

    /// The paths that must be known to match this field.
    pub fn paths(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let other = match self.absent {
            Absent::Path(path) => path,
            Absent::Text(_) => "",
        };
        [self.path, other].into_iter().filter(|path| !path.is_empty())
    }
}
