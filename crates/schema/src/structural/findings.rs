//! Complaints, bounded in number and in bytes: what a client sends must not make an answer of any size.

use meta::{ErrorKind, FieldError, Path};

/// Complaints that are kept at most.
const MAX_COMPLAINTS: usize = 1000;
/// Bytes of complaints that are kept at most.
const MAX_BYTES: usize = 512 * 1024;

/// Complaints about fields.
#[derive(Default)]
pub struct Findings {
    errors: Vec<FieldError>,
    bytes: usize,
    /// How many there were, kept or not.
    count: usize,
}

impl Findings {
    pub fn push(&mut self, error: FieldError) {
        self.count += 1;
        let bytes = error.field.len() + error.detail.len() + error.value.as_ref().map_or(0, String::len);
        // The first is kept whatever its size, so that nothing wrong passes for right.
        if !self.errors.is_empty() && (self.errors.len() >= MAX_COMPLAINTS || self.bytes + bytes > MAX_BYTES)
        {
            return;
        }
        self.bytes += bytes;
        self.errors.push(error);
    }

    /// Counts a complaint whose text nobody would see.
    pub fn count_only(&mut self) {
        self.count += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn append(&mut self, other: Findings) {
        let unseen = other.count - other.errors.len();
        for error in other.errors {
            self.push(error);
        }
        self.count += unseen;
    }

    pub fn into_errors(mut self) -> Vec<FieldError> {
        if self.count > self.errors.len() {
            let detail = format!("{} more complaints are left out", self.count - self.errors.len());
            self.errors.push(FieldError::forbidden(&Path::default(), detail));
        }
        self.errors
    }
}

/// `field: Invalid value: value: detail`, of a value whose type is wrong.
pub fn type_invalid(path: &Path, value: String, detail: String) -> FieldError {
    FieldError { kind: ErrorKind::TypeInvalid, field: path.to_string(), value: Some(value), detail }
}
