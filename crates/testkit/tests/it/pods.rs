//! Pods of the example image: their life, their output, their limits, and that nothing is left.

use cri::containerd::OciRuntime;
use cri::{Runtime, v1};
use testkit::image::webapp_image;
use testkit::node::TestNode;
use testkit::registry::Registry;

use crate::support::{
    HOST_PORT, IMAGE, container_config, eventually, exited, run_pod, sandbox_config, traces,
};

#[tokio::test]
async fn a_pod_lives_under_runc() {
    a_pod_lives(OciRuntime::Runc).await;
}

#[tokio::test]
async fn a_pod_lives_under_crun() {
    a_pod_lives(OciRuntime::Crun).await;
}

async fn a_pod_lives(runtime: OciRuntime) {
    let node = TestNode::new(runtime).await.unwrap();
    let containerd = node.start().await.unwrap();
    containerd.import(&webapp_image().unwrap(), &[IMAGE]).await.unwrap();
    let client = containerd.client();

    let (sandbox, container) = run_pod(&client, &node, "web", &["serve"]).await;
    let status = client.pod_sandbox_status(&sandbox, false).await.unwrap().status.unwrap();
    let ip = status.network.unwrap().ip;
    assert!(ip.starts_with("10.244.0."), "{ip}");

    // From inside, through exec; from the node's namespace, through the bridge.
    let get = |url: String| ["/webapp", "get", &url, "--until", "moin from web"].map(str::to_owned).to_vec();
    let inside = client.exec_sync(&container, get("http://127.0.0.1:8080/".into()), 30).await.unwrap();
    assert_eq!((inside.exit_code, inside.stdout.as_slice()), (0, &b"moin from web\n"[..]));
    for url in [format!("http://{ip}:8080/"), format!("http://192.0.2.1:{HOST_PORT}/")] {
        let program = testkit::image::webapp_program().unwrap();
        let mut get = node.netns().command(program.to_str().unwrap());
        let output = get.args(["get", &url, "--until", "moin from web"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    exec_reports_code_and_timeout(&client, &container).await;
    stats_and_limits_are_there(&client, &container).await;

    client.stop_container(&container, 20).await.unwrap();
    let ended = exited(&client, &container).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "SIGTERM ends it in order");
    let log = std::fs::read_to_string(node.dir().join("logs/web/app.log")).unwrap();
    assert!(log.contains("stdout F webapp web listens on port 8080"), "{log}");

    client.stop_pod_sandbox(&sandbox).await.unwrap();
    client.remove_pod_sandbox(&sandbox).await.unwrap();
    client.remove_pod_sandbox(&sandbox).await.unwrap();
    assert!(client.container_status(&container, false).await.unwrap_err().is_not_found());
    assert!(client.list_pod_sandbox(None).await.unwrap().is_empty());

    let (dir, cgroup) = (node.dir().to_owned(), node.cgroup_parent());
    node.down(containerd).await.unwrap();
    assert_eq!(traces(&dir, &cgroup), Vec::<String>::new());
}

async fn exec_reports_code_and_timeout(client: &cri::CriClient, container: &str) {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let failed = client.exec_sync(container, words(&["/webapp", "exit", "7"]), 30).await.unwrap();
    assert_eq!(failed.exit_code, 7);
    let late = client.exec_sync(container, words(&["/webapp", "sleep", "600"]), 1).await.unwrap_err();
    assert!(matches!(late, cri::Error::Timeout { .. }), "{late:?}");
    let missing = client.exec_sync(container, words(&["/no-such-program"]), 30).await.unwrap_err();
    assert!(missing.message().to_lowercase().contains("no such file"), "{missing}");
}

async fn stats_and_limits_are_there(client: &cri::CriClient, container: &str) {
    let stats = client.container_stats(container).await.unwrap();
    assert!(stats.memory.unwrap().working_set_bytes.unwrap().value > 0);
    assert!(stats.cpu.unwrap().usage_core_nano_seconds.unwrap().value > 0);
    let limit = v1::LinuxContainerResources { memory_limit_in_bytes: 80 << 20, ..Default::default() };
    client.update_container_resources(container, limit).await.unwrap();
    let fs = client.image_fs_info().await.unwrap();
    assert!(!fs.image_filesystems.is_empty());
}

#[tokio::test]
async fn failures_are_told_apart() {
    let node = TestNode::new(OciRuntime::Auto).await.unwrap();
    let containerd = node.start().await.unwrap();
    containerd.import(&webapp_image().unwrap(), &[IMAGE]).await.unwrap();
    let client = containerd.client();

    let (first, code) = run_pod(&client, &node, "code", &["exit", "3"]).await;
    let status = exited(&client, &code).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));

    client.stop_pod_sandbox(&first).await.unwrap();
    let (sandbox, memory) = run_pod(&client, &node, "memory", &["fill", "200"]).await;
    let status = exited(&client, &memory).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));

    let config = sandbox_config(&node, "memory");
    let again = client.run_pod_sandbox(config.clone(), "").await.unwrap_err();
    assert!(again.message().contains("reserved"), "{again}");
    let mut absent = container_config("absent", &[]);
    absent.image = Some(v1::ImageSpec { image: "registry.test/absent:1".into(), ..Default::default() });
    let error = client.create_container(&sandbox, absent, config).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert!(client.container_status("nope", false).await.unwrap_err().is_not_found());
    match client.get_container_events().await {
        Ok(_) => {}
        Err(error) => assert!(error.is_unimplemented(), "{error:?}"),
    }

    node.down(containerd).await.unwrap();
}

#[tokio::test]
async fn an_image_is_pulled_from_a_registry() {
    let mut node = TestNode::new(OciRuntime::Auto).await.unwrap();
    let storage = node.dir().join("registry");
    let image = webapp_image().unwrap();
    // Loopback is per namespace: one process to push to, one to pull from, one storage.
    let outside = Registry::start(&storage, None).unwrap();
    outside.push(&image, "team/webapp", "2").await.unwrap();
    let inside = Registry::start(&storage, Some(node.netns())).unwrap();
    node.add_registry("registry.test", &inside.url());
    let containerd = node.start().await.unwrap();
    let client = containerd.client();

    let spec = v1::ImageSpec { image: "registry.test/team/webapp:2".into(), ..Default::default() };
    let reference = client.pull_image(spec.clone(), None, None).await.unwrap();
    assert_eq!(reference, image.config().digest);
    let found = client.image_status(spec.clone(), false).await.unwrap().image.unwrap();
    assert_eq!(found.repo_tags, ["registry.test/team/webapp:2"]);
    assert!(found.repo_digests[0].ends_with(&image.manifest().digest), "{:?}", found.repo_digests);
    client.remove_image(spec.clone()).await.unwrap();
    eventually("the image is gone", || async {
        client.image_status(spec.clone(), false).await.unwrap().image.is_none().then_some(())
    })
    .await;
    let absent = v1::ImageSpec { image: "registry.test/team/absent:2".into(), ..Default::default() };
    let error = client.pull_image(absent, None, None).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");

    node.down(containerd).await.unwrap();
}
