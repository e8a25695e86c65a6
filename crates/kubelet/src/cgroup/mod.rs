//! The pods' cgroups: made before the sandbox, removed after it. cgroup v1 (also hybrid) and v2 are told apart
//! by what is mounted. Containers' own cgroups are the runtime's work.
// k8s: pkg/kubelet/cm/pod_container_manager_linux.go, qos_container_manager_linux.go

mod systemd;

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use systemd::Systemd;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::spec::PodExt;
use crate::spec::resources::{self, PodLimits, Qos};

/// v1 hierarchies that pods get a directory in, where they are mounted.
const V1: [&str; 10] =
    ["cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio", "hugetlb", "systemd"];
/// v2 controllers switched on for pods, where there are any.
const V2: [&str; 5] = ["cpu", "cpuset", "memory", "pids", "io"];

/// The cgroup of all pods under systemd.
const ALL_SLICE: &str = "kubepods.slice";

/// Which kind of hierarchy there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// The cgroups of one node agent.
#[derive(Clone, Debug)]
pub struct Cgroups {
    mount: PathBuf,
    root: String,
    /// Who makes them: systemd, or (`None`) this agent.
    systemd: Option<Systemd>,
    version: Version,
    pod_pids: Option<i64>,
}

impl Cgroups {
    /// Looks at what is mounted.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let unified = config.cgroup_mount.join("cgroup.controllers").exists();
        Cgroups {
            mount: config.cgroup_mount.clone(),
            root: config.cgroup_root.trim_end_matches('/').to_owned(),
            systemd: config.cgroup_systemd.then(Systemd::default),
            version: if unified { Version::V2 } else { Version::V1 },
            pod_pids: config.pod_pids_limit,
        }
    }

    /// The version found.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The pod's cgroup in the form the runtime is told.
    #[must_use]
    pub fn parent(&self, pod: &Pod) -> String {
        let class = match resources::qos(pod) {
            Qos::Guaranteed => "",
            Qos::Burstable => "burstable",
            Qos::BestEffort => "besteffort",
        };
        if self.systemd.is_some() {
            let uid = pod.uid().replace('-', "_");
            let class = if class.is_empty() { String::new() } else { format!("-{class}") };
            return format!("kubepods{class}-pod{uid}.slice");
        }
        let class = if class.is_empty() { String::new() } else { format!("/{class}") };
        format!("{}/kubepods{class}/pod{}", self.root, pod.uid())
    }

    fn dirs(&self, path: &str) -> Vec<PathBuf> {
        let relative = path.trim_start_matches('/');
        match self.version {
            Version::V2 => vec![self.mount.join(relative)],
            Version::V1 => V1
                .iter()
                .map(|c| self.mount.join(c))
                .filter(|d| d.is_dir())
                .map(|d| d.join(relative))
                .collect(),
        }
    }

    /// The cgroup of all pods together.
    #[must_use]
    pub fn of_all(&self) -> String {
        if self.systemd.is_some() { ALL_SLICE.to_owned() } else { format!("{}/kubepods", self.root) }
    }

    /// Makes the pod's cgroup with its limits. Under systemd the runtime makes it, with what systemd was told before.
    ///
    /// # Errors
    /// When the kernel or systemd refuses.
    pub async fn create(&self, pod: &Pod) -> Result<()> {
        if self.systemd.is_none() {
            self.make(&self.parent(pod))?;
        }
        self.resize(pod, &resources::pod_limits(pod)).await
    }

    /// Changes the limits of a pod's cgroup that is there.
    ///
    /// # Errors
    /// When the kernel refuses, since a group below has more, or systemd does.
    pub async fn resize(&self, pod: &Pod, limits: &PodLimits) -> Result<()> {
        let limits = PodLimits { pids: self.pod_pids, ..limits.clone() };
        match &self.systemd {
            Some(systemd) => systemd.limit(&self.parent(pod), self.version, &limits).await,
            None => self.limit(&self.parent(pod), &limits),
        }
    }

    /// Whether a pod can do without its limits: under systemd it has a cgroup all the same.
    #[must_use]
    pub fn is_made_by_systemd(&self) -> bool {
        self.systemd.is_some()
    }

    /// Limits all pods together.
    ///
    /// # Errors
    /// When the kernel refuses, since they use more already, or systemd does.
    pub async fn limit_all(&self, limits: &PodLimits) -> Result<()> {
        let all = self.of_all();
        match &self.systemd {
            Some(systemd) => systemd.limit(&all, self.version, limits).await,
            None => {
                self.make(&all)?;
                self.limit(&all, limits)
            }
        }
    }

    fn make(&self, path: &str) -> Result<()> {
        if self.version == Version::V2 {
            let mut at = self.mount.clone();
            for part in path.trim_start_matches('/').split('/') {
                let have = fs::read_to_string(at.join("cgroup.controllers")).unwrap_or_default();
                for c in V2.iter().filter(|c| have.split_whitespace().any(|h| h == **c)) {
                    let _ = fs::write(at.join("cgroup.subtree_control"), format!("+{c}"));
                }
                at.push(part);
                make_one(&at)?;
            }
            return Ok(());
        }
        for controller in V1.iter().map(|c| self.mount.join(c)).filter(|d| d.is_dir()) {
            let cpuset = controller.ends_with("cpuset");
            let mut at = controller;
            for part in path.trim_start_matches('/').split('/') {
                let parent = at.clone();
                at.push(part);
                make_one(&at)?;
                if cpuset {
                    inherit_cpuset(&parent, &at);
                }
            }
        }
        Ok(())
    }

    fn limit(&self, path: &str, l: &PodLimits) -> Result<()> {
        let relative = path.trim_start_matches('/');
        let write = |dir: &Path, file: &str, value: String| {
            let f = dir.join(file);
            if !f.exists() {
                return Ok(());
            }
            fs::write(&f, &value).map_err(|e| Error::io(format!("write {value} to {}", f.display()), e))
        };
        match self.version {
            Version::V2 => {
                let dir = self.mount.join(relative);
                write(&dir, "cpu.weight", resources::weight_of_shares(l.cpu_shares.max(2)).to_string())?;
                let or_max = |v: Option<i64>| v.map_or("max".to_owned(), |v| v.to_string());
                write(&dir, "cpu.max", format!("{} 100000", or_max(l.cpu_quota_us)))?;
                write(&dir, "memory.max", or_max(l.memory_bytes))?;
                write(&dir, "pids.max", or_max(l.pids))?;
            }
            Version::V1 => {
                let cpu = self.mount.join("cpu").join(relative);
                write(&cpu, "cpu.shares", l.cpu_shares.max(2).to_string())?;
                write(&cpu, "cpu.cfs_quota_us", l.cpu_quota_us.unwrap_or(-1).to_string())?;
                let memory = self.mount.join("memory").join(relative);
                write(&memory, "memory.limit_in_bytes", l.memory_bytes.unwrap_or(-1).to_string())?;
                let pids = self.mount.join("pids").join(relative);
                write(&pids, "pids.max", l.pids.map_or("max".to_owned(), |v| v.to_string()))?;
            }
        }
        Ok(())
    }

    /// Where the pods of a class have their cgroups, and how such a cgroup's name begins.
    fn classes(&self) -> [(String, String); 3] {
        let all = self.of_all();
        ["", "burstable", "besteffort"].map(|class| match (&self.systemd, class) {
            (None, "") => (all.clone(), "pod".to_owned()),
            (None, class) => (format!("{all}/{class}"), "pod".to_owned()),
            (Some(_), "") => (all.clone(), "kubepods-pod".to_owned()),
            (Some(_), class) => (format!("{all}/kubepods-{class}.slice"), format!("kubepods-{class}-pod")),
        })
    }

    /// Removes the pod's cgroup in whatever class it was made. True when nothing is left.
    pub async fn remove(&self, uid: &str) -> bool {
        let mut clean = true;
        for (parent, start) in self.classes() {
            match &self.systemd {
                None => {
                    for dir in self.dirs(&format!("{parent}/{start}{uid}")) {
                        clean &= remove_tree(&dir);
                    }
                }
                Some(systemd) => {
                    let slice = format!("{start}{}.slice", uid.replace('-', "_"));
                    if self.dirs(&format!("{parent}/{slice}")).iter().any(|d| d.exists()) {
                        let gone = systemd.remove(&slice).await;
                        clean &= gone.inspect_err(|e| tracing::warn!("slice of pod {uid}: {e}")).is_ok();
                    }
                }
            }
        }
        clean
    }

    /// UIDs that have a cgroup.
    #[must_use]
    pub fn uids(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (parent, start) in self.classes() {
            for dir in self.dirs(&parent) {
                for e in fs::read_dir(dir).into_iter().flatten().flatten() {
                    let name = e.file_name().to_string_lossy().into_owned();
                    let Some(uid) = name.strip_prefix(&start) else { continue };
                    out.push(match uid.strip_suffix(".slice") {
                        Some(uid) => uid.replace('_', "-"),
                        None => uid.to_owned(),
                    });
                }
            }
        }
        out.sort();
        out.dedup();
        out
    }

    /// Bytes the pods of this agent use together, by the kernel's count.
    #[must_use]
    pub fn pods_memory_bytes(&self) -> Option<u64> {
        let all = self.of_all();
        let relative = all.trim_start_matches('/');
        let file = match self.version {
            Version::V2 => self.mount.join(relative).join("memory.current"),
            Version::V1 => self.mount.join("memory").join(relative).join("memory.usage_in_bytes"),
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }
}

