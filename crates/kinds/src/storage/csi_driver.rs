//! CSIDriver: a storage driver and what it can do.

use schema::Value;

use crate::columns::{AGE, NAME, boolean, text};
use crate::defaults::{self, with_map};
use crate::kind::{Cell, Column, Kind, Strategy};
use crate::shape::{Check, Rule, rule};
use crate::warnings::Write;

/// `storage.k8s.io/v1` CSIDriver.
pub static KIND: Kind = Kind::cluster_kind("storage.k8s.io", "v1", "CSIDriver", "csidrivers", "csidriver")
    .with_columns(COLUMNS)
    .with_warnings(told)
    .with_strategy(&CsiDriverStrategy)
    .with_rules(RULES)
    .returning_deleted();

// k8s: pkg/apis/storage/validation/validation.go validateCSIDriverSpec
const RULES: &[Rule] = &[
    rule("spec?.volumeLifecycleModes", Check::Words(&["Ephemeral", "Persistent"])),
    rule("spec?.fsGroupPolicy", Check::Word(&["File", "None", "ReadWriteOnceWithFSType"])),
];

const COLUMNS: &[Column] = &[
    NAME,
    boolean("AttachRequired", "Whether volumes must be attached.", |o, _| {
        Cell::Bool(o.bool_at(&["spec", "attachRequired"]) != Some(false))
    }),
    boolean("PodInfoOnMount", "Whether mounts get pod information.", |o, _| {
        Cell::Bool(o.bool_at(&["spec", "podInfoOnMount"]) == Some(true))
    }),
    boolean("StorageCapacity", "Whether capacity is published.", |o, _| {
        Cell::Bool(o.bool_at(&["spec", "storageCapacity"]) == Some(true))
    }),
    text("TokenRequests", "Audiences of tokens it gets.", |o, _| Cell::Text(tokens(o))),
    boolean("RequiresRepublish", "Whether mounts are refreshed.", |o, _| {
        Cell::Bool(o.bool_at(&["spec", "requiresRepublish"]) == Some(true))
    }),
    text("Modes", "Lifecycle modes.", |o, _| Cell::Text(modes(o))),
    AGE,
];

fn tokens(o: &Value) -> String {
    let all: Vec<&str> =
        o.list_at(&["spec", "tokenRequests"]).iter().map(|t| t.str_at(&["audience"])).collect();
    if all.is_empty() { "<unset>".to_owned() } else { all.join(",") }
}

fn modes(o: &Value) -> String {
    let all: Vec<&str> =
        o.list_at(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str).collect();
    if all.is_empty() { "<unset>".to_owned() } else { all.join(",") }
}

struct CsiDriverStrategy;

impl Strategy for CsiDriverStrategy {
    // k8s: pkg/apis/storage/v1/defaults.go SetDefaults_CSIDriver
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |s| {
            defaults::value(s, "attachRequired", true);
            defaults::value(s, "podInfoOnMount", false);
            defaults::value(s, "storageCapacity", false);
            defaults::value(s, "fsGroupPolicy", "ReadWriteOnceWithFSType");
            if s.list_at(&["volumeLifecycleModes"]).is_empty() {
                s.set_at(&["volumeLifecycleModes"], vec![Value::from("Persistent")]);
            }
            defaults::value(s, "requiresRepublish", false);
            defaults::value(s, "seLinuxMount", false);
        });
    }
}

// k8s: pkg/registry/storage/csidriver/strategy.go WarningsOnCreate, WarningsOnUpdate
fn told(w: &Write<'_>) -> Vec<String> {
    let tokens = ["spec", "tokenRequests"];
    let unsaid = w.new.at(&["spec", "serviceAccountTokenInSecrets"]).is_none();
    if w.new.list_at(&tokens).is_empty() || !unsaid || !w.changes(&tokens) {
        return Vec::new();
    }
    let why = "is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume \
               attributes";
    vec![format!("spec.serviceAccountTokenInSecrets {why}")]
}
