//! Reads the protobuf wire format field by field. It must never read past its slice.

use std::borrow::Cow;

use crate::json::DecodeError;

/// A field's value on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// A position in a message.
pub struct Reader<'a> {
    rest: &'a [u8],
}

#[cold]
pub fn truncated() -> DecodeError {
    DecodeError::Syntax("unexpected EOF".to_owned())
}

/// Text on the wire; what is not UTF-8 is replaced.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0u64;
        for (i, b) in self.rest.iter().take(10).enumerate() {
            n |= u64::from(b & 0x7f) << (7 * i);
            if b & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(n);
            }
        }
        Err(if self.rest.len() < 10 {
            truncated()
        } else {
            DecodeError::Syntax("proto: integer overflow".into())
        })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(head)
    }

    pub fn fixed64(&mut self) -> Result<u64, DecodeError> {
        let b = self.take(8)?;
        Ok(b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// The next field, `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 {
            return Err(DecodeError::Syntax(format!("proto: illegal tag {tag}")));
        }
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(self.fixed64()?),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| truncated())?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Fixed32(self.take(4)?.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))),
            other => return Err(DecodeError::Syntax(format!("proto: illegal wireType {other}"))),
        };
        Ok(Some((number, wire)))
    }
}
