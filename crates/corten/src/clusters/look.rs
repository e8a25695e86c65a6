//! `corten status --name`.

use anyhow::Result;

use super::record::Named;
use crate::finding::Findings;
use crate::host::need_root_to_look;
use crate::{cli, status};

/// Looks at every machine of a cluster, each from inside its network, and prints a line for each finding.
///
/// # Errors
/// When there is no such cluster, or something is wrong.
pub fn status(o: &cli::Status, name: &str) -> Result<()> {
    need_root_to_look("corten status")?;
    let named = Named::existing(&o.place.clusters.clusters_dir, name)?;
    let mut found = Findings::default();
    for member in named.members() {
        let seen = match network::netns::is_alive(&member.netns) {
            true => member.inside(|| status::look(&member.state, &o.cluster_domain)),
            false => Err(anyhow::anyhow!("its network is not there: corten up --name {name} brings it back")),
        };
        match seen {
            Ok(seen) => found.add_all(&member.name, seen),
            Err(e) => found.error(&member.name, format!("{e:#}")),
        }
    }
    found.report()
}
