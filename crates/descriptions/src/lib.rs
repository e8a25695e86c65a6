//! What upstream says of the API's types and fields, for OpenAPI and `kubectl explain`. The build script takes it
//! from the source of k8s-openapi and packs it; it is unpacked where documents are made and let go afterwards.
//! It must never be held by a process that nobody asks.

#[cfg(test)]
mod extract;

use std::io::Read as _;
use std::ops::Range;

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/table.deflate"));

/// Separators of the table, as `extract.rs` writes it.
const TYPE: char = '\u{1e}';
const PART: char = '\u{1f}';

/// The table, unpacked: about 800 KB.
pub struct Descriptions {
    text: String,
    /// Of the types in `text`, in the order of their names.
    types: Vec<Range<usize>>,
}

impl Descriptions {
    /// All descriptions.
    ///
    /// # Panics
    /// Never: what the build script packed can be unpacked.
    #[must_use]
    pub fn unpack() -> Self {
        let mut text = String::new();
        let read = flate2::read::DeflateDecoder::new(PACKED).read_to_string(&mut text);
        read.expect("the build script packed text");
        Descriptions::new(text)
    }

    /// No descriptions, for documents without them.
    #[must_use]
    pub fn none() -> Self {
        Descriptions::new(String::new())
    }

    fn new(text: String) -> Self {
        let mut at = 0;
        let types = text.split(TYPE).map(|t| {
            let from = at;
            at += t.len() + TYPE.len_utf8();
            from..from + t.len()
        });
        let types = types.collect();
        Descriptions { text, types }
    }

    /// Name, text, and the names and texts of the fields.
    fn parts(&self, definition: &str) -> Option<std::str::Split<'_, char>> {
        let parts = |r: &Range<usize>| self.text[r.clone()].split(PART);
        let found = self.types.binary_search_by(|r| parts(r).next().unwrap_or("").cmp(definition)).ok()?;
        let mut parts = parts(&self.types[found]);
        parts.next();
        Some(parts)
    }

    /// Of a type, by the name of its definition: `io.k8s.api.core.v1.Pod`.
    #[must_use]
    pub fn of_type(&self, definition: &str) -> Option<&str> {
        self.parts(definition)?.next().filter(|t| !t.is_empty())
    }

    /// Of a type's field, by its JSON name.
    #[must_use]
    pub fn of_field(&self, definition: &str, field: &str) -> Option<&str> {
        let mut parts = self.parts(definition)?.skip(1);
        while let Some(name) = parts.next() {
            let text = parts.next()?;
            if name == field {
                return Some(text).filter(|t| !t.is_empty());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packed_type_is_found() {
        let all = Descriptions::unpack();
        assert!(PACKED.len() < 250_000, "{} bytes packed", PACKED.len());
        let mut fields = 0;
        for range in &all.types {
            let name = all.text[range.clone()].split(PART).next().expect("a name");
            let mut parts = all.parts(name).expect(name).skip(1);
            while let (Some(field), Some(text)) = (parts.next(), parts.next()) {
                assert_eq!(all.of_field(name, field), Some(text), "{name}.{field}");
                fields += 1;
            }
        }
        assert!(all.types.len() > 700 && fields > 2800, "{} types, {fields} fields", all.types.len());
    }

    #[test]
    fn a_table_reads_as_it_was_written() {
        let described = |name: &str, text: &str, fields: &[(&str, &str)]| extract::Described {
            name: name.into(),
            text: text.into(),
            fields: fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        let types = [
            described("a", "", &[("x", "An x."), ("y", "")]),
            described("b", "A b.", &[]),
            described("c", "", &[]),
        ];
        let table = Descriptions::new(extract::table(&types));
        assert_eq!((table.of_type("a"), table.of_type("b"), table.of_type("c")), (None, Some("A b."), None));
        assert_eq!((table.of_field("a", "x"), table.of_field("a", "y")), (Some("An x."), None));
        assert_eq!((table.of_field("b", "x"), table.of_field("d", "x")), (None, None));
    }

    #[test]
    fn types_and_fields_have_upstreams_words() {
        let all = Descriptions::unpack();
        let ty = |name| all.of_type(name).unwrap_or("");
        let field = |name, field| all.of_field(name, field).unwrap_or("");
        assert_eq!(ty("io.k8s.api.core.v1.PodSpec"), "PodSpec is a description of a pod.");
        let scalar = field("io.k8s.api.core.v1.PodSpec", "nodeName");
        assert!(scalar.starts_with("NodeName indicates in which node this pod is scheduled."), "{scalar}");
        let reference = field("io.k8s.api.apps.v1.Deployment", "spec");
        assert_eq!(reference, "Specification of the desired behavior of the Deployment.");
        let keyword = field("io.k8s.api.core.v1.LimitRangeItem", "type");
        assert_eq!(keyword, "Type of resource that this limit applies to.");
        let paragraphs = ty("io.k8s.apimachinery.pkg.api.resource.Quantity");
        assert!(paragraphs.contains("\n\nThe serialization format is:\n\n"), "{paragraphs}");
        assert_eq!(all.of_field("io.k8s.api.core.v1.PodSpec", "none"), None);
        assert_eq!(all.of_type("io.k8s.api.core.v1.None"), None);
        assert_eq!(Descriptions::none().of_type("io.k8s.api.core.v1.Pod"), None);
    }
}
