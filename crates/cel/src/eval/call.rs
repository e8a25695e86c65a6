//! Calls: arguments evaluated, the overload found by what they are, the cost charged.
//! It must never call a function with arguments that are not of the types it declared.
// k8s: github.com/google/cel-go interpreter/interpretable.go, common/decls/decls.go

use super::node::CallNode;
use super::run::Run;
use crate::error::Error;
use crate::types::Type;
use crate::value::Value;

/// Functions that look at their arguments themselves, for what they say when they do not fit.
const UNGUARDED: [&str; 4] = ["flatten", "contains", "startsWith", "endsWith"];

impl<'a> Run<'a, '_> {
    pub(super) fn call(&mut self, call: &'a CallNode) -> Result<Value<'a>, Error> {
        match &call.args[..] {
            [arg] => {
                let value = match self.exec(arg) {
                    Ok(value) => value,
                    Err(e) if e.is_cancelled() => return Err(e),
                    Err(_) if call.function == "@not_strictly_false" => {
                        self.charge(1)?;
                        return Ok(Value::Bool(true));
                    }
                    Err(e) => {
                        self.charge(call.rule.actual(&[Value::Null], None))?;
                        return Err(e);
                    }
                };
                self.apply(call, &[value])
            }
            [a, b] => {
                let both = self.both([a, b], call.rule)?;
                self.apply(call, &both)
            }
            args => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    values.push(self.exec(arg)?);
                }
                self.apply(call, &values)
            }
        }
    }

    fn apply(&mut self, call: &'a CallNode, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
        if !call.rule.needs_result() {
            self.charge(call.rule.actual(args, None))?;
        }
        let free = UNGUARDED.contains(&call.function);
        let overload =
            call.overloads.iter().find(|o| free || o.args.iter().zip(args).all(|(t, v)| fits(t, v)));
        let result = match overload {
            Some(overload) => (overload.call)(&mut self.meter, args),
            None => Err(mismatch(call, args)),
        };
        if call.rule.needs_result() {
            self.charge(call.rule.actual(args, result.as_ref().ok()))?;
        }
        result
    }
}

/// Whether a value can be given where `ty` is declared; what lists and maps hold is not looked at.
pub(super) fn fits(ty: &Type, value: &Value<'_>) -> bool {
    match (ty, value) {
        (Type::Dyn | Type::Param(_), _)
        | (Type::Null, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::Str(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Map(_), Value::Map(_))
        | (Type::Type(_), Value::Type(_)) => true,
        (Type::List(of), Value::List(list)) => list.get(0).is_none_or(|first| fits(of, &first)),
        (Type::Opaque(name, _), Value::Optional(_)) => &**name == crate::types::OPTIONAL,
        (ty, Value::Opaque(o)) => *ty == o.ty(),
        (Type::Object(name), Value::Object(o)) => *name == o.name,
        _ => false,
    }
}

fn mismatch(call: &CallNode, args: &[Value<'_>]) -> Error {
    let operator = call.function.starts_with(['_', '!', '-', '@']) || call.function == "in";
    if matches!(call.function, "matches" | "-_" | "!_") {
        return Error::no_such_overload();
    }
    if call.function == "size" {
        return Error::new("no such overload: size");
    }
    if operator {
        let known = args.first().is_some_and(|a| call.overloads.iter().any(|o| fits(&o.args[0], a)));
        return if known || call.sure {
            Error::no_such_overload()
        } else {
            Error::new(format!("no such overload: {}", call.function))
        };
    }
    let types: Vec<_> = args.iter().map(Value::type_name).collect();
    Error::new(format!("no such overload: {}({})", call.function, types.join(", ")))
}
