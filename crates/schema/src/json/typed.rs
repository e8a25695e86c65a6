//! Reads JSON by type. It must never keep a field that the type does not have.

use std::borrow::Cow;
use std::fmt::Write as _;

use meta::Quantity;

use super::lexer::{Lexer, Number};
use super::{DecodeError, FieldValidation, MAX_DEPTH, plain};
use crate::scalar;
use crate::table::{Field, Struct, Table, Type, TypeRef};
use crate::{Map, Value};

/// Upstream stops counting there.
const MAX_STRICT_ERRORS: usize = 100;

/// A step from the document's root.
enum Step<'a, 't> {
    /// A field and the struct it belongs to.
    Field(&'t str, u16),
    Key(Cow<'a, str>),
    Index(usize),
}

/// What is wrong so far.
pub struct Report {
    validation: FieldValidation,
    strict: Vec<String>,
    type_error: Option<String>,
}

impl Report {
    pub const fn new(validation: FieldValidation) -> Self {
        Report { validation, strict: Vec::new(), type_error: None }
    }

    fn strict(&mut self, error: String) {
        if self.strict.len() < MAX_STRICT_ERRORS && !self.strict.contains(&error) {
            self.strict.push(error);
        }
    }
}

/// A reader of one document.
pub struct Reader<'a, 't> {
    lexer: Lexer<'a>,
    table: &'t Table,
    path: Vec<Step<'a, 't>>,
    report: Report,
}

/// Where fields go so that a struct's map is in table order.
#[derive(Default)]
struct Slots {
    bits: u128,
    /// Sorted; only for structs with more than 128 fields.
    wide: Vec<usize>,
}

impl Slots {
    /// Position of field `at`, and whether it is there already.
    #[inline]
    fn place(&mut self, at: usize) -> (usize, bool) {
        if at < 128 && self.wide.is_empty() {
            let bit = 1u128 << at;
            let pos = (self.bits & (bit - 1)).count_ones() as usize;
            let seen = self.bits & bit != 0;
            self.bits |= bit;
            return (pos, seen);
        }
        if self.wide.is_empty() {
            self.wide = (0..128).filter(|i| self.bits >> i & 1 == 1).collect();
        }
        match self.wide.binary_search(&at) {
            Ok(pos) => (pos, true),
            Err(pos) => {
                self.wide.insert(pos, at);
                (pos, false)
            }
        }
    }
}

impl<'a, 't> Reader<'a, 't> {
    pub fn new(text: &'a str, table: &'t Table, report: Report) -> Self {
        Reader { lexer: Lexer::new(text), table, path: Vec::with_capacity(16), report }
    }

    /// The whole document; `None` when it is null.
    pub fn document(&mut self, ty: Type) -> Result<Option<Value>, DecodeError> {
        let c = self.lexer.peek();
        let value = match (ty, c) {
            // The whole of an object is one, however loose its parts are.
            (Type::Struct(_), b'n') => self.lexer.literal("null").map(|()| None)?,
            (Type::Struct(_), c) if c != b'{' => self.mismatch(ty, c, MAX_DEPTH)?,
            _ => self.value(ty, MAX_DEPTH)?,
        };
        self.lexer.end()?;
        Ok(value)
    }

    /// Warnings, or the errors that were found on the way.
    pub fn finish(self) -> Result<Vec<String>, DecodeError> {
        if let Some(error) = self.report.type_error {
            return Err(DecodeError::Type(error));
        }
        match self.report.validation {
            FieldValidation::Strict if !self.report.strict.is_empty() => {
                Err(DecodeError::Strict(self.report.strict))
            }
            _ => Ok(self.report.strict),
        }
    }

    /// `None` for null and for what has the wrong type (which is reported).
    fn value(&mut self, ty: Type, depth: usize) -> Result<Option<Value>, DecodeError> {
        let c = self.lexer.peek();
        match (ty, c) {
            (Type::Any, _) => self.any(depth).map(Some),
            (Type::Struct(_) | Type::Map(_), c) if c != b'{' && self.table.is_loose(ty) => {
                self.any(depth).map(Some)
            }
            (Type::List(_), c) if c != b'[' && self.table.is_loose(ty) => self.any(depth).map(Some),
            (_, b'n') => self.lexer.literal("null").map(|()| None),
            (Type::String | Type::Named(_), b'"') => {
                Ok(Some(Value::Str(plain::into_box(self.lexer.string()?))))
            }
            (Type::Struct(id), b'{') => self.object(id, depth).map(Some),
            (Type::Map(e), b'{') => self.map(self.table.elem(e), depth).map(Some),
            (Type::List(e) | Type::MessageList(e), b'[') => self.list(self.table.elem(e), depth).map(Some),
            (Type::Bool | Type::SchemaOrBool(_), b't') => {
                self.lexer.literal("true").map(|()| Some(Value::Bool(true)))
            }
            (Type::Bool | Type::SchemaOrBool(_), b'f') => {
                self.lexer.literal("false").map(|()| Some(Value::Bool(false)))
            }
            (Type::Int32 | Type::Int64 | Type::Float | Type::IntOrString, b'-' | b'0'..=b'9') => {
                self.number(ty)
            }
            // Kept as its text: most requests do not look into it.
            (Type::FieldsV1, _) => {
                plain::text(&mut self.lexer, depth).map(|text| Some(Value::Str(plain::into_box(text))))
            }
            (Type::RawExtension | Type::Json, _) => plain::value(&mut self.lexer, depth).map(Some),
            (Type::Quantity, b'"' | b'-' | b'0'..=b'9') => self.quantity(),
            (Type::IntOrString, b'"') => Ok(Some(Value::Str(plain::into_box(self.lexer.string()?)))),
            (Type::Time | Type::MicroTime | Type::Duration | Type::Bytes, b'"') => self.text(ty),
            (Type::SchemaOrArray(id) | Type::SchemaOrBool(id) | Type::SchemaOrStrings(id), b'{') => {
                self.object(id, depth).map(Some)
            }
            (Type::SchemaOrArray(id), b'[') => self.list(Type::Struct(id), depth).map(Some),
            (Type::SchemaOrStrings(_), b'[') => self.list(Type::String, depth).map(Some),
            _ => self.mismatch(ty, c, depth),
        }
    }

    /// Any value; in the objects of defined kinds keys are sorted all the way down.
    fn any(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let mut value = plain::value(&mut self.lexer, depth)?;
        if self.table.loose_from.is_some() {
            plain::sort(&mut value);
        }
        Ok(value)
    }

    fn number(&mut self, ty: Type) -> Result<Option<Value>, DecodeError> {
        let start = self.lexer.position();
        let number = self.lexer.number()?;
        let value = match (ty, number) {
            (Type::Float, Number::Int(i)) => Some(Value::Float(i as f64)),
            (Type::Float, Number::Other(text)) => {
                text.parse().ok().filter(|f: &f64| f.is_finite()).map(Value::Float)
            }
            (Type::Int64, Number::Int(i)) => Some(Value::Int(i)),
            (_, Number::Int(i)) if i32::try_from(i).is_ok() => Some(Value::Int(i)),
            _ => None,
        };
        if value.is_none() {
            let text = self.lexer.since(start);
            if ty == Type::IntOrString {
                let message = format!("json: cannot unmarshal number {text} into Go value of type int32");
                self.type_error(message);
            } else {
                self.cannot_unmarshal(&format!("number {text}"), ty);
            }
        }
        Ok(value)
    }

    fn quantity(&mut self) -> Result<Option<Value>, DecodeError> {
        let text = if self.lexer.peek() == b'"' {
            self.lexer.string()?
        } else {
            let start = self.lexer.position();
            self.lexer.number()?;
            Cow::Borrowed(self.lexer.since(start))
        };
        match Quantity::canonical(text.trim()) {
            Ok(text) => Ok(Some(Value::Str(text.into()))),
            Err(e) => {
                self.type_error(e.to_string());
                Ok(None)
            }
        }
    }

    fn text(&mut self, ty: Type) -> Result<Option<Value>, DecodeError> {
        let text = self.lexer.string()?;
        let canonical = match ty {
            Type::Time => scalar::canonical_time(&text),
            Type::MicroTime => scalar::canonical_micro_time(&text),
            Type::Duration => scalar::parse_duration(&text).map(|d| Some(scalar::format_duration(d).into())),
            _ => scalar::canonical_base64(&text).map(Some),
        };
        match canonical {
            Ok(text) => Ok(text.map(Value::Str)),
            Err(message) => {
                self.type_error(message);
                Ok(None)
            }
        }
    }

    fn object(&mut self, id: u16, depth: usize) -> Result<Value, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let fields = self.table.fields_of(id);
        let mut map = Map::new();
        let mut extra = Map::new();
        let (mut seen, mut kept, mut guess) = (Slots::default(), Slots::default(), 0);
        self.lexer.bump();
        if self.lexer.peek() == b'}' {
            self.lexer.bump();
            return Ok(Value::Map(map));
        }
        loop {
            let key = self.lexer.key()?;
            if let Some(at) = find(fields, &key, guess) {
                guess = at + 1;
                let field = &fields[at];
                self.path.push(Step::Field(&field.name, id));
                if seen.place(at).1 {
                    self.duplicate();
                }
                let value = self.value(field.ty, depth)?;
                self.path.pop();
                if let Some(value) = value.filter(|v| !field.is_dropped(v)) {
                    match kept.place(at) {
                        (pos, true) => map.0[pos].1 = value,
                        (pos, false) => map.0.insert(pos, (field.name.clone(), value)),
                    }
                }
            } else {
                self.unknown(id, key, &mut extra, depth)?;
            }
            match self.lexer.peek() {
                b',' => self.lexer.bump(),
                b'}' => break,
                _ => return Err(self.lexer.unexpected("after object key:value pair")),
            }
        }
        self.lexer.bump();
        if !extra.is_empty() {
            plain::keep_last(&mut extra);
            map.0.append(&mut extra.0);
            if self.table.structs[id as usize].is(Struct::OPEN) {
                map.0.sort_by(|a, b| a.0.cmp(&b.0));
            }
        }
        Ok(Value::Map(map))
    }

    /// A field that the struct does not have: kept by an open struct, else skipped and reported.
    #[cold]
    fn unknown(
        &mut self,
        id: u16,
        key: Cow<'a, str>,
        extra: &mut Map,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if self.table.structs[id as usize].is(Struct::OPEN) {
            let value = self.any(depth)?;
            extra.0.push((Cow::Owned(key.into_owned()), value));
            return Ok(());
        }
        if self.report.validation != FieldValidation::Ignore {
            self.path.push(Step::Key(key));
            let error = format!("unknown field {}", go_quote(&self.full_path()));
            self.report.strict(error);
            self.path.pop();
        }
        plain::value(&mut self.lexer, depth).map(|_| ())
    }

    #[cold]
    fn duplicate(&mut self) {
        if self.report.validation != FieldValidation::Ignore {
            let error = format!("duplicate field {}", go_quote(&self.full_path()));
            self.report.strict(error);
        }
    }

    fn map(&mut self, elem: Type, depth: usize) -> Result<Value, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let mut map = Map::new();
        let mut sorted = true;
        self.lexer.bump();
        if self.lexer.peek() == b'}' {
            self.lexer.bump();
            return Ok(Value::Map(map));
        }
        loop {
            let key = self.lexer.key()?;
            self.path.push(Step::Key(key));
            let value = self.value(elem, depth)?.unwrap_or_else(|| zero(elem));
            if let Some(Step::Key(key)) = self.path.pop() {
                sorted &= map.0.last().is_none_or(|(last, _)| last.as_ref() < key.as_ref());
                map.0.push((Cow::Owned(key.into_owned()), value));
            }
            match self.lexer.peek() {
                b',' => self.lexer.bump(),
                b'}' => break,
                _ => return Err(self.lexer.unexpected("after object key:value pair")),
            }
        }
        self.lexer.bump();
        if !sorted {
            for key in plain::keep_last(&mut map) {
                self.path.push(Step::Key(Cow::Owned(key)));
                self.duplicate();
                self.path.pop();
            }
            map.0.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Ok(Value::Map(map))
    }

    fn list(&mut self, elem: Type, depth: usize) -> Result<Value, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let mut list = Vec::new();
        self.lexer.bump();
        if self.lexer.peek() == b']' {
            self.lexer.bump();
            return Ok(Value::List(list));
        }
        loop {
            self.path.push(Step::Index(list.len()));
            let value = self.value(elem, depth)?.unwrap_or_else(|| zero(elem));
            self.path.pop();
            list.push(value);
            match self.lexer.peek() {
                b',' => self.lexer.bump(),
                b']' => break,
                _ => return Err(self.lexer.unexpected("after array element")),
            }
        }
        self.lexer.bump();
        Ok(Value::List(list))
    }

