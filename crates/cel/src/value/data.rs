//! Values: what expressions read and make. Trees of data are borrowed and read through [`ListView`] and [`MapView`]
//! when an expression gets to them. It must never copy such a tree, nor hold more than what was asked for, nor let two
//! keys of a map be that are equal numbers.

use super::number;
use super::text::{Blob, Text};
use super::time::{Duration, Timestamp};
use crate::error::Error;
use crate::types::{OPTIONAL, Type};
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A value. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Text<'a>),
    Bytes(Blob<'a>),
    List(List<'a>),
    Map(Map<'a>),
    /// A message that an expression made.
    Object(Arc<Object<'a>>),
    Timestamp(Timestamp),
    Duration(Duration),
    Type(Type),
    Optional(Option<Arc<Value<'a>>>),
    /// A value of a library.
    Opaque(Arc<dyn Opaque>),
}

/// A message that an expression made: its type's name and fields.
#[derive(Debug)]
pub struct Object<'a> {
    pub name: Arc<str>,
    pub fields: Vec<(Arc<str>, Value<'a>)>,
}

impl<'a> Object<'a> {
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value<'a>> {
        self.fields.iter().find(|(name, _)| &**name == field).map(|(_, v)| v)
    }
}

/// A value of a library: its type, and what can be asked without knowing it.
pub trait Opaque: fmt::Debug + Send + Sync {
    fn ty(&self) -> Type;
    /// Whether it is the same value; `other` has the same type.
    fn equals(&self, other: &dyn Opaque) -> bool;
    fn as_any(&self) -> &dyn Any;
    /// What it counts as where costs follow sizes; one unless it says otherwise.
    fn size(&self) -> Option<u64> {
        None
    }
    /// How long its regular expression is, for those that have one.
    fn regex_size(&self) -> Option<u64> {
        None
    }
    /// Its form as text, for conversions to string.
    fn text(&self) -> Option<String> {
        None
    }
}

impl<'a> Value<'a> {
    #[must_use]
    pub fn str(text: impl Into<Text<'a>>) -> Self {
        Value::Str(text.into())
    }

    #[must_use]
    pub fn list(values: Vec<Value<'a>>) -> Self {
        Value::List(List::from(values))
    }

    #[must_use]
    pub fn some(value: Value<'a>) -> Self {
        Value::Optional(Some(Arc::new(value)))
    }

    #[must_use]
    pub fn opaque(value: impl Opaque + 'static) -> Self {
        Value::Opaque(Arc::new(value))
    }

    /// The value as the library's own type.
    #[must_use]
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        if let Value::Opaque(o) = self { o.as_any().downcast_ref() } else { None }
    }

    /// Its type; of lists, maps and optionals without what they are of.
    #[must_use]
    pub fn ty(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::Str(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Value::Object(o) => Type::Object(o.name.clone()),
            Value::Timestamp(_) => Type::Timestamp,
            Value::Duration(_) => Type::Duration,
            Value::Type(_) => Type::Type(None),
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Opaque(o) => o.ty(),
        }
    }

    /// The name of its type.
    #[must_use]
    pub fn type_name(&self) -> String {
        match self {
            Value::Optional(_) => OPTIONAL.to_owned(),
            _ => self.ty().name().to_owned(),
        }
    }

    /// What it counts as where costs follow sizes.
    // k8s: github.com/google/cel-go interpreter/runtimecost.go actualSize
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Value::Optional(Some(inner)) => inner.size(),
            _ => self.sizer().unwrap_or(1),
        }
    }

    /// Its size, when it is of those that have one.
    #[must_use]
    pub fn sizer(&self) -> Option<u64> {
        match self {
            Value::Str(s) => Some(s.chars().count() as u64),
            Value::Bytes(b) => Some(b.len() as u64),
            Value::List(l) => Some(l.len() as u64),
            Value::Map(m) => Some(m.len() as u64),
            Value::Opaque(o) => o.size(),
            _ => None,
        }
    }

    /// Whether it is what its type is by default.
    // k8s: github.com/google/cel-go common/types traits.Zeroer
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Int(i) => *i == 0,
            Value::Uint(u) => *u == 0,
            Value::Double(d) => *d == 0.0,
            Value::Str(s) => s.is_empty(),
            Value::Bytes(b) => b.is_empty(),
            Value::List(l) => l.is_empty(),
            Value::Map(m) => m.is_empty(),
            Value::Object(o) => o.fields.is_empty(),
            Value::Timestamp(t) => *t == Timestamp::ZERO,
            Value::Duration(d) => d.nanos() == 0,
            Value::Optional(o) => o.is_none(),
            Value::Type(_) | Value::Opaque(_) => false,
        }
    }

    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }

    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(i) = self { Some(*i) } else { None }
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(s) = self { Some(s) } else { None }
    }

    #[must_use]
    pub fn as_list(&self) -> Option<&List<'a>> {
        if let Value::List(l) = self { Some(l) } else { None }
    }
}

