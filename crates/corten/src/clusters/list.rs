//! `corten list`: the named clusters of this machine.

use std::path::Path;

use anyhow::Result;

use super::record::Named;
use crate::host::need_root_to_look;
use crate::logging::say;

/// Prints a line for each cluster.
///
/// # Errors
/// When it is not root who asks; when a cluster's record is damaged, after the lines of the others.
pub fn list(clusters: &Path) -> Result<()> {
    need_root_to_look("corten list")?;
    let (all, damaged): (Vec<_>, Vec<_>) = Named::all(clusters)?.into_iter().partition(Result::is_ok);
    let all: Vec<Named> = all.into_iter().flatten().collect();
    let damaged = damaged.into_iter().find_map(Result::err);
    if all.is_empty() && damaged.is_none() {
        say(format_args!("no named clusters in {}: corten up --name NAME makes one", clusters.display()));
        return Ok(());
    }
    let rows: Vec<[String; 5]> = all.iter().map(row).collect();
    let head = ["NAME", "NODES", "STATE", "ADDRESS", "KUBECONFIG"].map(str::to_owned);
    let width = |column: usize| {
        std::iter::once(&head).chain(&rows).map(|row| row[column].len()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    for [name, nodes, state, address, kubeconfig] in std::iter::once(&head).chain(&rows) {
        say(format_args!(
            "{name:0$}  {nodes:1$}  {state:2$}  {address:3$}  {kubeconfig}",
            widths[0], widths[1], widths[2], widths[3]
        ));
    }
    damaged.map_or(Ok(()), Err)
}

fn row(named: &Named) -> [String; 5] {
    let state = match (named.running(), usize::from(named.nodes)) {
        (0, _) => "stopped".to_owned(),
        (running, all) if running == all => "running".to_owned(),
        (running, all) => format!("{running} of {all} run"),
    };
    let address = named.network.address(1).to_string();
    [named.name.clone(), named.nodes.to_string(), state, address, named.kubeconfig().display().to_string()]
}
