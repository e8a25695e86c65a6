//! `corten up --name`: the network, the first machine with the control plane, then the others.

use anyhow::{Context as _, Result};
use cri::image::{HELLO_NAME, HELLO_PORT};

use super::down;
use super::record::{Member, Named};
use crate::detach::{self, App, Progress, Server};
use crate::host::need_root;
use crate::logging::say;
use crate::{cli, node, remote};

/// Starts the cluster in the background and waits until it is usable. A start of a new one that fails leaves nothing.
///
/// # Errors
/// What keeps it from starting.
pub fn up(o: &cli::Up, name: &str) -> Result<()> {
    need_root("corten up")?;
    node::check_programs(&o.node)?;
    let (named, _hold, is_new) = Named::claim(&o.place.clusters.clusters_dir, name, o.nodes)?;
    let result = start(&named, o);
    if result.is_err() && is_new {
        say("the start has failed: removing what it has made");
        down::remove(&named).context("and something of it is left (corten down --name removes it)")?;
    }
    result
}

fn start(named: &Named, o: &cli::Up) -> Result<()> {
    let progress = Progress::begin(o.wait);
    named.network.up(named.nodes)?;
    let (first, own) = (named.member(1), named.first(o));
    in_network(&first, || detach::start(&own, &member_flag(&first), &progress))?;
    named.link_kubeconfig()?;
    let further: Vec<Member> = named.members().skip(1).collect();
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
