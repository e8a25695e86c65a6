//! Writes the canonical form: the table's order, Go's rules about zero values, no white space.
//! It must never fail: what does not fit its type is written as it is.

use crate::table::{Field, Struct, Table, Type};
use crate::{Map, TypeRef, Value};

/// The canonical JSON of a value of type `ty`.
#[must_use]
pub fn encode_json(value: &Value, ty: TypeRef<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    encode_json_into(&mut out, value, ty);
    out
}

/// [`encode_json`] behind what is in `out` already.
pub fn encode_json_into(out: &mut Vec<u8>, value: &Value, ty: TypeRef<'_>) {
    Encoder { out, table: ty.table }.value(value, ty.ty);
}

/// JSON of a value without a type: entries in their order, nulls kept.
#[must_use]
pub fn encode_plain(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    plain(&mut out, value);
    out
}

/// As [`encode_plain`], behind what is in `out` already, with the entries of every map in the order of their keys: equal
/// values make equal bytes.
pub fn encode_sorted_into(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::List(list) => {
            out.push(b'[');
            for (i, v) in list.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                encode_sorted_into(out, v);
            }
            out.push(b']');
        }
        Value::Map(map) => {
            let mut entries: Vec<(&str, &Value)> = map.iter().collect();
            if !entries.is_sorted_by_key(|(k, _)| *k) {
                entries.sort_by_key(|(k, _)| *k);
            }
            out.push(b'{');
            for (i, (k, v)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_json_string(out, k);
                out.push(b':');
                encode_sorted_into(out, v);
            }
            out.push(b'}');
        }
        scalar => plain(out, scalar),
    }
}

struct Encoder<'o, 't> {
    out: &'o mut Vec<u8>,
    table: &'t Table,
}

impl Encoder<'_, '_> {
    fn value(&mut self, value: &Value, ty: Type) {
        match (ty, value) {
            (Type::Struct(id), Value::Map(m)) => self.object(m, id),
            (Type::Map(e), Value::Map(m)) => self.map(m, self.table.elem(e)),
            (Type::List(e) | Type::MessageList(e), Value::List(l)) => self.list(l, self.table.elem(e)),
            (Type::SchemaOrArray(id) | Type::SchemaOrBool(id) | Type::SchemaOrStrings(id), Value::Map(m)) => {
                self.object(m, id)
            }
            (Type::SchemaOrArray(id), Value::List(l)) => self.list(l, Type::Struct(id)),
            (Type::FieldsV1, Value::Str(text)) => self.out.extend_from_slice(text.as_bytes()),
            _ => plain(self.out, value),
        }
    }

