//! What the tests share: CRI configurations, and the traces a node must not leave.

use std::path::Path;
use std::time::Duration;

use cri::{CriClient, Runtime, v1};
use testkit::node::TestNode;

pub const IMAGE: &str = testkit::image::WEBAPP_NAME;
/// On the node; every test has a node of its own, so one pod a test may have it.
pub const HOST_PORT: i32 = 18080;
/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks until the answer is there.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let wait = async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

pub fn sandbox_config(node: &TestNode, name: &str) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: name.into(),
            uid: format!("uid-{name}"),
            namespace: "default".into(),
            attempt: 0,
        }),
        hostname: name.into(),
        log_directory: node.dir().join("logs").join(name).display().to_string(),
        port_mappings: vec![v1::PortMapping {
            container_port: 8080,
            host_port: HOST_PORT,
            ..Default::default()
        }],
        labels: [("app".to_owned(), name.to_owned())].into(),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: format!("{}/pod-{name}", node.cgroup_parent()),
            security_context: Some(v1::LinuxSandboxSecurityContext {
                namespace_options: Some(v1::NamespaceOption {
                    pid: v1::NamespaceMode::Container.into(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn container_config(name: &str, args: &[&str]) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: name.into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: IMAGE.into(), ..Default::default() }),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        envs: vec![v1::KeyValue { key: "GREETING".into(), value: "moin".into() }],
        log_path: format!("{name}.log"),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(v1::LinuxContainerResources {
                memory_limit_in_bytes: 64 * 1024 * 1024,
                cpu_period: 100_000,
                cpu_quota: 50_000,
                cpu_shares: 256,
                oom_score_adj: 500,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Runs a sandbox with one container; gives both ids.
pub async fn run_pod(client: &CriClient, node: &TestNode, name: &str, args: &[&str]) -> (String, String) {
    let config = sandbox_config(node, name);
    std::fs::create_dir_all(&config.log_directory).unwrap();
    let sandbox = client.run_pod_sandbox(config.clone(), "").await.unwrap();
    let container = client.create_container(&sandbox, container_config("app", args), config).await.unwrap();
    client.start_container(&container).await.unwrap();
    (sandbox, container)
}

pub async fn exited(client: &CriClient, container: &str) -> v1::ContainerStatus {
    eventually("the container exits", || async {
        let status = client.container_status(container, false).await.unwrap().status.unwrap();
        (status.state() == v1::ContainerState::ContainerExited).then_some(status)
    })
    .await
}

/// What of a node is still on the host: mounts, cgroups, processes.
pub fn traces(dir: &Path, cgroup: &str) -> Vec<String> {
    let dir = dir.display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: Vec<String> =
        mounts.lines().filter(|line| line.contains(&dir)).map(|line| format!("mount {line}")).collect();
    for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let root = line.split(' ').nth(4).unwrap();
        let path = format!("{root}{cgroup}");
        if Path::new(&path).exists() {
            found.push(format!("cgroup {path}"));
        }
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command_line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command_line).contains(&dir) {
            found.push(format!("process {}", entry.file_name().display()));
        }
    }
    found
}