fn make_one(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::io(format!("create {}", dir.display()), e))
        }
        _ => Ok(()),
    }
}

/// A new v1 cpuset is empty and takes no process.
fn inherit_cpuset(parent: &Path, child: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let have = fs::read_to_string(child.join(file)).unwrap_or_default();
        if have.trim().is_empty()
            && let Ok(v) = fs::read_to_string(parent.join(file))
        {
            let _ = fs::write(child.join(file), v.trim());
        }
    }
}

fn remove_tree(dir: &Path) -> bool {
    if !dir.exists() {
        return true;
    }
    for e in fs::read_dir(dir).into_iter().flatten().flatten() {
        if e.file_type().is_ok_and(|t| t.is_dir()) {
            remove_tree(&e.path());
        }
    }
    fs::remove_dir(dir).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::testdir::TestDir;

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {"uid": "u-1"}, "spec": {"containers": [
            {"name": "c", "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}, "requests": {"cpu": "100m"}}}]}}))
        .unwrap()
    }

    fn cgroups(dir: &TestDir, systemd: bool) -> Cgroups {
        let mut c = Config::new("n", "/r");
        c.cgroup_mount.clone_from(&dir.path);
        c.cgroup_root = "/corten-x/".into();
        c.cgroup_systemd = systemd;
        Cgroups::new(&c)
    }

    #[tokio::test]
    async fn v1_directories_come_and_go() {
        let dir = TestDir::new("cgroup1");
        for c in ["cpu", "memory"] {
            fs::create_dir(dir.path.join(c)).unwrap();
        }
        let g = cgroups(&dir, false);
        assert_eq!(
            (g.version(), g.parent(&pod()).as_str()),
            (Version::V1, "/corten-x/kubepods/burstable/podu-1")
        );
        g.create(&pod()).await.unwrap();
        assert!(dir.path.join("memory/corten-x/kubepods/burstable/podu-1").is_dir());
        assert_eq!(g.uids(), ["u-1"]);
        assert!(g.remove("u-1").await);
        assert!(g.uids().is_empty());
    }

    #[test]
    fn v2_and_systemd_names() {
        let dir = TestDir::new("cgroup2");
        fs::write(dir.path.join("cgroup.controllers"), "cpu memory\n").unwrap();
        assert_eq!(cgroups(&dir, false).version(), Version::V2);
        assert_eq!(cgroups(&dir, true).parent(&pod()), "kubepods-burstable-podu_1.slice");
    }

    /// A hierarchy of plain files, with those that limits are written to.
    fn v1_with_files(dir: &TestDir, path: &str) {
        let files = [
            ("cpu", "cpu.shares"),
            ("cpu", "cpu.cfs_quota_us"),
            ("memory", "memory.limit_in_bytes"),
            ("pids", "pids.max"),
        ];
        for (controller, file) in files {
            let at = dir.path.join(controller).join(path);
            fs::create_dir_all(&at).unwrap();
            fs::write(at.join(file), "").unwrap();
        }
    }

    #[tokio::test]
    async fn all_pods_and_each_pod_have_limits() {
        let dir = TestDir::new("cgroup-limits");
        let own = "corten-x/kubepods/burstable/podu-1";
        v1_with_files(&dir, "corten-x/kubepods");
        v1_with_files(&dir, own);
        let g = Cgroups { pod_pids: Some(77), ..cgroups(&dir, false) };
        let all = PodLimits {
            cpu_shares: 2048,
            memory_bytes: Some(1 << 30),
            pids: Some(500),
            ..PodLimits::default()
        };
        g.limit_all(&all).await.unwrap();
        g.create(&pod()).await.unwrap();
        let read = |path: &str| fs::read_to_string(dir.path.join(path)).unwrap();
        for (path, want) in [
            ("cpu/corten-x/kubepods/cpu.shares".to_owned(), "2048"),
            ("cpu/corten-x/kubepods/cpu.cfs_quota_us".to_owned(), "-1"),
            ("memory/corten-x/kubepods/memory.limit_in_bytes".to_owned(), "1073741824"),
            ("pids/corten-x/kubepods/pids.max".to_owned(), "500"),
            (format!("cpu/{own}/cpu.shares"), "102"),
            (format!("cpu/{own}/cpu.cfs_quota_us"), "50000"),
            (format!("memory/{own}/memory.limit_in_bytes"), "67108864"),
            (format!("pids/{own}/pids.max"), "77"),
        ] {
            assert_eq!(read(&path), want, "{path}");
        }
    }

    #[tokio::test]
    async fn systemd_is_told_the_limits_and_the_end() {
        let dir = TestDir::new("cgroup-systemd");
        fs::write(dir.path.join("cgroup.controllers"), "cpu memory\n").unwrap();
        let (program, said) = (dir.path.join("systemctl"), dir.path.join("said"));
        fs::write(&program, format!("echo \"$@\" >> {}\n", said.display())).unwrap();
        let program = vec!["sh".to_owned(), program.to_string_lossy().into_owned()];
        let g = Cgroups { systemd: Some(Systemd { program }), pod_pids: Some(5), ..cgroups(&dir, true) };
        g.create(&pod()).await.unwrap();
        g.limit_all(&PodLimits { cpu_shares: 2048, ..PodLimits::default() }).await.unwrap();
        // What the runtime makes.
        let slice = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podu_1.slice";
        fs::create_dir_all(dir.path.join(slice)).unwrap();
        assert_eq!(g.uids(), ["u-1"]);
        assert!(g.remove("u-1").await);
        let said = fs::read_to_string(said).unwrap();
        let want = [
            "set-property --runtime kubepods-burstable-podu_1.slice CPUWeight=4 CPUQuota=50.00% MemoryMax=67108864 TasksMax=5",
            "set-property --runtime kubepods.slice CPUWeight=79 CPUQuota= MemoryMax=infinity TasksMax=infinity",
            "stop kubepods-burstable-podu_1.slice",
            "revert kubepods-burstable-podu_1.slice",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), want);
    }
}