/// A value that borrows nothing, for any lifetime: constants of programs.
pub(crate) fn loan<'a>(value: &Value<'static>) -> Value<'a> {
    match value {
        Value::Null => Value::Null,
        Value::Bool(b) => Value::Bool(*b),
        Value::Int(i) => Value::Int(*i),
        Value::Uint(u) => Value::Uint(*u),
        Value::Double(d) => Value::Double(*d),
        Value::Str(s) => Value::Str(s.clone()),
        Value::Bytes(b) => Value::Bytes(b.clone()),
        Value::List(l) => Value::List(l.loan()),
        Value::Map(m) => Value::Map(m.loan()),
        Value::Object(o) => Value::Object(Arc::new(Object {
            name: o.name.clone(),
            fields: o.fields.iter().map(|(n, v)| (n.clone(), loan(v))).collect(),
        })),
        Value::Timestamp(t) => Value::Timestamp(*t),
        Value::Duration(d) => Value::Duration(*d),
        Value::Type(t) => Value::Type(t.clone()),
        Value::Optional(o) => Value::Optional(o.as_ref().map(|v| Arc::new(loan(v)))),
        Value::Opaque(o) => Value::Opaque(o.clone()),
    }
}

/// As messages of errors show values.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(i) => write!(f, "{i}"),
            Value::Uint(u) => write!(f, "{u}"),
            Value::Double(d) => f.write_str(&number::shown(*d)),
            Value::Str(s) => f.write_str(s),
            Value::Bytes(b) => write!(f, "{:?}", &**b),
            Value::List(l) => {
                f.write_str("[")?;
                for at in 0..l.len().min(100) {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", l.get(at).unwrap_or(Value::Null))?;
                }
                f.write_str("]")
            }
            Value::Map(_) => f.write_str("map"),
            Value::Object(o) => f.write_str(&o.name),
            Value::Timestamp(t) => write!(f, "{t}"),
            Value::Duration(d) => write!(f, "{d}"),
            Value::Type(t) => f.write_str(t.name()),
            Value::Optional(None) => f.write_str("optional.none()"),
            Value::Optional(Some(v)) => write!(f, "optional({v})"),
            Value::Opaque(o) => f.write_str(&o.text().unwrap_or_else(|| o.ty().name().to_owned())),
        }
    }
}

/// A list of somebody's data. What is asked for is made when it is asked for.
pub trait ListView<'a>: fmt::Debug + Send + Sync {
    fn len(&self) -> usize;
    fn get(&self, at: usize) -> Option<Value<'a>>;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// How lists of this kind are joined and compared.
    fn semantics(&self) -> Semantics<'a> {
        Semantics::Atomic
    }
}

/// How a list counts for `+` and `==`.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/common/values.go unstructuredSetList, unstructuredMapList
#[derive(Clone, Debug, Default)]
pub enum Semantics<'a> {
    #[default]
    Atomic,
    /// Each element once, in no order.
    Set,
    /// Elements are told apart by the values of these fields.
    Keys(&'a [String]),
}

