//! `corten up --name`: the network, the first machine with the control plane, then the others.

use anyhow::{Context as _, Result, anyhow};
use cri::image::{HELLO_NAME, HELLO_PORT};

use super::down;
use super::record::{Member, Named};
use crate::detach::{self, App, Progress, Server};
use crate::host::need_root;
use crate::logging::say;
use crate::{cli, node, remote};

/// Starts what of the cluster does not run in the background and waits until it is usable. A start of a new one that
/// fails leaves nothing.
///
/// # Errors
/// What keeps it from starting.
pub fn up(o: &cli::Up, name: &str) -> Result<()> {
    need_root("corten up")?;
    node::check_programs(&o.node)?;
    let (named, _hold, is_new) = Named::claim(&o.place.clusters.clusters_dir, name, o.nodes)?;
    let result = start(&named, o);
    if is_new { or_remove(&named, result) } else { result }
}

/// A start of a new cluster that has failed leaves nothing; what it failed with comes first.
fn or_remove(named: &Named, result: Result<()>) -> Result<()> {
    let Err(error) = result else { return Ok(()) };
    say("the start has failed: removing what it has made");
    match down::remove(named) {
        Ok(()) => Err(error),
        Err(left) => {
            let down = named.command("down");
            Err(anyhow!("{error:#}; and something of it is left ({down} removes it): {left:#}"))
        }
    }
}

fn start(named: &Named, o: &cli::Up) -> Result<()> {
    let progress = Progress::begin(o.wait);
    named.network.up(named.nodes)?;
    let (first, own) = (named.member(1), named.first(o));
    if !first.runs() {
        in_network(&first, || detach::start(&own, &member_flag(&first), &progress))?;
    }
    named.link_kubeconfig()?;
    let further: Vec<Member> = named.members().skip(1).filter(|member| !member.runs()).collect();
    let servers = further.iter().map(|member| launch(named, o, member)).collect::<Result<Vec<_>>>()?;
    let kubeconfig = named.kubeconfig();
    first.inside(|| async {
        let client = remote::connect(&kubeconfig, "corten")?.client;
        for (member, mut server) in further.iter().zip(servers) {
            server.until_node(client.as_ref(), &member.name, &progress).await?;
        }
        Ok(())
    })?;
    let names: Vec<String> = named.members().map(|member| member.name).collect();
    let app = App { name: "hello", image: HELLO_NAME, port: HELLO_PORT };
    say(detach::next_step(&names, named.network.address(1).into(), &kubeconfig, &app));
    Ok(())
}

fn launch(named: &Named, o: &cli::Up, member: &Member) -> Result<Server> {
    let agent = named.further(o, member.n)?;
    in_network(member, || {
        Server::claim("corten up", &agent.state.state_dir, &agent.node, &member_flag(member))
    })
}

fn in_network<T: Send>(member: &Member, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    network::netns::inside(&member.netns, work).with_context(|| format!("the network of {}", member.name))?
}

/// What makes the process that is called with our own flags that of one machine.
fn member_flag(member: &Member) -> [String; 2] {
    ["--member".to_owned(), member.n.to_string()]
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::state::StateDir;

    #[test]
    fn the_error_of_the_start_is_told_also_when_something_is_left() {
        let dir = std::env::temp_dir().join(format!("corten-or-remove-{}", std::process::id()));
        let (named, _hold, _) = Named::claim(&dir, "left", None).unwrap();
        let failed = || -> Result<()> { bail!("no room") };
        // What runs there is not known, so nothing of it can be removed.
        let state = StateDir::open(&named.member(1).state).unwrap();
        std::fs::write(state.settings(), "").unwrap();
        let error = format!("{:#}", or_remove(&named, failed()).unwrap_err());
        assert!(
            error.starts_with("no room; and something of it is left (corten down --name left"),
            "{error}"
        );
        assert!(error.contains("settings.json is damaged"), "{error}");
        std::fs::remove_file(state.settings()).unwrap();
        assert_eq!(or_remove(&named, failed()).unwrap_err().to_string(), "no room");
        assert!(!dir.exists(), "it is left");
        or_remove(&named, Ok(())).unwrap();
    }
}
