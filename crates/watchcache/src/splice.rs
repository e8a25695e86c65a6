//! Puts the resource version into stored bytes: right behind the first `"metadata":{`, without parsing.

use bytes::Bytes;

const METADATA: &[u8] = b"\"metadata\":{";
const FIELD: &[u8] = b"\"resourceVersion\":\"";

/// Where the metadata of a canonical object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Offset of `"metadata":{`.
    pub(crate) metadata: usize,
    /// Offset right behind it, where the field goes.
    pub(crate) inside: usize,
    /// Whether the metadata has no other field, so that no comma may follow.
    pub(crate) empty: bool,
}

/// Finds the metadata; `None` when the bytes are not an object with metadata at its head.
pub(crate) fn find(value: &[u8]) -> Option<Place> {
    if value.first() != Some(&b'{') {
        return None;
    }
    let mut from = 0;
    loop {
        let quote = from + value[from..].iter().position(|byte| *byte == b'"')?;
        if value[quote..].starts_with(METADATA) {
            let inside = quote + METADATA.len();
            let empty = *value.get(inside)? == b'}';
            return Some(Place { metadata: quote, inside, empty });
        }
        from = quote + 1;
    }
}

/// Appends `value` with the revision spliced in. Returns the offset of the field's first byte relative to
/// the value, and its length with the comma.
pub(crate) fn append(out: &mut Vec<u8>, value: &[u8], place: Place, revision: u64) -> usize {
    let mut digits = [0; 20];
    let digits = decimal(revision, &mut digits);
    out.extend_from_slice(&value[..place.inside]);
    let start = out.len();
    out.extend_from_slice(FIELD);
    out.extend_from_slice(digits);
    out.extend_from_slice(if place.empty { b"\"" } else { b"\"," });
    let length = out.len() - start;
    out.extend_from_slice(&value[place.inside..]);
    length
}

/// How many bytes a splice adds.
pub(crate) fn field_length(place: Place, revision: u64) -> usize {
    let digits = decimal(revision, &mut [0; 20]).len();
    FIELD.len() + digits + if place.empty { 1 } else { 2 }
}

/// `value` with `"resourceVersion":"<revision>",` right behind its first `"metadata":{`. Bytes without
/// metadata come back unchanged.
pub fn splice_revision(value: &[u8], revision: u64) -> Bytes {
    let Some(place) = find(value) else { return Bytes::copy_from_slice(value) };
    let mut out = Vec::with_capacity(value.len() + field_length(place, revision));
    append(&mut out, value, place, revision);
    out.into()
}

fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splices_only_where_there_is_metadata() {
        let cases: [(&str, &str); 8] = [
            (
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{}}"#,
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","name":"a"},"spec":{}}"#,
            ),
            (r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"42"}}"#),
            (
                r#"{"metadata":{"name":"a"},"t":{"metadata":{"x":1}}}"#,
                r#"{"metadata":{"resourceVersion":"42","name":"a"},"t":{"metadata":{"x":1}}}"#,
            ),
            (r#"{"kind":"Pod"}"#, r#"{"kind":"Pod"}"#),
            (r#"{"metadata":{"#, r#"{"metadata":{"#),
            ("", ""),
            ("[1]", "[1]"),
            ("\u{0}\u{1}", "\u{0}\u{1}"),
        ];
        for (value, want) in cases {
            assert_eq!(splice_revision(value.as_bytes(), 42), want, "{value}");
        }
        assert_eq!(splice_revision(br#"{"metadata":{"a":1}}"#, u64::MAX).len(), 20 + FIELD.len() + 20 + 2);
        assert_eq!(splice_revision(br#"{"metadata":{}}"#, 0), r#"{"metadata":{"resourceVersion":"0"}}"#);
    }
}