/// A list.
#[derive(Clone)]
pub enum List<'a> {
    Owned(Arc<Vec<Value<'a>>>),
    Fixed(Arc<Vec<Value<'static>>>),
    Joined(Arc<Joined<'a>>),
    View(Arc<dyn ListView<'a> + 'a>),
}

/// Two lists as one.
pub struct Joined<'a> {
    first: List<'a>,
    second: List<'a>,
    len: usize,
    depth: u32,
}

/// Where joined lists become one, so that reading stays cheap and nothing recurses far.
const MAX_JOIN_DEPTH: u32 = 64;
/// Joined lists longer than this stay joined whatever their depth; nobody can pay for reading them.
const MAX_COPY: usize = 1 << 20;

impl<'a> List<'a> {
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            List::Owned(v) => v.len(),
            List::Fixed(v) => v.len(),
            List::Joined(j) => j.len,
            List::View(v) => v.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        match self {
            List::Owned(v) => v.get(at).cloned(),
            List::Fixed(v) => v.get(at).map(loan),
            List::View(v) => v.get(at),
            List::Joined(j) => {
                let first = j.first.len();
                if at < first { j.first.get(at) } else { j.second.get(at - first) }
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).map_while(|at| self.get(at))
    }

    #[must_use]
    pub fn semantics(&self) -> Semantics<'a> {
        match self {
            List::View(v) => v.semantics(),
            _ => Semantics::Atomic,
        }
    }

    fn depth(&self) -> u32 {
        if let List::Joined(j) = self { j.depth } else { 0 }
    }

    /// This list and then the other. `None` when it could not be counted.
    #[must_use]
    pub fn join(&self, other: &List<'a>) -> Option<List<'a>> {
        if self.is_empty() {
            return Some(other.clone());
        }
        if other.is_empty() {
            return Some(self.clone());
        }
        let len = self.len().checked_add(other.len()).filter(|len| i64::try_from(*len).is_ok())?;
        let depth = self.depth().max(other.depth()) + 1;
        if depth > MAX_JOIN_DEPTH {
            if len > MAX_COPY {
                return None;
            }
            return Some(self.iter().chain(other.iter()).collect::<Vec<_>>().into());
        }
        Some(List::Joined(Arc::new(Joined { first: self.clone(), second: other.clone(), len, depth })))
    }

    pub(crate) fn loan<'b>(&self) -> List<'b>
    where
        'a: 'static,
    {
        // Only lists that borrow nothing are lent; views and joined ones are copied out.
        match self {
            List::Fixed(v) => List::Fixed(v.clone()),
            other => List::Owned(Arc::new(other.iter().map(|v| loan(&fixed(v))).collect())),
        }
    }

    /// A list of constants that can be lent.
    pub(crate) fn fix(self) -> List<'static>
    where
        'a: 'static,
    {
        List::Fixed(Arc::new(self.iter().map(fixed).collect()))
    }
}

/// For `'static` values only; the bound of [`List::loan`] says so.
fn fixed<'a>(value: Value<'a>) -> Value<'static>
where
    'a: 'static,
{
    value
}

impl<'a> From<Vec<Value<'a>>> for List<'a> {
    fn from(values: Vec<Value<'a>>) -> Self {
        List::Owned(Arc::new(values))
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().take(100)).finish()
    }
}

/// A map or object of somebody's data, its keys strings.
pub trait MapView<'a>: fmt::Debug + Send + Sync {
    fn len(&self) -> usize;
    fn get(&self, key: &str) -> Option<Value<'a>>;
    /// An entry by its place.
    fn entry(&self, at: usize) -> Option<(Text<'a>, Value<'a>)>;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a map is asked with. Numbers that are equal are one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Bool(bool),
    Int(i64),
    /// Above what an int holds.
    Uint(u64),
    /// What is no integer, by its bits; no map has one, sets of constants do.
    Double(u64),
    Str(Arc<str>),
}

impl Key {
    /// The key that a value is; `None` for what no map has.
    #[must_use]
    pub fn of(value: &Value<'_>) -> Option<Key> {
        Some(match value {
            Value::Bool(b) => Key::Bool(*b),
            Value::Int(i) => Key::Int(*i),
            Value::Uint(u) => i64::try_from(*u).map_or(Key::Uint(*u), Key::Int),
            Value::Double(d) => match (number::exact_int(*d), number::exact_uint(*d)) {
                (Some(i), _) => Key::Int(i),
                (None, Some(u)) => Key::Uint(u),
                (None, None) if d.is_nan() => return None,
                (None, None) => Key::Double(d.to_bits()),
            },
            Value::Str(Text::Shared(s)) => Key::Str(s.clone()),
            Value::Str(s) => Key::Str((**s).into()),
            _ => return None,
        })
    }
}

