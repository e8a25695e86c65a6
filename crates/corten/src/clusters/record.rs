//! What is known of a named cluster: where it lives, how many nodes it has, and how each of them is started.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::network::Network;
use crate::state::{self, CLUSTER_RECORD, StateDir};
use crate::{cli, whole_file};

/// Most nodes of a cluster.
pub const NODE_LIMIT: u8 = 20;
/// Longest name: a node's name is a little longer, and is part of those of its pods' files.
const NAME_LIMIT: usize = 32;

/// What a cluster's directory says of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Record {
    nodes: u8,
    /// Which range of addresses it has.
    range: u8,
}

/// A named cluster of this machine.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub nodes: u8,
    pub network: Network,
    dir: PathBuf,
}

/// One machine of a cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its number, from 1 on; the first one has the control plane.
    pub n: u8,
    /// The node's name.
    pub name: String,
    pub state: PathBuf,
    pub netns: PathBuf,
    ip: IpAddr,
}

/// Nobody else starts or stops the cluster while this is held.
#[derive(Debug)]
pub struct Hold(File);

impl Drop for Hold {
    fn drop(&mut self) {
        // Closing alone leaves it to a child that is just being started. A file that cannot be unlocked is closed.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=NAME_LIMIT).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !fits {
        bail!(
            "--name {name:?}: a name is 1 to {NAME_LIMIT} small letters, digits and -, and neither begins nor ends with -"
        );
    }
    Ok(())
}

fn check_nodes(nodes: u32) -> Result<u8> {
    let count = u8::try_from(nodes).ok().filter(|n| (1..=NODE_LIMIT).contains(n));
    count.with_context(|| format!("--nodes {nodes}: a cluster has 1 to {NODE_LIMIT} nodes"))
}

impl Record {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let record: Record = serde_json::from_slice(bytes)?;
        if !(1..=NODE_LIMIT).contains(&record.nodes) {
            bail!("{} nodes are not 1 to {NODE_LIMIT}", record.nodes);
        }
        if !Network::is_range(record.range) {
            bail!("there is no range {}", record.range);
        }
        Ok(record)
    }
}

/// What to do about a record that is damaged, from what else is known of the cluster.
fn mend(dir: &Path) -> String {
    let nodes = (1..=NODE_LIMIT).filter(|n| dir.join(format!("node-{n}")).is_dir()).max().unwrap_or(1);
    let path = dir.join(CLUSTER_RECORD);
    format!(
        "{} is damaged: write {{\"nodes\":{nodes},\"range\":N}} into it, N from an address 10.213.N.1 that \
         `ip -4 address` shows for the cluster, or a free one where it shows none",
        path.display()
    )
}

fn make_private(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| dir.display().to_string())
}

/// Directories can be locked like files.
fn lock(dir: &Path, how: FlockOperation) -> Result<File> {
    let file = File::open(dir).with_context(|| dir.display().to_string())?;
    flock(&file, how).with_context(|| dir.display().to_string())?;
    Ok(file)
}

