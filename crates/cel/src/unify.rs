//! Which type may stand for which, and what that makes of type parameters.
//! It must never bind a parameter to a type that holds it.
// k8s: github.com/google/cel-go checker/types.go

use crate::types::Type;
use std::collections::HashMap;
use std::sync::Arc;

/// What parameters stand for.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    bound: HashMap<Arc<str>, Type>,
    /// What was bound before, so that a failed try is undone without a copy of everything.
    undo: Vec<(Arc<str>, Option<Type>)>,
}

impl Mapping {
    fn find(&self, ty: &Type) -> Option<&Type> {
        if let Type::Param(name) = ty { self.bound.get(name) } else { None }
    }

    fn bind(&mut self, param: &Type, to: Type) {
        if let Type::Param(name) = param {
            let before = self.bound.insert(name.clone(), to);
            self.undo.push((name.clone(), before));
        }
    }

    /// Whether `from` may stand where `to` is wanted; binds parameters when it may and changes nothing otherwise.
    pub fn assignable(&mut self, to: &Type, from: &Type) -> bool {
        self.all_assignable(&[(to.clone(), from.clone())])
    }

    /// [`Mapping::assignable`] for all pairs together.
    pub fn all_assignable(&mut self, pairs: &[(Type, Type)]) -> bool {
        self.undo.clear();
        let ok = pairs.iter().all(|(a, b)| self.assign(a, b));
        while let (false, Some((name, before))) = (ok, self.undo.pop()) {
            match before {
                Some(ty) => self.bound.insert(name, ty),
                None => self.bound.remove(&name),
            };
        }
        ok
    }

    fn assign(&mut self, t1: &Type, t2: &Type) -> bool {
        if matches!(t2, Type::Param(_)) {
            match self.substitution(t1, t2) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if matches!(t1, Type::Param(_)) {
            return self.substitution(t2, t1).0;
        }
        let any = |t: &Type| matches!(t, Type::Dyn | Type::Error);
        if any(t1) || any(t2) {
            return true;
        }
        match (t1, t2) {
            (Type::Null, t) | (t, Type::Null) => nullable(t),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) => self.assign(a, b),
            (Type::Map(a), Type::Map(b)) => self.assign(&a.0, &b.0) && self.assign(&a.1, &b.1),
            (Type::Opaque(n1, p1), Type::Opaque(n2, p2)) => {
                n1 == n2 && p1.len() == p2.len() && p1.iter().zip(p2.iter()).all(|(a, b)| self.assign(a, b))
            }
            _ => t1 == t2,
        }
    }

    /// Whether parameter `t2` may stand for `t1`, and whether it stood for something before.
    fn substitution(&mut self, t1: &Type, t2: &Type) -> (bool, bool) {
        if t1 == t2 {
            return (true, true);
        }
        if let Some(bound) = self.find(t2).cloned() {
            if *t1 == bound {
                return (true, true);
            }
            if self.assign(t1, &bound) {
                let general = most_general(t1, &bound).clone();
                if self.free_of(t2, &general) {
                    self.bind(t2, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.free_of(t2, t1) {
            self.bind(t2, t1.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether `param` does not occur within `ty`.
    fn free_of(&self, param: &Type, ty: &Type) -> bool {
        if param == ty {
            return false;
        }
        match ty {
            Type::Param(_) => self.find(ty).is_none_or(|bound| self.free_of(param, bound)),
            _ => ty.params().iter().all(|p| self.free_of(param, p)),
        }
    }

    /// `ty` with what parameters stand for; those that stand for nothing stay, or become dyn.
    #[must_use]
    pub fn substitute(&self, ty: &Type, to_dyn: bool) -> Type {
        if let Some(bound) = self.find(ty) {
            return self.substitute(bound, to_dyn);
        }
        match ty {
            Type::Param(_) if to_dyn => Type::Dyn,
            Type::List(of) => Type::list(self.substitute(of, to_dyn)),
            Type::Map(of) => Type::map(self.substitute(&of.0, to_dyn), self.substitute(&of.1, to_dyn)),
            Type::Type(Some(of)) => Type::type_of(self.substitute(of, to_dyn)),
            Type::Opaque(name, params) => {
                Type::Opaque(name.clone(), params.iter().map(|p| self.substitute(p, to_dyn)).collect())
            }
            _ => ty.clone(),
        }
    }
}

fn nullable(ty: &Type) -> bool {
    matches!(ty, Type::Null | Type::Opaque(..) | Type::Object(_) | Type::Duration | Type::Timestamp)
}

/// The one that says less; the first when both do.
#[must_use]
pub fn most_general<'t>(t1: &'t Type, t2: &'t Type) -> &'t Type {
    if no_more_specific(t1, t2) { t1 } else { t2 }
}

fn no_more_specific(t1: &Type, t2: &Type) -> bool {
    match (t1, t2) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::Opaque(n1, p1), Type::Opaque(n2, p2)) => {
            n1 == n2 && p1.len() == p2.len() && p1.iter().zip(p2.iter()).all(|(a, b)| no_more_specific(a, b))
        }
        (Type::List(a), Type::List(b)) => no_more_specific(a, b),
        (Type::Map(a), Type::Map(b)) => no_more_specific(&a.0, &b.0) && no_more_specific(&a.1, &b.1),
        (Type::Type(_), Type::Type(_)) => true,
        _ => t1 == t2,
    }
}

/// `ty` with its parameters replaced by what `fresh` gives for them.
pub fn instantiate(ty: &Type, fresh: &mut dyn FnMut(&Arc<str>) -> Type) -> Type {
    match ty {
        Type::Param(name) => fresh(name),
        Type::List(of) => Type::list(instantiate(of, fresh)),
        Type::Map(of) => Type::map(instantiate(&of.0, fresh), instantiate(&of.1, fresh)),
        Type::Type(Some(of)) => Type::type_of(instantiate(of, fresh)),
        Type::Opaque(name, params) => {
            Type::Opaque(name.clone(), params.iter().map(|p| instantiate(p, fresh)).collect())
        }
        _ => ty.clone(),
    }
}
