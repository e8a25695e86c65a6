//! Fields that an apply would take from others. It must never be said of the applier's own.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/conflict.go

use meta::{Status, StatusCause, StatusDetails};

use crate::entry::Identity;
use crate::set::Set;

/// Fields in conflict by manager, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts(pub Vec<(Identity, Set)>);

/// Causes that one answer names at most.
const LIMIT_CAUSES: usize = 1000;

impl Conflicts {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All fields in conflict.
    #[must_use]
    pub fn fields(&self) -> Set {
        self.0.iter().fold(Set::new(), |all, (_, set)| all.union(set))
    }

    /// Without these fields.
    #[must_use]
    pub fn without(&self, fields: &Set) -> Conflicts {
        let left = self.0.iter().map(|(id, set)| (id.clone(), set.difference(fields)));
        Conflicts(left.filter(|(_, set)| !set.is_empty()).collect())
    }

    /// The answer: 409 with a cause for each field.
    #[must_use]
    pub fn to_status(&self) -> Status {
        let by_manager: Vec<(String, Vec<String>)> =
            self.0.iter().map(|(id, set)| (id.to_string(), set.paths())).collect();
        let all = || by_manager.iter().flat_map(|(id, paths)| paths.iter().map(move |path| (id, path)));
        let mut status = Status::failure(409, "Conflict", message(&by_manager));
        let causes = all().take(LIMIT_CAUSES).map(|(id, path)| StatusCause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {id}"),
            field: path.clone(),
        });
        status.details = Some(StatusDetails { causes: causes.collect(), ..StatusDetails::default() });
        status
    }
}

fn message(by_manager: &[(String, Vec<String>)]) -> String {
    let count: usize = by_manager.iter().map(|(_, paths)| paths.len()).sum();
    if let ([(id, paths)], 1) = (by_manager, count) {
        return format!("Apply failed with 1 conflict: conflict with {id}: {}", paths.join(""));
    }
    let mut lines = Vec::new();
    for (id, paths) in by_manager {
        lines.push(format!("conflicts with {id}:"));
        lines.extend(paths.iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
}
