//! The daemon itself: taken over, started again, and removed by force.

use cri::containerd::{Containerd, OciRuntime, Options, purge};
use cri::{Runtime, v1};
use testkit::image::webapp_image;
use testkit::node::TestNode;

use crate::support::{IMAGE, eventually, run_pod, traces};

#[tokio::test]
async fn pods_outlive_the_manager_and_the_daemon() {
    let node = TestNode::new(OciRuntime::Auto).await.unwrap();
    let containerd = node.start().await.unwrap();
    containerd.import(&webapp_image().unwrap(), &[IMAGE]).await.unwrap();
    let (_, container) = run_pod(&containerd.client(), &node, "web", &["serve"]).await;
    let first = containerd.pid().unwrap();
    let pid = container_pid(&containerd.client(), &container).await;

    // The manager goes; the next one takes the same daemon over.
    drop(containerd);
    let containerd = node.start().await.unwrap();
    assert_eq!(containerd.pid(), Some(first));

    // The daemon is killed; supervision starts another, the pod goes on.
    assert!(
        std::process::Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap().success()
    );
    let client = containerd.client();
    let second = eventually("another daemon", || async {
        let pid = containerd.pid().filter(|pid| *pid != first)?;
        client.status(false).await.ok().map(|_| pid)
    })
    .await;
    assert_ne!(first, second);
    assert_eq!(container_pid(&client, &container).await, pid);

    let (dir, cgroup) = (node.dir().to_owned(), node.cgroup_parent());
    node.down(containerd).await.unwrap();
    assert_eq!(traces(&dir, &cgroup), Vec::<String>::new());
}

#[tokio::test]
async fn a_failed_test_leaves_nothing() {
    let node = TestNode::new(OciRuntime::Auto).await.unwrap();
    let containerd = node.start().await.unwrap();
    containerd.import(&webapp_image().unwrap(), &[IMAGE]).await.unwrap();
    run_pod(&containerd.client(), &node, "web", &["serve"]).await;
    let (dir, cgroup) = (node.dir().to_owned(), node.cgroup_parent());
    drop(containerd);
    drop(node);
    assert_eq!(traces(&dir, &cgroup), Vec::<String>::new());
    assert!(!dir.exists());
}

/// Sockets have short names wherever the data is.
#[tokio::test]
async fn a_deep_directory_works() {
    let top = std::env::temp_dir().join(testkit::unique("deep"));
    let options = Options::new(top.join("d".repeat(90)));
    let containerd = Containerd::start(options.clone()).await.unwrap();
    let run = containerd.socket().parent().unwrap().to_owned();
    let status = containerd.client().status(false).await;
    let down = containerd.down(true).await;
    purge(&options, true).await.unwrap();
    std::fs::remove_dir_all(&top).unwrap();
    down.unwrap();
    assert!(run.starts_with("/run"), "{}", run.display());
    assert!(!run.exists());
    let conditions = status.unwrap().status.unwrap().conditions;
    let ready = |name: &str| conditions.iter().find(|c| c.r#type == name).unwrap().status;
    assert_eq!((ready("RuntimeReady"), ready("NetworkReady")), (true, false), "no CNI configuration");
}

async fn container_pid(client: &cri::CriClient, container: &str) -> String {
    let status = client.container_status(container, true).await.unwrap();
    assert_eq!(status.status.unwrap().state(), v1::ContainerState::ContainerRunning);
    let info = &status.info["info"];
    let pid = info.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
    pid.unwrap().trim().to_owned()
}
