//! `corten status --name` and `corten doctor --name`.

use anyhow::Result;

use super::network::Network;
use super::record::Named;
use crate::finding::Findings;
use crate::{cli, status};

/// Looks at every machine of a cluster, each from inside its network, and prints a line for each finding.
///
/// # Errors
/// When there is no such cluster, or something is wrong.
pub fn status(o: &cli::Status, name: &str) -> Result<()> {
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

/// Whether a cluster of the name could be started.
pub fn doctor(place: &cli::Place, name: &str, found: &mut Findings) {
    match Named::find(&place.clusters.clusters_dir, name) {
        Ok(None) => match Network::free_range(&[]) {
            Ok(_) => found.good("name", format!("{name} is free")),
            Err(e) => found.error("network", e.to_string()),
        },
        Ok(Some(named)) if named.running() > 0 => {
            found.warning("name", format!("a cluster {name} runs already: corten status --name {name}"));
        }
        Ok(Some(named)) => found.good("name", format!("{name} is there with {} nodes, stopped", named.nodes)),
        Err(e) => found.error("name", format!("{e:#}")),
    }
}