    #[cold]
    fn mismatch(&mut self, ty: Type, c: u8, depth: usize) -> Result<Option<Value>, DecodeError> {
        let what = match c {
            b'"' => "string",
            b'{' => "object",
            b'[' => "array",
            b't' | b'f' => "bool",
            b'-' | b'0'..=b'9' => "number",
            _ => return Err(self.lexer.unexpected("looking for beginning of value")),
        };
        plain::value(&mut self.lexer, depth)?;
        match ty {
            Type::IntOrString => {
                self.type_error(format!("json: cannot unmarshal {what} into Go value of type int32"));
            }
            Type::Time | Type::MicroTime | Type::Duration => {
                self.type_error(format!("json: cannot unmarshal {what} into Go value of type string"));
            }
            Type::Quantity => self.type_error(meta::quantity::QuantityError.to_string()),
            _ => self.cannot_unmarshal(what, ty),
        }
        Ok(None)
    }

    #[cold]
    fn cannot_unmarshal(&mut self, what: &str, ty: Type) {
        let go = TypeRef::new(self.table, ty).go_name();
        let mut fields = self.path.iter().filter_map(|s| match s {
            Step::Field(name, id) => Some((*name, *id)),
            _ => None,
        });
        let names: Vec<&str> = fields.clone().map(|(name, _)| name).collect();
        let message = match fields.next_back() {
            Some((_, id)) => {
                let of = TypeRef::new(self.table, Type::Struct(id)).name();
                let path = names.join(".");
                format!("json: cannot unmarshal {what} into Go struct field {of}.{path} of type {go}")
            }
            None => format!("json: cannot unmarshal {what} into Go value of type {go}"),
        };
        self.type_error(message);
    }

    /// Keeps the first.
    fn type_error(&mut self, message: String) {
        self.report.type_error.get_or_insert(message);
    }

    fn full_path(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            let name: &str = match step {
                Step::Index(i) => {
                    let _ = write!(out, "[{i}]");
                    continue;
                }
                Step::Field(name, _) => name,
                Step::Key(key) => key,
            };
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(name);
        }
        out
    }
}

fn go_quote(text: &str) -> String {
    format!("{text:?}")
}

/// The field called `key`; the one at `guess` is likely.
#[inline]
fn find(fields: &[Field], key: &str, guess: usize) -> Option<usize> {
    if fields.get(guess).is_some_and(|f| f.name == key) {
        return Some(guess);
    }
    fields.iter().position(|f| f.name == key)
}

/// What null is as an element of a list or a map.
pub fn zero(ty: Type) -> Value {
    match ty {
        Type::Bool => Value::Bool(false),
        Type::String | Type::Named(_) => Value::Str("".into()),
        Type::Int32 | Type::Int64 | Type::IntOrString => Value::Int(0),
        Type::Float => Value::Float(0.0),
        Type::Quantity => Value::Str("0".into()),
        Type::Struct(_) => Value::Map(Map::new()),
        _ => Value::Null,
    }
}
