//! The compact value: what an object is parsed into when a request must change it.
//! Field names known to the table are not copied. It must never do I/O or know a kind by name.

use std::borrow::Cow;

/// A field name or map key; names from the field table are borrowed.
pub type Key = Cow<'static, str>;

/// A JSON-like value. Numbers are kept as integers where they were written as such.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Box<str>),
    List(Vec<Value>),
    Map(Map),
}

/// Ordered key/value pairs. Decoders keep struct fields in the table's order and map keys sorted.
#[derive(Clone, Debug, Default)]
pub struct Map(pub Vec<(Key, Value)>);

impl PartialEq for Map {
    /// Equal when the same keys hold equal values, in whatever order.
    fn eq(&self, other: &Self) -> bool {
        /// Above this many entries they are sorted, so that what a client sends does not take quadratic time.
        const FEW: usize = 16;
        if self.0.len() != other.0.len() {
            return false;
        }
        let same_order = self.0.iter().zip(&other.0).all(|((a, _), (b, _))| a == b);
        if same_order {
            return self.0.iter().zip(&other.0).all(|((_, a), (_, b))| a == b);
        }
        if self.0.len() <= FEW {
            return self.0.iter().all(|(k, v)| other.get(k) == Some(v));
        }
        let sorted = |m: &Map| {
            let mut order: Vec<usize> = (0..m.0.len()).collect();
            order.sort_by(|a, b| m.0[*a].0.cmp(&m.0[*b].0));
            order
        };
        let (a, b) = (sorted(self), sorted(other));
        a.iter().zip(&b).all(|(a, b)| self.0[*a] == other.0[*b])
    }
}

impl Map {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Map(Vec::new())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Sets `key`, replacing what is there, else appending. Encoding by schema restores the order.
    pub fn set(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        let key = key.into();
        match self.get_mut(&key) {
            Some(slot) => *slot = value.into(),
            None => self.0.push((key, value.into())),
        }
    }

    /// Removes `key` and gives what was there.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    /// The value at `key`, put there by `make` when absent or null.
    pub fn entry(&mut self, key: impl Into<Key>, make: impl FnOnce() -> Value) -> &mut Value {
        let key = key.into();
        let at = match self.0.iter().position(|(k, _)| *k == key) {
            Some(at) => at,
            None => {
                self.0.push((key, Value::Null));
                self.0.len() - 1
            }
        };
        let slot = &mut self.0[at].1;
        if matches!(slot, Value::Null) {
            *slot = make();
        }
        slot
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_ref(), v))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        self.0.iter_mut().map(|(k, v)| {
            let k: &Key = k;
            (k.as_ref(), v)
        })
    }
}

impl Value {
    /// The value of field `key` of a map; `None` for anything else. A null counts as absent.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(m) => m.get(key).filter(|v| !matches!(v, Value::Null)),
            _ => None,
        }
    }

    /// Mutable [`Value::get`].
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        match self {
            Value::Map(m) => m.get_mut(key).filter(|v| !matches!(v, Value::Null)),
            _ => None,
        }
    }

    /// Follows field names from map to map.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |v, k| v.get(k))
    }

    /// Mutable [`Value::at`].
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |v, k| v.get_mut(k))
    }

    /// The text at `path`, empty when absent or not a string.
    #[must_use]
    pub fn str_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or("")
    }

    /// The integer at `path`.
    #[must_use]
    pub fn int_at(&self, path: &[&str]) -> Option<i64> {
        self.at(path).and_then(Value::as_int)
    }

    /// The boolean at `path`.
    #[must_use]
    pub fn bool_at(&self, path: &[&str]) -> Option<bool> {
        self.at(path).and_then(Value::as_bool)
    }

    /// The list at `path`, empty when absent or not a list.
    #[must_use]
    pub fn list_at(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_list).unwrap_or(&[])
    }

    /// Sets the value at `path`, making maps on the way. Does nothing when a non-map stands in the way.
    pub fn set_at(&mut self, path: &[&'static str], value: impl Into<Value>) {
        let Some((last, init)) = path.split_last() else { return };
        let mut v = self;
        for k in init {
            let Value::Map(m) = v else { return };
            v = m.entry(*k, || Value::Map(Map::new()));
        }
        if let Value::Map(m) = v {
            m.set(*last, value);
        }
    }

    /// Removes the value at `path` and gives it.
    pub fn remove_at(&mut self, path: &[&str]) -> Option<Value> {
        let (last, init) = path.split_last()?;
        self.at_mut(init)?.as_map_mut()?.remove(last)
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(s) = self { Some(s) } else { None }
    }

    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(i) = self { Some(*i) } else { None }
    }

    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }

    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(l) = self { Some(l) } else { None }
    }

    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Value>> {
        if let Value::List(l) = self { Some(l) } else { None }
    }

    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(m) = self { Some(m) } else { None }
    }

    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(m) = self { Some(m) } else { None }
    }

    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value::Str(s.into())
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::Str(s.into())
    }
}
impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Value::Int(i)
    }
}
impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}
impl From<Map> for Value {
    fn from(m: Map) -> Self {
        Value::Map(m)
    }
}
impl From<Vec<Value>> for Value {
    fn from(l: Vec<Value>) -> Self {
        Value::List(l)
    }
}
