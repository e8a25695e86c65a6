//! Types of expressions: how they are written, printed, and which may stand for which.
//! It must never know what fields a message has; that is asked through [`crate::env::Types`].

use std::fmt;
use std::sync::Arc;

/// A type. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Anything; checked when it is evaluated.
    Dyn,
    /// What an error was reported about; goes with everything, so that it is reported once.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Type>),
    Map(Arc<(Type, Type)>),
    /// The type of a type; without a parameter any.
    Type(Option<Arc<Type>>),
    /// A parameter of a function's type, or one that the checker made.
    Param(Arc<str>),
    /// A type known by its name and parameters only.
    Opaque(Arc<str>, Arc<[Type]>),
    /// A message or object.
    Object(Arc<str>),
}

/// The name of the type of optional values.
pub const OPTIONAL: &str = "optional_type";

impl Type {
    #[must_use]
    pub fn list(of: Type) -> Type {
        Type::List(Arc::new(of))
    }

    #[must_use]
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    #[must_use]
    pub fn optional(of: Type) -> Type {
        Type::Opaque(OPTIONAL.into(), Arc::new([of]))
    }

    #[must_use]
    pub fn type_of(of: Type) -> Type {
        Type::Type(Some(Arc::new(of)))
    }

    #[must_use]
    pub fn object(name: &str) -> Type {
        Type::Object(name.into())
    }

    /// What an optional type is of.
    #[must_use]
    pub fn unwrap_optional(&self) -> Option<&Type> {
        match self {
            Type::Opaque(name, params) if &**name == OPTIONAL => params.first(),
            _ => None,
        }
    }

    #[must_use]
    pub fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn)
    }

    /// The type's own parameters.
    #[must_use]
    pub fn params(&self) -> Vec<&Type> {
        match self {
            Type::List(of) => vec![of],
            Type::Map(of) => vec![&of.0, &of.1],
            Type::Type(Some(of)) => vec![of],
            Type::Opaque(_, params) => params.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The name without parameters that values say their type is.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Error => "!error!",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Duration => "google.protobuf.Duration",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Type(_) => "type",
            Type::Param(name) | Type::Opaque(name, _) | Type::Object(name) => name,
        }
    }

    /// The type that a name of the language names.
    #[must_use]
    pub fn named(name: &str) -> Option<Type> {
        Some(match name {
            "dyn" => Type::Dyn,
            "null_type" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "google.protobuf.Duration" => Type::Duration,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "type" => Type::Type(None),
            _ => return None,
        })
    }

    /// Whether sizes of its values are always one.
    // k8s: github.com/google/cel-go checker/cost.go isScalar
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        match self {
            Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
            _ => self.unwrap_optional().is_some_and(Type::is_scalar),
        }
    }

    /// Reads a type as [`Type`] prints it: `map(string, list(A))`. Single capital letters are parameters, unknown
    /// names objects, `net.IP` and `optional_type` opaque.
    #[must_use]
    pub fn parse(text: &str) -> Option<Type> {
        let (ty, rest) = parse(text.trim())?;
        rest.trim().is_empty().then_some(ty)
    }
}

fn parse(text: &str) -> Option<(Type, &str)> {
    let end = text.find(['(', ')', ',']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut params = Vec::new();
    if let Some(inner) = rest.strip_prefix('(') {
        rest = inner;
        loop {
            let (param, after) = parse(rest.trim_start())?;
            params.push(param);
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None => break rest = after.strip_prefix(')')?,
            }
        }
    }
    let name = name.trim();
    let ty = match (name, params.len()) {
        ("list", 1) => Type::list(params.remove(0)),
        ("map", 2) => Type::map(params.remove(0), params.remove(0)),
        ("type", 1) => Type::type_of(params.remove(0)),
        ("null", 0) => Type::Null,
        ("timestamp", 0) => Type::Timestamp,
        ("duration", 0) => Type::Duration,
        ("net.IP" | "net.CIDR", 0) => Type::Opaque(name.into(), Arc::new([])),
        (_, 0) if name.len() == 1 && name.chars().all(|c| c.is_ascii_uppercase()) => Type::Param(name.into()),
        (_, 0) => Type::named(name).unwrap_or_else(|| Type::object(name)),
        _ => Type::Opaque(name.into(), params.into()),
    };
    Some((ty, rest))
}

impl fmt::Display for Type {
    // k8s: github.com/google/cel-go checker/format.go FormatCELType
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Null => return f.write_str("null"),
            Type::Timestamp => return f.write_str("timestamp"),
            Type::Duration => return f.write_str("duration"),
            _ => f.write_str(self.name())?,
        }
        let params = self.params();
        for (at, param) in params.iter().enumerate() {
            write!(f, "{}{param}", if at == 0 { "(" } else { ", " })?;
        }
        if params.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

/// `string.(int, int)`: how a call's arguments are printed.
#[must_use]
pub fn signature(args: &[Type], receiver: bool) -> String {
    let (target, args) = match args.split_first() {
        Some((target, rest)) if receiver => (format!("{target}."), rest),
        _ => (String::new(), args),
    };
    let args: Vec<_> = args.iter().map(Type::to_string).collect();
    format!("{target}({})", args.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_printed() {
        for text in [
            "int",
            "list(map(string, list(A)))",
            "optional_type(list(V))",
            "type(A)",
            "timestamp",
            "net.IP",
            "kubernetes.Quantity",
            "map(A, B)",
            "null",
        ] {
            assert_eq!(Type::parse(text).map(|t| t.to_string()).as_deref(), Some(text));
        }
        for bad in ["list(", "list(int", "map(int,)int", "list(int))"] {
            assert_eq!(Type::parse(bad), None, "{bad}");
        }
    }
}