/// A map that an expression made: entries in the order they were put in.
#[derive(Clone, Debug, Default)]
pub struct OwnedMap<'a> {
    pub(crate) entries: Vec<(Value<'a>, Value<'a>)>,
    index: HashMap<Key, usize>,
}

impl<'a> OwnedMap<'a> {
    /// Puts in an entry. `Err` with what to do about an equal key's place, or that the value is no key.
    pub fn insert(&mut self, key: Value<'a>, value: Value<'a>) -> Insert {
        let Some(k) = Key::of(&key) else { return Insert::NoKey };
        match self.index.get(&k) {
            Some(_) => Insert::Exists,
            None => {
                self.index.insert(k, self.entries.len());
                self.entries.push((key, value));
                Insert::Done
            }
        }
    }

    /// Adds an entry that is not there yet.
    ///
    /// # Errors
    /// That it is there, in upstream's words.
    // k8s: github.com/google/cel-go common/types/map.go InsertMapKeyValue
    pub fn add(&mut self, key: Value<'a>, value: Value<'a>) -> Result<(), Error> {
        match self.insert(key.clone(), value) {
            Insert::Done => Ok(()),
            Insert::Exists => Err(Error::new(format!("insert failed: key {key} already exists"))),
            Insert::NoKey => Err(Error::new(format!("unsupported key type: {}", key.type_name()))),
        }
    }

    /// [`OwnedMap::insert`], replacing what is there.
    pub fn set(&mut self, key: Value<'a>, value: Value<'a>) -> Insert {
        if let Some(at) = Key::of(&key).and_then(|k| self.index.get(&k).copied()) {
            self.entries[at] = (key, value);
            return Insert::Done;
        }
        self.insert(key, value)
    }

    #[must_use]
    pub fn get(&self, key: &Value<'_>) -> Option<&Value<'a>> {
        let at = *self.index.get(&Key::of(key)?)?;
        self.entries.get(at).map(|(_, v)| v)
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    Done,
    Exists,
    NoKey,
}

/// A map.
#[derive(Clone)]
pub enum Map<'a> {
    Owned(Arc<OwnedMap<'a>>),
    Fixed(Arc<OwnedMap<'static>>),
    View(Arc<dyn MapView<'a> + 'a>),
}

impl<'a> Map<'a> {
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Map::Owned(m) => m.entries.len(),
            Map::Fixed(m) => m.entries.len(),
            Map::View(v) => v.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match self {
            Map::Owned(m) => m.get(key).cloned(),
            Map::Fixed(m) => m.get(key).map(loan),
            Map::View(v) => v.get(key.as_str()?),
        }
    }

    /// The value of a key that is a string.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<Value<'a>> {
        match self {
            Map::View(v) => v.get(key),
            _ => self.get(&Value::Str(Text::Borrowed(key))),
        }
    }

    #[must_use]
    pub fn entry(&self, at: usize) -> Option<(Value<'a>, Value<'a>)> {
        match self {
            Map::Owned(m) => m.entries.get(at).cloned(),
            Map::Fixed(m) => m.entries.get(at).map(|(k, v)| (loan(k), loan(v))),
            Map::View(v) => v.entry(at).map(|(k, v)| (Value::Str(k), v)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + '_ {
        (0..self.len()).map_while(|at| self.entry(at))
    }

    pub(crate) fn loan<'b>(&self) -> Map<'b>
    where
        'a: 'static,
    {
        match self {
            Map::Fixed(m) => Map::Fixed(m.clone()),
            other => {
                let mut map = OwnedMap::default();
                for (k, v) in other.iter() {
                    map.set(loan(&k), loan(&v));
                }
                Map::Owned(Arc::new(map))
            }
        }
    }
}

impl<'a> From<OwnedMap<'a>> for Map<'a> {
    fn from(map: OwnedMap<'a>) -> Self {
        Map::Owned(Arc::new(map))
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().take(100)).finish()
    }
}