impl Named {
    fn at(dir: PathBuf, name: &str, record: Record) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
        let id = StateDir::open(&dir)?.id();
        let network = Network::new(name, &id, record.range);
        Ok(Named { name: name.to_owned(), nodes: record.nodes, network, dir })
    }

    /// The cluster of a name, if there is one.
    ///
    /// # Errors
    /// When the name is none, or the cluster's record is damaged.
    pub fn find(clusters: &Path, name: &str) -> Result<Option<Self>> {
        check_name(name)?;
        let dir = clusters.join(name);
        let path = dir.join(CLUSTER_RECORD);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        let record = Record::parse(&bytes).with_context(|| mend(&dir))?;
        Self::at(dir, name, record).map(Some)
    }

    /// The cluster of a name, which must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn existing(clusters: &Path, name: &str) -> Result<Self> {
        let none =
            || format!("no cluster {name} in {}: corten list shows those there are", clusters.display());
        Self::find(clusters, name)?.with_context(none)
    }

    /// All clusters of a directory by name, also those whose records are damaged.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn all(clusters: &Path) -> Result<Vec<Result<Self>>> {
        let shown = || clusters.display().to_string();
        let entries = match std::fs::read_dir(clusters) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e).with_context(shown),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.with_context(shown)?.file_name().into_string();
            // What has another name is the user's.
            names.extend(name.ok().filter(|name| check_name(name).is_ok()));
        }
        names.sort();
        Ok(names.iter().filter_map(|name| Self::find(clusters, name).transpose()).collect())
    }

    /// Takes the name for a start: a new one, or one of a cluster of which something does not run. Whether it is new.
    ///
    /// # Errors
    /// When the name or the number is none, or all of the cluster runs.
    pub fn claim(clusters: &Path, name: &str, nodes: Option<u32>) -> Result<(Self, Hold, bool)> {
        check_name(name)?;
        let wanted = nodes.map(check_nodes).transpose()?;
        make_private(clusters)?;
        // One start at a time chooses its addresses.
        let _all = lock(clusters, FlockOperation::LockExclusive)?;
        if let Some(found) = Self::find(clusters, name)? {
            let hold = found.hold()?;
            let down = found.command("down");
            if found.running() == usize::from(found.nodes) {
                bail!("a cluster {name} runs already: {down} removes it");
            }
            if let Some(wanted) = wanted.filter(|n| *n != found.nodes) {
                bail!("cluster {name} has {} nodes, not {wanted}: {down} removes it", found.nodes);
            }
            return Ok((found, hold, false));
        }
        // A damaged record does not say what it has taken; the machine's routes do.
        let others = Self::all(clusters)?.into_iter().flatten();
        let taken: Vec<u8> = others.map(|named| named.network.gateway().octets()[2]).collect();
        let record = Record { nodes: wanted.unwrap_or(1), range: Network::free_range(&taken)? };
        let dir = clusters.join(name);
        make_private(&dir)?;
        whole_file::write(&dir.join(CLUSTER_RECORD), &serde_json::to_vec(&record)?)?;
        let named = Self::at(dir, name, record)?;
        let hold = named.hold()?;
        Ok((named, hold, true))
    }

    /// Keeps others from starting or stopping it.
    ///
    /// # Errors
    /// When somebody does.
    pub fn hold(&self) -> Result<Hold> {
        let busy = || format!("cluster {} is being started or stopped by another process", self.name);
        lock(&self.dir, FlockOperation::NonBlockingLockExclusive).map(Hold).with_context(busy)
    }

    /// `corten <verb>` for this cluster, as a user types it.
    #[must_use]
    pub fn command(&self, verb: &str) -> String {
        state::command(verb, &self.member(1).state)
    }

    /// Whether it has a machine of that number.
    ///
    /// # Errors
    /// When it has none.
    pub fn check_member(&self, n: u8) -> Result<()> {
        if !(1..=self.nodes).contains(&n) {
            bail!("--member {n}: cluster {} has the machines 1 to {}", self.name, self.nodes);
        }
        Ok(())
    }

    /// One of its machines.
    #[must_use]
    pub fn member(&self, n: u8) -> Member {
        Member {
            n,
            name: format!("{}-{n}", self.name),
            state: self.dir.join(format!("node-{n}")),
            netns: self.network.path(n),
            ip: self.network.address(n).into(),
        }
    }

    /// All of them, the one with the control plane first.
    pub fn members(&self) -> impl Iterator<Item = Member> + use<'_> {
        (1..=self.nodes).map(|n| self.member(n))
    }

    /// How many of its machines run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.members().filter(Member::runs).count()
    }

    /// The admin's kubeconfig: a link that is easier to type than the file it leads to.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Makes that link.
    ///
    /// # Errors
    /// When the directory refuses it.
    pub fn link_kubeconfig(&self) -> Result<()> {
        let (link, file) = (self.kubeconfig(), Path::new("node-1/admin.kubeconfig"));
        match std::os::unix::fs::symlink(file, &link) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(e).with_context(|| link.display().to_string())
            }
            _ => Ok(()),
        }
    }

    /// Removes the record, the link, and the directories that are empty then. What else is in them is the user's.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget(&self) -> Result<()> {
        let _ = std::fs::remove_file(self.kubeconfig());
        let record = self.dir.join(CLUSTER_RECORD);
        std::fs::remove_file(&record).with_context(|| record.display().to_string())?;
        // Refused when something is in them.
        let _ = std::fs::remove_dir(&self.dir);
        let _ = self.dir.parent().map(std::fs::remove_dir);
        Ok(())
    }

    /// The flags of the process that has the control plane and the first node.
    #[must_use]
    pub fn first(&self, o: &cli::Up) -> cli::Up {
        let member = self.member(1);
        let mut own = o.clone();
        own.place.state.state_dir.clone_from(&member.state);
        own.node = member.node(&o.node);
        own.control_plane.api.bind_address = member.ip;
        own.control_plane.api.advertise_address = Some(member.ip);
        own.control_plane.context = format!("corten-{}", self.name);
        own
    }

    /// The flags of the process of a further node.
    ///
    /// # Errors
    /// When the token is not there: the control plane has not been started.
    pub fn further(&self, o: &cli::Up, n: u8) -> Result<cli::Agent> {
        let (member, first) = (self.member(n), self.member(1));
        let token = first.state.join("agent.token");
        let token = std::fs::read_to_string(&token).with_context(|| token.display().to_string())?;
        Ok(cli::Agent {
            state: cli::State { state_dir: member.state.clone() },
            node: member.node(&o.node),
            server: Some(format!("https://{}:{}", first.ip, o.control_plane.api.secure_port)),
            token: Some(token.trim().to_owned()),
            kubeconfig: None,
            cluster_dns: None,
            cluster_domain: None,
            cluster_cidr: None,
            logging: o.logging.clone(),
        })
    }
}

impl Member {
    fn node(&self, o: &cli::Node) -> cli::Node {
        cli::Node { node_name: Some(self.name.clone()), node_ip: Some(self.ip), ..o.clone() }
    }

