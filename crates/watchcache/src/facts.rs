//! The few parsed facts of an object that selectors and indexes need, packed into one allocation.

/// Labels and selectable field values of one object. Immutable; about two bytes more than its strings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Number of labels, the labels as name and value, then the field values; each string with its
    /// length in front, numbers as LEB128.
    packed: Box<[u8]>,
}

impl Facts {
    /// Packs the labels and the values of the resource's selectable fields, in the resource's own order
    /// of fields (not stored by name; an absent field is an empty string).
    pub fn new<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        fields: impl IntoIterator<Item = &'a str>,
    ) -> Facts {
        let mut body = Vec::new();
        let mut count = 0;
        for (name, value) in labels {
            count += 1;
            put_str(&mut body, name);
            put_str(&mut body, value);
        }
        for value in fields {
            put_str(&mut body, value);
        }
        if body.is_empty() {
            return Facts::default();
        }
        let mut packed = Vec::with_capacity(body.len() + 1);
        put_number(&mut packed, count);
        packed.extend_from_slice(&body);
        Facts { packed: packed.into_boxed_slice() }
    }

    /// The labels in the object's order.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let (count, mut rest) = self.split();
        (0..count).map(move |_| (take_str(&mut rest), take_str(&mut rest)))
    }

    /// The value of one label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The values of the selectable fields, in the resource's order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let (count, mut rest) = self.split();
        for _ in 0..count * 2 {
            take_str(&mut rest);
        }
        std::iter::from_fn(move || if rest.is_empty() { None } else { Some(take_str(&mut rest)) })
    }

    /// The value of the field with this index; empty when there is none.
    pub fn field(&self, index: usize) -> &str {
        self.fields().nth(index).unwrap_or("")
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.packed.len()
    }

    fn split(&self) -> (usize, &[u8]) {
        let mut rest = &self.packed[..];
        let count = if rest.is_empty() { 0 } else { take_number(&mut rest) };
        (count, rest)
    }
}

fn put_number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_str(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn take_number(rest: &mut &[u8]) -> usize {
    let mut number = 0;
    let mut shift = 0;
    while let Some((byte, tail)) = rest.split_first() {
        *rest = tail;
        number |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn take_str<'a>(rest: &mut &'a [u8]) -> &'a str {
    let length = take_number(rest);
    let (text, tail) = rest.split_at(length);
    *rest = tail;
    std::str::from_utf8(text).expect("only whole strings are packed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_reads_back() {
        let long = "x".repeat(300);
        let facts = Facts::new([("app", "web"), ("tier", ""), ("long", &long)], ["node-1", "", "Running"]);
        let labels: Vec<_> = facts.labels().collect();
        assert_eq!(labels, [("app", "web"), ("tier", ""), ("long", long.as_str())]);
        assert_eq!(facts.label("app"), Some("web"));
        assert_eq!(facts.label("none"), None);
        assert_eq!(facts.fields().collect::<Vec<_>>(), ["node-1", "", "Running"]);
        assert_eq!(facts.field(2), "Running");
        assert_eq!(facts.field(9), "");
    }

    #[test]
    fn nothing_takes_no_memory() {
        let facts = Facts::new([], []);
        assert_eq!(facts.heap_bytes(), 0);
        assert_eq!(facts.labels().count() + facts.fields().count(), 0);
        assert_eq!(facts.field(0), "");
        assert_eq!(Facts::new([], ["a"]).field(0), "a");
    }
}
