//! What tables of volumes and claims share.

use schema::Value;

/// Access modes in their short form, each once: `RWO,ROX`.
// k8s: pkg/apis/core/v1/helper/helpers.go GetAccessModesAsString
#[must_use]
pub fn short(modes: &[Value]) -> String {
    let has = |mode: &str| modes.iter().any(|m| m.as_str() == Some(mode));
    let all = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    all.iter().filter(|(m, _)| has(m)).map(|(_, s)| *s).collect::<Vec<_>>().join(",")
}

/// The phase, or that it is being deleted.
#[must_use]
pub fn phase(o: &Value) -> String {
    let deleted = !o.str_at(&["metadata", "deletionTimestamp"]).is_empty();
    if deleted { "Terminating" } else { o.str_at(&["status", "phase"]) }.to_owned()
}

/// A quantity as it is written.
#[must_use]
pub fn quantity_text(v: Option<&Value>) -> String {
    match v {
        Some(Value::Str(s)) => s.to_string(),
        Some(Value::Int(n)) => n.to_string(),
        _ => String::new(),
    }
}