    /// Whether its process runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state.is_dir() && StateDir::open(&self.state).is_ok_and(|state| state.owner().is_some())
    }

    /// Runs `work` in its network, with a runtime of its own.
    ///
    /// # Errors
    /// When the network is not there, or what the work gives.
    pub fn inside<T, F>(&self, work: impl FnOnce() -> F + Send) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>>,
    {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work())
        };
        network::netns::inside(&self.netns, run).with_context(|| format!("the network of {}", self.name))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for good in ["a", "0", "dev", "a-1", &"x".repeat(32)] {
            check_name(good).unwrap();
        }
        for bad in ["", "-a", "a-", "A", "a.b", "../x", "a b", "ä", &"x".repeat(33)] {
            assert!(check_name(bad).unwrap_err().to_string().contains("small letters"), "{bad}");
        }
        assert_eq!(check_nodes(20).unwrap(), 20);
        for bad in [0, 21, 256, u32::MAX] {
            assert!(check_nodes(bad).unwrap_err().to_string().contains("1 to 20 nodes"), "{bad}");
        }
    }

    #[test]
    fn a_cluster_is_found_again_until_it_is_forgotten() {
        let dir = std::env::temp_dir().join(format!("corten-record-{}", std::process::id()));
        let (one, hold, is_new) = Named::claim(&dir, "one", Some(3)).unwrap();
        assert!(is_new);
        let busy = Named::claim(&dir, "one", None).unwrap_err().to_string();
        assert_eq!(busy, "cluster one is being started or stopped by another process");
        drop(hold);
        let (two, _hold, _) = Named::claim(&dir, "two", None).unwrap();
        assert_ne!(one.network.gateway(), two.network.gateway());
        assert_ne!(one.member(1).netns, two.member(1).netns);
        let names: Vec<String> = Named::all(&dir).unwrap().into_iter().map(|n| n.unwrap().name).collect();
        assert_eq!(names, ["one", "two"]);
        let (again, _hold, is_new) = Named::claim(&dir, "one", None).unwrap();
        assert_eq!((again.nodes, again.network.gateway(), is_new), (3, one.network.gateway(), false));
        drop(_hold);
        let other = Named::claim(&dir, "one", Some(2)).unwrap_err().to_string();
        assert!(other.starts_with("cluster one has 3 nodes, not 2"), "{other}");
        let run = |n: u8| StateDir::open(&one.member(n).state).unwrap().lock().unwrap();
        let mut locks = vec![run(2)];
        let (part, _hold, is_new) = Named::claim(&dir, "one", None).unwrap();
        assert_eq!((part.running(), is_new), (1, false), "what does not run of it can be started");
        drop(_hold);
        locks.extend([run(1), run(3)]);
        let taken = Named::claim(&dir, "one", None).unwrap_err().to_string();
        let down = format!("corten down --name one --clusters-dir {}", dir.canonicalize().unwrap().display());
        assert_eq!(taken, format!("a cluster one runs already: {down} removes it"));
        drop(locks);
        one.members().for_each(|member| std::fs::remove_dir_all(member.state).unwrap());
        one.forget().unwrap();
        assert!(Named::find(&dir, "one").unwrap().is_none() && dir.exists());
        two.forget().unwrap();
        assert!(!dir.exists());
        assert!(Named::existing(&dir, "two").unwrap_err().to_string().starts_with("no cluster two in"));
    }

    #[test]
    fn a_damaged_record_says_what_to_do() {
        let dir = std::env::temp_dir().join(format!("corten-damaged-{}", std::process::id()));
        let (good, _hold, _) = Named::claim(&dir, "good", None).unwrap();
        good.check_member(1).unwrap();
        for n in [0, 2, 255] {
            assert!(good.check_member(n).unwrap_err().to_string().contains("machines 1 to 1"), "{n}");
        }
        make_private(&dir.join("bad/node-2")).unwrap();
        let record = dir.join("bad").join(CLUSTER_RECORD);
        for (text, why) in [
            ("", "EOF"),
            (r#"{"nodes":255,"range":0}"#, "255 nodes are not 1 to 20"),
            (r#"{"nodes":0,"range":0}"#, "0 nodes"),
            (r#"{"nodes":1,"range":200}"#, "no range 200"),
            (r#"{"nodes":255}"#, "missing field"),
        ] {
            std::fs::write(&record, text).unwrap();
            let all = Named::all(&dir).unwrap();
            assert_eq!(all.iter().filter(|named| named.is_ok()).count(), 1, "{text}");
            let error = format!("{:#}", all.into_iter().find_map(Result::err).unwrap());
            assert!(error.contains(r#"cluster.json is damaged: write {"nodes":2,"#), "{text}: {error}");
            assert!(error.contains(why), "{text}: {error}");
        }
        std::fs::write(&record, r#"{"nodes":2,"range":7}"#).unwrap();
        assert_eq!(Named::existing(&dir, "bad").unwrap().nodes, 2, "as it was told");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
