//! A containerd that Corten did not start: a cluster on it works, and `down` takes this cluster's pods from it and
//! nothing else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cri::containerd::{Containerd, Options, RegistryMirror};
use cri::image::HELLO_NAME;
use cri::{CriClient, Runtime, v1};
use testkit::cluster::{Cluster, Mode};
use testkit::wait::wait_for;

use crate::session::{CORTEN, IMAGE, SOON, Session};

/// The containerd, with a directory and a cgroup of its own.
pub struct Foreign {
    options: Options,
    containerd: Option<Containerd>,
    tokio: tokio::runtime::Runtime,
}

impl Foreign {
    /// Starts one in the cluster's namespace.
    pub fn start(cluster: &Cluster) -> Self {
        let name = testkit::unique("cf");
        let mut options = Options::new(std::env::temp_dir().join(&name));
        options.netns = Some(cluster.netns().path().to_owned());
        options.cgroup_parent = Some(format!("/{name}"));
        let url = cluster.registry_url().expect("images are served");
        options.registries.push(RegistryMirror { host: "registry.test".into(), url });
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        std::fs::create_dir_all(&options.dir).unwrap();
        let containerd = tokio.block_on(Containerd::start(options.clone())).unwrap();
        Foreign { options, containerd: Some(containerd), tokio }
    }

    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.containerd.as_ref().unwrap().socket().display())
    }

    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    pub fn cni_conf_dir(&self) -> PathBuf {
        self.options.cni_conf_dir.clone()
    }

    pub fn cgroup(&self) -> String {
        self.options.cgroup_parent.clone().unwrap()
    }

    /// Asks it something.
    pub fn ask<T>(&self, work: impl AsyncFnOnce(CriClient) -> cri::Result<T>) -> T {
        let client = self.containerd.as_ref().unwrap().client();
        self.tokio.block_on(work(client)).unwrap()
    }

    /// A pod of somebody else, such as another node agent would make: the ids of its sandbox and container.
    fn stranger(&self) -> (String, String) {
        let text = |t: &str| t.to_owned();
        let labels: HashMap<String, String> = [
            ("io.kubernetes.pod.name", "stranger"),
            ("io.kubernetes.pod.namespace", "elsewhere"),
            ("io.kubernetes.pod.uid", "0-1-2-3"),
            ("io.kubernetes.container.name", "c"),
        ]
        .map(|(k, v)| (text(k), text(v)))
        .into();
        let host = v1::NamespaceOption { network: v1::NamespaceMode::Node as i32, ..Default::default() };
        let security =
            v1::LinuxSandboxSecurityContext { namespace_options: Some(host.clone()), ..Default::default() };
        let sandbox = v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: text("stranger"),
                namespace: text("elsewhere"),
                uid: text("0-1-2-3"),
                attempt: 0,
            }),
            log_directory: self.dir().join("logs").to_string_lossy().into_owned(),
            labels: labels.clone(),
            linux: Some(v1::LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup(),
                security_context: Some(security),
                ..Default::default()
            }),
            ..Default::default()
        };
        let image = v1::ImageSpec { image: text(IMAGE), ..Default::default() };
        let container = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: text("c"), attempt: 0 }),
            image: Some(image.clone()),
            envs: vec![v1::KeyValue { key: text("PORT"), value: text("18080") }],
            labels,
            log_path: text("c.log"),
            linux: Some(v1::LinuxContainerConfig {
                security_context: Some(v1::LinuxContainerSecurityContext {
                    namespace_options: Some(host),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.ask(async |client| {
            client.pull_image(image, None, None).await?;
            let id = client.run_pod_sandbox(sandbox.clone(), "").await?;
            let made = client.create_container(&id, container, sandbox).await?;
            client.start_container(&made).await?;
            Ok((id, made))
        })
    }

    fn is_running(&self, container: &str) -> bool {
        let answer = self.ask(async |client| client.container_status(container, false).await);
        answer.status.is_some_and(|s| s.state == v1::ContainerState::ContainerRunning as i32)
    }

    fn sandboxes(&self) -> Vec<String> {
        let list = self.ask(async |client| client.list_pod_sandbox(None).await);
        list.into_iter().map(|s| s.id).collect()
    }

    fn images(&self) -> Vec<String> {
        let list = self.ask(async |client| client.list_images(None).await);
        list.into_iter().flat_map(|image| image.repo_tags).collect()
    }

    /// Ends it with all that is in it.
    pub fn down(mut self) {
        let containerd = self.containerd.take().unwrap();
        self.tokio.block_on(containerd.down(true)).unwrap();
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if self.containerd.take().is_some()
            && let Err(error) = self.tokio.block_on(cri::containerd::purge(&self.options, true))
        {
            eprintln!("removing the containerd: {error}");
        }
    }
}

#[test]
fn a_runtime_that_was_there_keeps_what_is_not_ours() {
    let mut cluster = Cluster::prepare(CORTEN, Mode::Up).unwrap();
    let foreign = Foreign::start(&cluster);
    let (sandbox, container) = foreign.stranger();
    cluster.use_runtime(&foreign.endpoint());
    cluster.start_server().unwrap_or_else(|error| panic!("{error:#}"));
    {
        let s = Session::newest(&cluster, "guest");
        s.apply_example();
        s.wait_for_ready("app=webapp", 2);
        wait_for("the NodePort", SOON, || s.node_port(30080, "/").map(drop));
        s.says("exec deployment/webapp -- /webapp echo alive", &["alive"]);
        s.ok(&format!("run done --image={IMAGE} --restart=Never --command -- /webapp exit 0"));
        s.wait_for_text("get pod done", "Completed");
        // Pods of this cluster come and go; what has no pod here is not taken for a leftover.
        s.ok("delete pod -l app=webapp --wait=true");
        s.wait_for_ready("app=webapp", 2);
    }
    assert!(foreign.is_running(&container), "while the cluster ran");
    assert!(foreign.images().iter().any(|name| name == HELLO_NAME), "{:?}", foreign.images());
    let old = foreign.ask(async |client| client.version().await);
    cluster.down().unwrap();
    assert!(foreign.is_running(&container), "after corten down");
    assert_eq!(foreign.sandboxes(), [sandbox]);
    assert!(!foreign.images().iter().any(|name| name == HELLO_NAME), "{:?}", foreign.images());
    assert_eq!(foreign.ask(async |client| client.version().await), old);
    assert_eq!(std::fs::read_dir(foreign.cni_conf_dir()).unwrap().count(), 0, "CNI configurations");
    foreign.down();
}
