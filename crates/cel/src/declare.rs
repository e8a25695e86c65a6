//! What a library declares: functions, macros, names of types.
//! It must never change once the program is made.

use crate::error::Error;
use crate::macros::Macro;
use crate::meter::Meter;
use crate::value::Value;

/// What a function does.
pub type Call = for<'a> fn(&mut Meter<'_>, &[Value<'a>]) -> Result<Value<'a>, Error>;

/// One overload as libraries declare it.
#[derive(Clone, Copy)]
pub struct Decl {
    pub name: &'static str,
    pub id: &'static str,
    /// `(int) -> string`, or with a receiver `string.(int, int) -> string`.
    pub signature: &'static str,
    pub call: Call,
}

/// Functions and macros that belong together.
#[derive(Clone, Copy)]
pub struct Library {
    pub name: &'static str,
    pub functions: &'static [Decl],
    pub macros: &'static [Macro],
    /// Names that are types.
    pub types: &'static [&'static str],
}

/// A table of declarations.
macro_rules! decls {
    ($($name:literal $id:literal $signature:literal => $call:expr;)*) => {
        &[$($crate::declare::Decl { name: $name, id: $id, signature: $signature, call: $call },)*]
    };
}
pub(crate) use decls;
