//! The checker's rule for each kind of node.
//! It must never leave a node without a type or an error.
// k8s: github.com/google/cel-go checker/checker.go

use super::checked::Reference;
use super::checker::Checker;
use crate::ast::{Element, Entry, Expr, Field, Fold, Id, Kind, Literal};
use crate::env::{Function, Meaning, Overload};
use crate::types::{Type, signature};
use crate::unify::{instantiate, most_general};
use std::collections::HashMap;

impl Checker<'_> {
    pub(super) fn check(&mut self, expr: &mut Expr) {
        let id = expr.id;
        match &mut expr.kind {
            Kind::Unspecified => self.set(id, Type::Error),
            Kind::Literal(literal) => {
                let ty = literal_type(literal);
                self.set(id, ty);
            }
            Kind::Ident(_) => self.ident(expr),
            Kind::Select { .. } => self.select(expr),
            Kind::Call { .. } => self.call(expr),
            Kind::List(elements) => self.list(id, elements),
            Kind::Map(entries) => self.map(id, entries),
            Kind::Struct { name, fields } => self.message(id, name, fields),
            Kind::Fold(fold) => self.fold(id, fold),
        }
    }

    fn local(&self, name: &str) -> Option<Type> {
        self.scopes.iter().rev().find(|(n, _)| n == name).map(|(_, t)| t.clone())
    }

    fn ident(&mut self, expr: &mut Expr) {
        let Kind::Ident(name) = &expr.kind else { return };
        if let Some(ty) = self.local(name) {
            return self.set(expr.id, ty);
        }
        let name = name.clone();
        match self.env.lookup(&name) {
            Some(meaning) => self.refer(expr, meaning),
            None => {
                self.set(expr.id, Type::Error);
                self.undeclared(expr.id, &name);
            }
        }
    }

    fn refer(&mut self, expr: &mut Expr, meaning: Meaning) {
        let (name, ty, reference) = match meaning {
            Meaning::Variable(name, ty) => (name.to_string(), ty, Reference::Variable(name)),
            Meaning::Type(ty) => (ty.name().to_owned(), Type::type_of(ty.clone()), Reference::Type(ty)),
        };
        self.set(expr.id, ty);
        self.references.insert(expr.id, reference);
        expr.kind = Kind::Ident(name);
    }

    /// A qualified name of a variable or type, or a field.
    fn select(&mut self, expr: &mut Expr) {
        if let Some(name) = expr.qualified_name() {
            let first = name.split('.').next().unwrap_or("");
            let meaning = if self.local(first).is_none() { self.env.lookup(&name) } else { None };
            if let Some(meaning) = meaning {
                return self.refer(expr, meaning);
            }
        }
        let Kind::Select { operand, field, test_only } = &mut expr.kind else { return };
        let ty = self.field(expr.id, operand, field, false);
        let ty = if *test_only { Type::Bool } else { ty };
        let ty = self.mapping.substitute(&ty, false);
        self.set(expr.id, ty);
    }

    fn field(&mut self, id: Id, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand = self.known(operand);
        let target = operand.unwrap_optional();
        let optional = optional || target.is_some();
        let target = target.unwrap_or(&operand).clone();
        let result = match &target {
            Type::Map(of) => of.1.clone(),
            Type::Object(name) => match self.env.field(name, field) {
                Some(ty) => ty,
                None if self.env.types().has(name) => {
                    self.report(id, format!("undefined field '{field}'"));
                    Type::Error
                }
                None => {
                    self.report(id, format!("unexpected failed resolution of '{name}'"));
                    Type::Error
                }
            },
            Type::Param(_) => {
                self.mapping.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            _ => {
                self.report(id, format!("type '{target}' does not support field selection"));
                Type::Dyn
            }
        };
        if optional { Type::optional(result) } else { result }
    }

    fn call(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Call { function, target, args } = &mut expr.kind else { return };
        if function == "_?._" && target.is_none() && args.len() == 2 {
            let Some(field) = args[1].as_str().map(str::to_owned) else {
                return self.report(id, "unsupported optional field selection".to_owned());
            };
            let ty = self.field(id, &mut args[0], &field, true);
            self.set(args[1].id, Type::String);
            let ty = self.mapping.substitute(&ty, false);
            self.set(id, ty);
            self.references.insert(id, Reference::Overloads(vec!["select_optional_field"]));
            return;
        }
        for arg in args.iter_mut() {
            self.check(arg);
        }
        // A copy of the reference, so that declarations can be read while types are written.
        let env = self.env;
        let Some(on) = target else {
            let Some(declared) = env.resolve_function(function) else {
                let name = function.clone();
                self.set(id, Type::Error);
                return self.undeclared(id, &name);
            };
            declared.name.clone_into(function);
            return self.resolve(id, declared, None, args);
        };
        // What looks like a receiver may be the namespace of a function.
        if let Some(declared) =
            on.qualified_name().and_then(|n| env.resolve_function(&format!("{n}.{function}")))
        {
            declared.name.clone_into(function);
            *target = None;
            return self.resolve(id, declared, None, args);
        }
        self.check(on);
        match env.resolve_function(function) {
            Some(declared) => self.resolve(id, declared, Some(on), args),
            None => {
                let name = function.clone();
                self.set(id, Type::Error);
                self.undeclared(id, &name);
            }
        }
    }

    /// Finds the overloads that the arguments fit.
    fn resolve(&mut self, id: Id, function: &Function, target: Option<&Expr>, args: &[Expr]) {
        let receiver = target.is_some();
        let types: Vec<Type> = target.into_iter().chain(args).map(|a| self.get(a)).collect();
        if matches!(function.name, "_&&_" | "_||_") {
            return self.logic(id, function, args, &types);
        }
        let mut found: Vec<&'static str> = Vec::new();
        let mut result: Option<Type> = None;
        for overload in &function.overloads {
            if overload.receiver != receiver || overload.args.len() != types.len() || self.is_off(overload) {
                continue;
            }
            let (wanted, of) = self.instance(overload);
            let pairs: Vec<_> = types.iter().cloned().zip(wanted).collect();
            if !self.mapping.all_assignable(&pairs) {
                continue;
            }
            found.push(overload.id);
            let of = self.mapping.substitute(&of, false);
            result = Some(match result {
                None => of,
                Some(before) if before.is_dyn() || before == of => before,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(ty) => {
                self.set(id, ty);
                self.references.insert(id, Reference::Overloads(found));
            }
            None => {
                let types: Vec<_> = types.iter().map(|t| self.mapping.substitute(t, true)).collect();
                let (name, applied) = (function.name, signature(&types, receiver));
                self.set(id, Type::Error);
                self.report(id, format!("found no matching overload for '{name}' applied to '{applied}'"));
            }
        }
    }

    fn logic(&mut self, id: Id, function: &Function, args: &[Expr], types: &[Type]) {
        let mut ok = true;
        for (arg, ty) in args.iter().zip(types) {
            if !self.mapping.assignable(ty, &Type::Bool) {
                self.mismatch(arg.id, &Type::Bool, ty);
                ok = false;
            }
        }
        self.set(id, if ok { Type::Bool } else { Type::Error });
        let ids = function.overloads.iter().map(|o| o.id).collect();
        self.references.insert(id, Reference::Overloads(ids));
    }

    /// Comparisons between numbers of different types can be switched off.
    fn is_off(&self, overload: &Overload) -> bool {
        !self.env.base.options.cross_type_comparisons
            && (overload.id.starts_with("less_") || overload.id.starts_with("greater_"))
            && overload.args[0] != overload.args[1]
    }

    /// The overload's types with parameters of their own.
    fn instance(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        let mut fresh = HashMap::new();
        let mut make =
            |name: &std::sync::Arc<str>| fresh.entry(name.clone()).or_insert_with(|| self.fresh()).clone();
        let args = overload.args.iter().map(|t| instantiate(t, &mut make)).collect();
        let result = instantiate(&overload.result, &mut make);
        (args, result)
    }

    /// The type of an optional element's value.
    fn unwrapped(&mut self, expr: &Expr, ty: Type, optional: bool) -> Type {
        if !optional {
            return ty;
        }
        match ty.unwrap_optional() {
            Some(of) => of.clone(),
            None => {
                if !ty.is_dyn() {
                    self.mismatch(expr.id, &Type::optional(ty.clone()), &ty);
                }
                ty
            }
        }
    }

    fn list(&mut self, id: Id, elements: &mut [Element]) {
        let mut of = None;
        for element in elements {
            self.check(&mut element.value);
            let ty = self.get(&element.value);
            let ty = self.unwrapped(&element.value, ty, element.optional);
            of = Some(self.join(element.value.id, of, ty));
        }
        let of = of.unwrap_or_else(|| self.fresh());
        self.set(id, Type::list(of));
    }

    fn map(&mut self, id: Id, entries: &mut [Entry]) {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.check(&mut entry.key);
            let key = self.get(&entry.key);
            keys = Some(self.join(entry.key.id, keys, key));
            self.check(&mut entry.value);
            let value = self.get(&entry.value);
            let value = self.unwrapped(&entry.value, value, entry.optional);
            values = Some(self.join(entry.value.id, values, value));
        }
        let keys = keys.unwrap_or_else(|| self.fresh());
        let values = values.unwrap_or_else(|| self.fresh());
        self.set(id, Type::map(keys, values));
    }

    /// The type that elements have in common.
    fn join(&mut self, id: Id, before: Option<Type>, ty: Type) -> Type {
        let Some(before) = before else { return ty };
        if self.mapping.assignable(&before, &ty) {
            return most_general(&before, &ty).clone();
        }
        if !self.env.base.options.homogeneous_literals {
            return Type::Dyn;
        }
        self.mismatch(id, &before, &ty);
        Type::Error
    }

    fn message(&mut self, id: Id, name: &mut String, fields: &mut [Field]) {
        let ty = match self.env.resolve_type(name) {
            None => {
                let name = name.clone();
                self.set(id, Type::Error);
                return self.undeclared(id, &name);
            }
            Some(Type::Object(object)) => {
                object.as_ref().clone_into(name);
                Type::Object(object)
            }
            Some(other) => {
                self.report(id, format!("'{}' is not a message type", other.name()));
                Type::Error
            }
        };
        self.set(id, ty);
        for field in fields {
            self.check(&mut field.value);
            let wanted = self.env.field(name, &field.name).unwrap_or_else(|| {
                self.report(field.id, format!("undefined field '{}'", field.name));
                Type::Error
            });
            let given = self.get(&field.value);
            let given = self.unwrapped(&field.value, given, field.optional);
            if !self.mapping.assignable(&wanted, &given) {
                let name = &field.name;
                let (wanted, given) =
                    (self.mapping.substitute(&wanted, false), self.mapping.substitute(&given, false));
                self.report(
                    field.id,
                    format!("expected type of field '{name}' is '{wanted}' but provided type is '{given}'"),
                );
            }
        }
    }

    fn fold(&mut self, id: Id, fold: &mut Fold) {
        self.check(&mut fold.range);
        self.check(&mut fold.init);
        let range = self.known(&fold.range);
        let accu = self.get(&fold.init);
        let two = fold.var2.is_some();
        let (first, second) = match &range {
            Type::List(of) if two => (Type::Int, (**of).clone()),
            Type::List(of) => ((**of).clone(), Type::Dyn),
            Type::Map(of) => of.as_ref().clone(),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.mapping.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                let message = format!(
                    "expression of type '{range}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(fold.range.id, message);
                (Type::Error, Type::Error)
            }
        };
        let outside = self.scopes.len();
        self.scopes.push((fold.accu.clone(), accu.clone()));
        self.scopes.push((fold.var.clone(), first));
        if let Some(var2) = &fold.var2 {
            self.scopes.push((var2.clone(), second));
        }
        self.check(&mut fold.condition);
        self.assert(&fold.condition, &Type::Bool);
        self.check(&mut fold.step);
        self.assert(&fold.step, &accu);
        self.scopes.truncate(outside + 1);
        self.check(&mut fold.result);
        self.scopes.truncate(outside);
        let ty = self.known(&fold.result);
        self.set(id, ty);
    }

    fn assert(&mut self, expr: &Expr, ty: &Type) {
        let found = self.get(expr);
        if !self.mapping.assignable(ty, &found) {
            self.mismatch(expr.id, ty, &found);
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::Str(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
