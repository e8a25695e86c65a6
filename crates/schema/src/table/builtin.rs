//! The built-in types, read once from the generated file.
//! It must never be read before it is needed: a process that speaks no API types pays nothing.

use std::sync::LazyLock;

use super::{Struct, Table, Type, TypeRef};

static BUILTIN: LazyLock<Table> = LazyLock::new(|| {
    Table::load(include_str!("../generated/v1.37.txt")).expect("the generated table is well-formed")
});

const META: &str = "meta.k8s.io/v1";

/// The table of built-in types.
#[must_use]
pub fn builtin() -> &'static Table {
    &BUILTIN
}

/// The type of a kind. Kinds that every group serves (`Status`, `DeleteOptions`, `WatchEvent`, `Table`, ...) are
/// found under any group and version.
#[must_use]
pub fn type_of(group: &str, version: &str, kind: &str) -> Option<TypeRef<'static>> {
    let found = if group.is_empty() {
        named(&format!("{version}.{kind}"))
    } else {
        named(&format!("{group}/{version}.{kind}"))
    };
    found.or_else(|| type_named(META, kind))
}

/// The struct `name` of a group version: (`apps/v1`, `DeploymentSpec`), (`meta.k8s.io/v1`, `ObjectMeta`).
#[must_use]
pub fn type_named(group_version: &str, name: &str) -> Option<TypeRef<'static>> {
    named(&format!("{group_version}.{name}"))
}

fn named(name: &str) -> Option<TypeRef<'static>> {
    BUILTIN.find(name).map(|id| TypeRef::new(&BUILTIN, Type::Struct(id)))
}

/// All built-in structs of a group version (`v1`, `apps/v1`) that are kinds.
pub fn named_types(group_version: &str) -> impl Iterator<Item = TypeRef<'static>> {
    let all = BUILTIN.structs.iter().enumerate();
    all.filter(move |(_, s)| {
        s.is(Struct::KIND) && s.name.rsplit_once('.').is_some_and(|(gv, _)| gv == group_version)
    })
    .filter_map(|(id, _)| Some(TypeRef::new(&BUILTIN, Type::Struct(u16::try_from(id).ok()?))))
}
