//! Reads JSON as the API's own types do: a null member is the zero value of its field, be it a list, a map, a
//! struct, a text, a number or a truth value. Stock servers send `"endpoints":null` where a list is empty.
//!
//! Every reader of objects that came from a server goes through [`read`]; fields then need no annotation of
//! their own. An `Option` stays `None`. Enums and tuples have no zero value, and a null among them is an error.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

/// Reads one JSON value out of `bytes`.
///
/// # Errors
/// When the bytes are not JSON, or not a `T`.
pub fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = of(&mut source)?;
    source.end()?;
    Ok(value)
}

/// The same out of any source: a part that was read as a `serde_json::Value` before.
///
/// # Errors
/// When it is not a `T`.
pub fn of<'de, T: Deserialize<'de>, D: Deserializer<'de>>(source: D) -> Result<T, D::Error> {
    T::deserialize(Lenient(source))
}

/// What `serde_json` calls the types that it knows better than by their shape (raw text); left to it.
const PRIVATE: &str = "$serde_json::private";

/// A deserializer, visitor, access or seed below which null is a zero value.
struct Lenient<T>(T);

/// What is asked for where a null may stand.
#[derive(Clone, Copy)]
enum Shape {
    Bool,
    Number,
    Text,
    Bytes,
    List,
    Map,
    Struct(&'static str, &'static [&'static str]),
}

/// Takes a value of this shape, or null.
struct OrZero<V> {
    shape: Shape,
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for OrZero<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<V::Value, D::Error> {
        let visitor = Lenient(self.visitor);
        match self.shape {
            Shape::Bool => d.deserialize_bool(visitor),
            Shape::Number => d.deserialize_i64(visitor),
            Shape::Text => d.deserialize_str(visitor),
            Shape::Bytes => d.deserialize_bytes(visitor),
            Shape::List => d.deserialize_seq(visitor),
            Shape::Map => d.deserialize_map(visitor),
            Shape::Struct(name, fields) => d.deserialize_struct(name, fields, visitor),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        match self.shape {
            Shape::Bool => self.visitor.visit_bool(false),
            Shape::Number => self.visitor.visit_u64(0),
            Shape::Text => self.visitor.visit_borrowed_str(""),
            Shape::Bytes => self.visitor.visit_borrowed_bytes(b""),
            Shape::List => self.visitor.visit_seq(Nothing(PhantomData)),
            Shape::Map | Shape::Struct(..) => self.visitor.visit_map(Nothing(PhantomData)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visit_none()
    }
}

/// An empty list or map.
struct Nothing<E>(PhantomData<E>);

impl<'de, E: Error> SeqAccess<'de> for Nothing<E> {
    type Error = E;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, _: T) -> Result<Option<T::Value>, E> {
        Ok(None)
    }
}

impl<'de, E: Error> MapAccess<'de> for Nothing<E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, E> {
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, _: V) -> Result<V::Value, E> {
        Err(E::custom("a value without a key"))
    }
}

macro_rules! or_zero {
    ($($method:ident => $shape:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_option(OrZero { shape: $shape, visitor })
        }
    )*};
}

macro_rules! as_it_is {
    ($($method:ident($($arg:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self $(, $arg: $type)*, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($arg,)* Lenient(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Lenient<D> {
    type Error = D::Error;

    or_zero! {
        deserialize_bool => Shape::Bool;
        deserialize_i8 => Shape::Number;
        deserialize_i16 => Shape::Number;
        deserialize_i32 => Shape::Number;
        deserialize_i64 => Shape::Number;
        deserialize_u8 => Shape::Number;
        deserialize_u16 => Shape::Number;
        deserialize_u32 => Shape::Number;
        deserialize_u64 => Shape::Number;
        deserialize_f32 => Shape::Number;
        deserialize_f64 => Shape::Number;
        deserialize_str => Shape::Text;
        deserialize_string => Shape::Text;
        deserialize_bytes => Shape::Bytes;
        deserialize_byte_buf => Shape::Bytes;
        deserialize_seq => Shape::List;
        deserialize_map => Shape::Map;
    }

    as_it_is! {
        deserialize_any();
        deserialize_char();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(OrZero { shape: Shape::Struct(name, fields), visitor })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if name.starts_with(PRIVATE) {
            return self.0.deserialize_newtype_struct(name, visitor);
        }
        self.0.deserialize_newtype_struct(name, Lenient(visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }
}

macro_rules! visit {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Lenient<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_f64(f64);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Lenient(d))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Lenient(d))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, a: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Lenient(a))
    }

    fn visit_map<A: MapAccess<'de>>(self, a: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Lenient(a))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, a: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Lenient(a))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Lenient<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Lenient(d))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Lenient<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Lenient(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Lenient<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        // A key is never null.
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(Lenient(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Lenient<A> {
    type Error = A::Error;
    type Variant = Lenient<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(seed)?;
        Ok((value, Lenient(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Lenient<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.newtype_variant_seed(Lenient(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Lenient(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Lenient(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;
    use crate::IntOrString;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Inner {
        number: i32,
        part: f64,
        on: bool,
        text: String,
        maybe: Option<i64>,
        list: Vec<Inner>,
        map: BTreeMap<String, String>,
        port: Option<IntOrString>,
        any: Value,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Strict {
        inner: Inner,
        list: Vec<String>,
        raw: Option<Box<RawValue>>,
    }

    #[test]
    fn null_is_the_zero_value_of_every_shape_at_every_depth() {
        let full = r#"{"number":null,"part":null,"on":null,"text":null,"maybe":null,"list":null,"map":null,
            "port":null,"any":null}"#;
        for text in ["null".to_owned(), full.to_owned(), format!(r#"{{"list":[{full},null]}}"#)] {
            let got: Inner = read(text.as_bytes()).unwrap();
            assert!(got.list.iter().all(|i| *i == Inner::default()), "{text}");
            assert_eq!(Inner { list: Vec::new(), ..got }, Inner::default(), "{text}");
        }
        let got: Strict =
            read(br#"{"inner":{"map":{"a":null}},"list":null,"raw":{"x":null,"y":[1]}}"#).unwrap();
        assert_eq!(got.inner.map["a"], "");
        assert!(got.list.is_empty());
        assert_eq!(got.raw.unwrap().get(), r#"{"x":null,"y":[1]}"#);
        let value = serde_json::json!({"list": null, "map": {"k": null}});
        assert_eq!(of::<Inner, _>(&value).unwrap().map["k"], "");
        // Null is a value where everything is.
        assert_eq!(read::<Value>(br#"{"a":null,"b":[null]}"#).unwrap()["b"], serde_json::json!([null]));
    }

    #[test]
    fn what_is_not_null_reads_as_ever() {
        let text = br#"{"number":-3,"part":1.5,"on":true,"text":"a\"b","maybe":7,"list":[{"number":1}],
            "map":{"k":"v"},"port":"http","any":{"n":null},"unknown":[null,{}]}"#;
        assert_eq!(read::<Inner>(text).unwrap(), serde_json::from_slice::<Inner>(text).unwrap());
        assert_eq!(read::<&str>(br#""borrowed""#).unwrap(), "borrowed");
    }

    #[test]
    fn mistakes_are_still_told() {
        let error = |text: &str| read::<Strict>(text.as_bytes()).unwrap_err().to_string();
        for (text, want) in [
            ("{\"inner\":1,\"list\":[]}", "invalid type: integer `1`, expected struct Inner"),
            ("{\"inner\":null,\"list\":\"x\"}", "invalid type: string \"x\", expected a sequence"),
            ("{\"inner\":null}", "missing field `list`"),
            ("null", "missing field `inner`"),
            ("{\"inner\":null,\"list\":null} x", "trailing characters"),
            ("{\"inner\":nul", "EOF while parsing"),
        ] {
            assert!(error(text).starts_with(want), "{text}: {}", error(text));
        }
    }
}