    fn list(&mut self, list: &[Value], elem: Type) {
        self.out.push(b'[');
        for (i, v) in list.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            self.value(v, elem);
        }
        self.out.push(b']');
    }

    /// Keys are written sorted.
    fn map(&mut self, map: &Map, elem: Type) {
        let entries = &map.0;
        if entries.is_sorted_by(|a, b| a.0 <= b.0) {
            return self.entries(entries.iter(), elem);
        }
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        self.entries(sorted.into_iter(), elem);
    }

    fn entries<'v>(&mut self, entries: impl Iterator<Item = &'v (crate::Key, Value)>, elem: Type) {
        self.out.push(b'{');
        for (i, (k, v)) in entries.enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            write_json_string(self.out, k);
            self.out.push(b':');
            self.value(v, elem);
        }
        self.out.push(b'}');
    }

    fn object(&mut self, map: &Map, id: u16) {
        if self.table.structs[id as usize].is(Struct::OPEN) {
            return self.open(map, id);
        }
        let start = self.out.len();
        if !self.object_in_order(map, id) {
            self.out.truncate(start);
            self.object_by_name(map, id);
        }
    }

    /// What is there, nulls included, sorted by name.
    fn open(&mut self, map: &Map, id: u16) {
        let fields = self.table.fields_of(id);
        let mut entries: Vec<_> = map.0.iter().collect();
        if !entries.is_sorted_by(|a, b| a.0 <= b.0) {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.out.push(b'{');
        let mut first = true;
        for (name, value) in entries {
            self.name(name, &mut first);
            match fields.binary_search_by(|f| f.name.cmp(name)) {
                Ok(at) => self.value(value, fields[at].ty),
                Err(_) => plain(self.out, value),
            }
        }
        self.out.push(b'}');
    }

    /// Entries are usually in the table's order; gives false when they are not.
    fn object_in_order(&mut self, map: &Map, id: u16) -> bool {
        let mut entries = map.0.iter().peekable();
        self.out.push(b'{');
        let mut first = true;
        for field in self.table.fields_of(id) {
            let value = entries.next_if(|(k, _)| *k == field.name).map(|(_, v)| v);
            self.field(field, value, &mut first);
        }
        self.out.push(b'}');
        entries.next().is_none()
    }

    /// Entries that the table does not know come last, in their order.
    fn object_by_name(&mut self, map: &Map, id: u16) {
        self.out.push(b'{');
        let mut first = true;
        let fields = self.table.fields_of(id);
        for field in fields {
            self.field(field, map.get(&field.name), &mut first);
        }
        for (k, v) in map.iter() {
            if !fields.iter().any(|f| f.name == k) {
                self.name(k, &mut first);
                plain(self.out, v);
            }
        }
        self.out.push(b'}');
    }

    #[inline]
    fn name(&mut self, name: &str, first: &mut bool) {
        if !std::mem::replace(first, false) {
            self.out.push(b',');
        }
        write_json_string(self.out, name);
        self.out.push(b':');
    }

    #[inline]
    fn field(&mut self, field: &Field, value: Option<&Value>, first: &mut bool) {
        match value {
            Some(v) if !matches!(v, Value::Null) && !field.is_dropped(v) => {
                self.name(&field.name, first);
                self.value(v, field.ty);
            }
            _ => self.absent(field, first),
        }
    }

    /// Go writes zero values of fields that are not `omitempty`, and those of structs always.
    fn absent(&mut self, field: &Field, first: &mut bool) {
        if let Some(zero) = field.written_zero() {
            self.name(&field.name, first);
            self.value(zero, field.ty);
        }
    }
}

fn plain(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(i) => write_int(out, *i),
        Value::Float(f) => out.extend_from_slice(format_float(*f).as_bytes()),
        Value::Str(s) => write_json_string(out, s),
        Value::List(l) => {
            out.push(b'[');
            for (i, v) in l.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                plain(out, v);
            }
            out.push(b']');
        }
        Value::Map(m) => {
            out.push(b'{');
            for (i, (k, v)) in m.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_json_string(out, k);
                out.push(b':');
                plain(out, v);
            }
            out.push(b'}');
        }
    }
}

fn write_int(out: &mut Vec<u8>, i: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut n = i.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    if i < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// A float as Go writes it: decimal between 1e-6 and 1e21, else with an exponent.
pub fn format_float(f: f64) -> String {
    let abs = f.abs();
    if !f.is_finite() {
        return "null".to_owned();
    }
    if abs != 0.0 && !(1e-6..1e21).contains(&abs) {
        let text = format!("{f:e}");
        return match text.split_once('e') {
            Some((m, e)) if !e.starts_with('-') => format!("{m}e+{e:0>2}"),
            _ => text,
        };
    }
    format!("{f}")
}

/// A JSON string with quotes and escapes.
#[inline]
pub fn write_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    if bytes.iter().any(|c| *c < 0x20 || matches!(c, b'"' | b'\\')) {
        escape(out, bytes);
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

#[cold]
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for &c in bytes {
        match c {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[(c >> 4) as usize], HEX[(c & 15) as usize]]);
            }
            _ => out.push(c),
        }
    }
}
