//! `/version`: what clients compare themselves with.

use meta::{Response, Status};
use serde_json::json;

/// The Kubernetes version whose API this server serves.
pub(crate) const GIT_VERSION: &str = "v1.37.0+corten";

/// The answer: always indented, as upstream's.
pub(crate) fn answer() -> Result<Response, Status> {
    let document = json!({
        "major": "1",
        "minor": "37",
        "emulationMajor": "1",
        "emulationMinor": "37",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, arch()),
    });
    let text = serde_json::to_string_pretty(&document).map_err(|e| Status::internal(e.to_string()))?;
    Ok(Response::json(200, text))
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
