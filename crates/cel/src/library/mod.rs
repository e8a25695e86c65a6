//! Libraries: functions and macros by name. One file is one library, and one line of a list here.
//! It must never hold what only one caller needs.

pub mod authorizer;
pub mod bindings;
pub mod cidr;
pub mod encoders;
pub mod format;
pub mod ip;
pub mod json_patch;
pub mod k8s_lists;
pub mod lists;
pub mod optional;
pub mod quantity;
pub mod regex;
pub mod semver;
pub mod sets;
pub mod standard;
pub mod standard_time;
pub mod string_format;
pub mod strings;
pub mod two_variables;
pub mod urls;

use crate::declare::Library;
use crate::env::{Base, Options};
use std::sync::{Arc, LazyLock};

/// The language alone.
pub const LANGUAGE: &[&Library] = &[&standard::LIBRARY, &standard_time::LIBRARY, &optional::LIBRARY];

/// What expressions of Kubernetes v1.37 may use everywhere.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/environment/base.go baseOpts
pub const KUBERNETES: &[&Library] = &[
    &standard::LIBRARY,
    &standard_time::LIBRARY,
    &urls::LIBRARY,
    &regex::LIBRARY,
    &authorizer::LIBRARY,
    &optional::LIBRARY,
    &quantity::LIBRARY,
    &strings::LIBRARY,
    &sets::LIBRARY,
    &ip::LIBRARY,
    &cidr::LIBRARY,
    &format::LIBRARY,
    &authorizer::SELECTORS,
    &two_variables::LIBRARY,
    &semver::LIBRARY,
    &lists::LIBRARY,
    &k8s_lists::LIBRARY,
];

static BASE: LazyLock<Arc<Base>> = LazyLock::new(|| Base::new(KUBERNETES, Options::KUBERNETES));
static MUTATION: LazyLock<Arc<Base>> = LazyLock::new(|| {
    let all: Vec<_> = KUBERNETES.iter().copied().chain([&json_patch::LIBRARY]).collect();
    Base::new(&all, Options::KUBERNETES)
});

/// The environment that all expressions of Kubernetes v1.37 begin with.
#[must_use]
pub fn kubernetes() -> &'static Arc<Base> {
    &BASE
}

/// That of mutations, which know JSON patches too.
// k8s: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/mutating/compilation.go
#[must_use]
pub fn mutation() -> &'static Arc<Base> {
    &MUTATION
}
