//! `corten down --name`: every machine of the cluster, then its network and its directory.

use anyhow::{Context as _, Result};

use super::record::{Member, Named};
use crate::host::need_root;
use crate::logging::say;
use crate::{cli, down};

/// Removes the cluster.
///
/// # Errors
/// What cannot be stopped or removed; it can be called again.
pub fn down(place: &cli::Place, name: &str) -> Result<()> {
    need_root("corten down")?;
    let Some(named) = Named::find(&place.clusters.clusters_dir, name)? else {
        say(format_args!("nothing is there: no cluster {name} in {}", place.clusters.clusters_dir.display()));
        return Ok(());
    };
    let _hold = named.hold()?;
    remove(&named)?;
    say(format_args!("cluster {name} is stopped and removed"));
    Ok(())
}

/// Removes machines, network and directory.
///
/// # Errors
/// What is left. While something of a machine is, its network stays: it can be removed only in there.
pub fn remove(named: &Named) -> Result<()> {
    // After a reboot it is gone, and is needed for that.
    named.network.up(named.nodes)?;
    let machines: Vec<Member> = named.members().filter(|member| member.state.is_dir()).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = machines.iter().map(|m| scope.spawn(|| remove_machine(m))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    named.network.down(named.nodes)?;
    named.forget()
}

fn remove_machine(member: &Member) -> Result<()> {
    let tell = |line: &str| say(format_args!("{}: {line}", member.name));
    member
        .inside(|| down::stop_and_remove(&member.state, true, &tell))
        .with_context(|| format!("removing {}", member.name))
}
