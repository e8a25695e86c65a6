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
    let machines: Vec<Member> = named.members().filter(|member| member.state.is_dir()).collect();
    // After a reboot they are gone, and are needed for that; nothing else of the network is.
    machines.iter().try_for_each(|member| named.network.add_namespace(member.n))?;
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

#[cfg(test)]
mod tests {
    use network::netns;

    use super::*;

    /// On a machine of its own, where the network of the cluster cannot be made.
    #[test]
    fn a_cluster_whose_network_cannot_be_made_is_removed_all_the_same() {
        let id = format!("corten-remove-{}", std::process::id());
        let dir = std::env::temp_dir().join(&id);
        netns::add(&id).unwrap();
        let trial = || {
            let (named, _hold, _) = Named::claim(&dir, "gone", Some(2)).unwrap();
            netns::ip(&["route", "add", "10.0.0.0/8", "dev", "lo"]).unwrap();
            let error = format!("{:#}", named.network.up(named.nodes).unwrap_err());
            assert!(error.contains("another route"), "{error}");
            // One machine has got as far as its state directory.
            let state = crate::state::StateDir::open(&named.member(1).state).unwrap();
            drop(state.lock().unwrap());
            remove(&named).unwrap();
            assert!(!named.network.path(0).exists() && !named.network.path(1).exists());
        };
        let done = std::panic::catch_unwind(|| netns::inside(&netns::path(&id), trial).unwrap());
        netns::delete(&id).unwrap();
        let left = dir.exists();
        let _ = std::fs::remove_dir_all(&dir);
        done.unwrap();
        assert!(!left, "the directory is left");
    }
}
