//! What an expression may speak of: variables, functions, macros, types. Libraries are lists of declarations.
//! It must never change once expressions are checked against it; another is made from it.

use crate::declare::{Call, Decl, Library};
use crate::macros::Macro;
use crate::types::Type;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One overload of a function.
#[derive(Clone)]
pub struct Overload {
    pub id: &'static str,
    pub receiver: bool,
    /// With the receiver first.
    pub args: Vec<Type>,
    pub result: Type,
    pub call: Call,
}

/// A function: its overloads, in the order they were declared.
pub struct Function {
    pub name: &'static str,
    pub overloads: Vec<Overload>,
}

/// Types that somebody declared, by their names: what a schema describes.
pub trait Types: Send + Sync {
    /// Whether there is an object type of that name.
    fn has(&self, object: &str) -> bool;
    /// The type of an object's field.
    fn field(&self, object: &str, field: &str) -> Option<Type>;
}

/// No types.
pub struct NoTypes;

impl Types for NoTypes {
    fn has(&self, _: &str) -> bool {
        false
    }
    fn field(&self, _: &str, _: &str) -> Option<Type> {
        None
    }
}

/// How strictly expressions are checked.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Elements of a list, and keys and values of a map, that are written out must be of one type.
    pub homogeneous_literals: bool,
    /// `1 < 1.5` without conversion.
    pub cross_type_comparisons: bool,
    /// Literals of durations, timestamps, regular expressions and formats are looked at.
    pub validate_literals: bool,
    /// What `has()` counts.
    pub presence_test_costs: bool,
}

impl Options {
    /// Those of the language's own library.
    pub const LANGUAGE: Options = Options {
        homogeneous_literals: false,
        cross_type_comparisons: true,
        validate_literals: false,
        presence_test_costs: true,
    };
    /// Those of Kubernetes v1.37.
    // k8s: staging/src/k8s.io/apiserver/pkg/cel/environment/base.go baseOpts
    pub const KUBERNETES: Options = Options {
        // As in upstream's environments, only what is written out is looked at, after everything else is right.
        homogeneous_literals: false,
        cross_type_comparisons: true,
        validate_literals: true,
        presence_test_costs: false,
    };
}

/// Functions, macros and options: what many environments share.
pub struct Base {
    functions: HashMap<&'static str, Function>,
    types: Vec<&'static str>,
    pub(crate) macros: Vec<Macro>,
    pub(crate) options: Options,
}

impl Base {
    /// What these libraries declare.
    ///
    /// # Panics
    /// When a library's own declaration is not well formed; tests make each.
    #[must_use]
    pub fn new(libraries: &[&Library], options: Options) -> Arc<Base> {
        let mut base = Base { functions: HashMap::new(), types: Vec::new(), macros: Vec::new(), options };
        for library in libraries {
            // A later macro of the same form takes an earlier one's place.
            for new in library.macros {
                let form = |m: &Macro| (m.function, m.receiver, m.args, m.namespace);
                base.macros.retain(|m| form(m) != form(new));
                base.macros.push(*new);
            }
            base.types.extend(library.types);
            for decl in library.functions {
                let overload = overload(decl).expect("libraries' signatures are well formed");
                let function = base
                    .functions
                    .entry(decl.name)
                    .or_insert_with(|| Function { name: decl.name, overloads: Vec::new() });
                function.overloads.push(overload);
            }
        }
        Arc::new(base)
    }
}

fn overload(decl: &Decl) -> Option<Overload> {
    let (args, result) = decl.signature.rsplit_once(" -> ")?;
    let (receiver, args) = match args.find(".(") {
        Some(at) => (Some(&args[..at]), &args[at + 1..]),
        None => (None, args),
    };
    // The arguments are read as the parameters of a type.
    let args = if args == "()" {
        Vec::new()
    } else {
        Type::parse(&format!("args{args}"))?.params().into_iter().cloned().collect()
    };
    let all = match receiver {
        Some(r) => std::iter::once(Type::parse(r)?).chain(args).collect(),
        None => args,
    };
    Some(Overload {
        id: decl.id,
        receiver: receiver.is_some(),
        args: all,
        result: Type::parse(result)?,
        call: decl.call,
    })
}

/// What expressions are checked against.
#[derive(Clone)]
pub struct Env {
    pub(crate) base: Arc<Base>,
    variables: BTreeMap<Arc<str>, Type>,
    types: Arc<dyn Types>,
    container: Arc<str>,
}

impl Env {
    #[must_use]
    pub fn new(base: &Arc<Base>) -> Self {
        Env { base: base.clone(), variables: BTreeMap::new(), types: Arc::new(NoTypes), container: "".into() }
    }

    /// With a variable more.
    #[must_use]
    pub fn with(mut self, name: &str, ty: Type) -> Self {
        self.variables.insert(name.into(), ty);
        self
    }

    /// With these types.
    #[must_use]
    pub fn with_types(mut self, types: Arc<dyn Types>) -> Self {
        self.types = types;
        self
    }

    /// Names are looked up in this namespace first.
    #[must_use]
    pub fn with_container(mut self, container: &str) -> Self {
        self.container = container.into();
        self
    }

    #[must_use]
    pub fn macros(&self) -> &[Macro] {
        &self.base.macros
    }

    #[must_use]
    pub fn container(&self) -> &str {
        &self.container
    }

    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.base.functions.get(name)
    }

    /// The function that a name means from within the container.
    #[must_use]
    pub fn resolve_function(&self, name: &str) -> Option<&Function> {
        self.candidates(name).into_iter().find_map(|n| self.function(&n))
    }

    #[must_use]
    pub fn types(&self) -> &dyn Types {
        &*self.types
    }

    /// The type of an object's field.
    #[must_use]
    pub fn field(&self, object: &str, field: &str) -> Option<Type> {
        self.types.field(object, field)
    }

    /// What a name stands for, looked up in the container and in all that the container is in.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<Meaning> {
        for candidate in self.candidates(name) {
            if let Some((name, ty)) = self.variables.get_key_value(&*candidate) {
                return Some(Meaning::Variable(name.clone(), ty.clone()));
            }
            if let Some(ty) = self.type_named(&candidate) {
                return Some(Meaning::Type(ty));
            }
        }
        None
    }

    /// The type that a name is.
    #[must_use]
    pub fn resolve_type(&self, name: &str) -> Option<Type> {
        self.candidates(name).into_iter().find_map(|n| self.type_named(&n))
    }

    fn type_named(&self, name: &str) -> Option<Type> {
        if name == "dyn" {
            return None;
        }
        if name == crate::types::OPTIONAL && self.base.types.contains(&name) {
            return Some(Type::optional(Type::Dyn));
        }
        let named = Type::named(name).filter(|_| self.base.types.contains(&name));
        named.or_else(|| {
            let known = self.base.types.contains(&name) || self.types.has(name);
            known.then(|| Type::parse(name).unwrap_or_else(|| Type::object(name)))
        })
    }

    /// `a.b` within container `x.y`: `x.y.a.b`, `x.a.b`, `a.b`. A leading dot is for the last alone.
    // k8s: github.com/google/cel-go common/containers/container.go ResolveCandidateNames
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_prefix('.') {
            return vec![absolute.to_owned()];
        }
        let mut out = Vec::new();
        let mut container = &*self.container;
        while !container.is_empty() {
            out.push(format!("{container}.{name}"));
            container = container.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
        out.push(name.to_owned());
        out
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Meaning {
    Variable(Arc<str>, Type),
    Type(Type),
}
