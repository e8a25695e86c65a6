//! The string types of ASN.1 that names in certificates are made of. It must never guess: what does not belong
//! into a string of its type is not read.
// As Go's crypto/x509 parseASN1String reads them, whose users are who a certificate names.

const UTF8: u32 = 12;
const NUMERIC: u32 = 18;
const PRINTABLE: u32 = 19;
const TELETEX: u32 = 20;
const IA5: u32 = 22;
const UNIVERSAL: u32 = 28;
const BMP: u32 = 30;

/// The text of a string, from the number of its universal tag and its content; `None` when the content is not of
/// that type, or the type is none of strings in names.
#[must_use]
pub fn text(tag: u32, content: &[u8]) -> Option<String> {
    match tag {
        UTF8 => std::str::from_utf8(content).ok().map(str::to_owned),
        NUMERIC => ascii(content, |b| b.is_ascii_digit() || b == b' '),
        PRINTABLE => ascii(content, is_printable),
        IA5 => ascii(content, |b| b.is_ascii()),
        // Nobody writes T.61 proper; what is written is Latin-1.
        TELETEX => Some(content.iter().map(|b| char::from(*b)).collect()),
        UNIVERSAL => wide::<4>(content).map(u32::from_be_bytes).map(char::from_u32).collect(),
        BMP => bmp(content),
        _ => None,
    }
    .filter(|_| tag != UNIVERSAL || content.len().is_multiple_of(4))
}

fn ascii(content: &[u8], allowed: impl Fn(u8) -> bool) -> Option<String> {
    content.iter().all(|b| allowed(*b)).then(|| content.iter().map(|b| char::from(*b)).collect())
}

/// Stars and ampersands do not belong there, and are found there.
fn is_printable(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(&b)
}

fn wide<const N: usize>(content: &[u8]) -> impl Iterator<Item = [u8; N]> {
    content.chunks_exact(N).filter_map(|c| c.try_into().ok())
}

/// UCS-2, maybe with a zero at the end; surrogates and noncharacters are no characters.
fn bmp(content: &[u8]) -> Option<String> {
    if !content.len().is_multiple_of(2) {
        return None;
    }
    let content = content.strip_suffix(&[0, 0]).unwrap_or(content);
    wide::<2>(content)
        .map(u16::from_be_bytes)
        .map(|unit| match unit {
            0xfffe | 0xffff | 0xfdd0..=0xfdef => None,
            _ => char::from_u32(u32::from(unit)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_type_is_read_and_nothing_else() {
        let cases: &[(u32, &[u8], Option<&str>)] = &[
            (UTF8, "käse".as_bytes(), Some("käse")),
            (UTF8, b"\xff", None),
            (NUMERIC, b"12 3", Some("12 3")),
            (NUMERIC, b"12a", None),
            (PRINTABLE, b"system:node:a-1 (x)*&", Some("system:node:a-1 (x)*&")),
            (PRINTABLE, b"a@b", None),
            (PRINTABLE, b"a_b", None),
            (IA5, b"a@b_", Some("a@b_")),
            (IA5, b"a\x80", None),
            (TELETEX, b"k\xe4se", Some("käse")),
            (UNIVERSAL, b"\0\0\0a\0\x01\xf6\0", Some("a\u{1f600}")),
            (UNIVERSAL, b"\0\0\0a\0", None),
            (UNIVERSAL, b"\0\0\xd8\0", None),
            (BMP, b"\0a\0\xe4", Some("aä")),
            (BMP, b"\0a\0\0", Some("a")),
            (BMP, b"\0a\0", None),
            (BMP, b"\xd8\0\xdc\0", None),
            (BMP, b"\xff\xfe", None),
            // An octet string, a visible string.
            (4, b"a", None),
            (26, b"a", None),
        ];
        for (tag, content, want) in cases {
            assert_eq!(text(*tag, content).as_deref(), *want, "{tag} {content:?}");
        }
    }
}
