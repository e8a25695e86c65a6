//! The first five minutes with a cluster: what `corten up` prints can be typed and works without a registry, images
//! come from archives, and bad archives are named.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::cluster::{Cluster, Mode};
use testkit::image::{ImageBuilder, webapp_image};
use testkit::wait::{Output, run, wait_for};

use crate::session::{CORTEN, SOON, Session};

const UP_LIMIT: Duration = Duration::from_secs(150);
const PATH_OF_SU: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";

/// Runs the binary in the cluster's namespace, with its state directory.
fn corten(cluster: &Cluster, words: &[&str]) -> Output {
    let mut command = cluster.command(CORTEN.as_ref());
    command.args(words).arg("--state-dir").arg(cluster.state()).env("PATH", PATH_OF_SU);
    run(command, b"", SOON)
}

#[test]
fn the_first_five_minutes() {
    let mut cluster = Cluster::prepare(CORTEN, Mode::Up).unwrap();
    doctor(&cluster);
    let folder = cluster.state().join("images");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("early.tar"), webapp_image().unwrap().oci_archive(&["air.test/early:1"]))
        .unwrap();
    std::fs::write(folder.join("bad.tar"), "not an archive").unwrap();
    std::fs::write(folder.join("notes"), "mine").unwrap();
    // As Debian's plain su leaves it: programs in sbin are found all the same.
    let mut up = cluster.server_command();
    up.env("PATH", PATH_OF_SU);
    let said = run(up, b"", UP_LIMIT).ok();
    cluster.stop_registry();
    printed_commands(&cluster, &said);
    status(&cluster);
    archives(&cluster);
    folder_of_images(&mut cluster, &folder);
    std::fs::remove_dir_all(&folder).unwrap();
    cluster.down().unwrap();
}

/// Whether a line of a report says so.
fn finding(report: &Output, level: &str, about: &str, text: &str) -> bool {
    let mut lines = report.stdout.lines().filter_map(|line| line.split_once("  "));
    lines.any(|(l, rest)| l.trim() == level && rest.trim_start().starts_with(about) && rest.contains(text))
}

/// Before the start: what is fine, and what would be in the way.
fn doctor(cluster: &Cluster) {
    let fine = corten(cluster, &["doctor"]);
    for about in ["user", "kernel", "cgroups", "network", "address", "ports", "disk"] {
        assert!(finding(&fine, "ok", about, ""), "{about}: {fine}");
    }
    assert_eq!(fine.code, Some(0), "{fine}");
    let taken = cluster.netns().inside(|| TcpListener::bind("0.0.0.0:10250").unwrap()).unwrap();
    let ill = corten(cluster, &["doctor"]);
    assert!(finding(&ill, "error", "ports", "port 10250 is taken by process"), "{ill}");
    assert!(ill.code == Some(1) && ill.stderr == "corten: 1 error\n", "{ill}");
    drop(taken);
    assert!(!cluster.state().exists(), "nothing is made");
}

fn status(cluster: &Cluster) {
    let kubectl = testkit::kubectl::newest().unwrap();
    cluster.kubectl(&kubectl, &["run", "stuck", "--image=air.test/nothing:1"]).ok();
    wait_for("status to tell of a pod that cannot run", SOON, || {
        let said = corten(cluster, &["status"]);
        if finding(&said, "warning", "pod", "default/stuck: ") { Ok(()) } else { Err(said.to_string()) }
    });
    cluster.kubectl(&kubectl, &["delete", "pod", "stuck", "--now"]).ok();
    let said = corten(cluster, &["status"]);
    for (about, text) in [
        ("server", "process"),
        ("API", "ready"),
        ("node node-1", "ready"),
        ("DNS", "answers at 10.96.0.10:53"),
        ("runtime", "containerd.sock"),
        ("proxy", "its rules are in table"),
        ("certificates", "the first to end is"),
        ("disk", "free"),
    ] {
        assert!(finding(&said, "ok", about, text), "{about}: {said}");
    }
    assert_eq!(said.code, Some(0), "{said}");
}

/// All commands that were printed, one after the other in one shell, and nothing else.
fn printed_commands(cluster: &Cluster, said: &str) {
    let lines =
        said.lines().skip_while(|line| !line.ends_with("Next:")).filter(|line| line.starts_with("  "));
    let script: Vec<&str> = lines.map(str::trim).collect();
    assert!(script.len() >= 6 && script[0].starts_with("export KUBECONFIG="), "{said}");
    let mut shell = cluster.command("bash".as_ref());
    shell.args(["-euc", &script.join("\n")]).env_remove("KUBECONFIG");
    let answer = run(shell, b"", SOON).ok();
    assert!(answer.lines().last().is_some_and(|line| line.starts_with("Hello from hello-")), "{answer}");
}

/// One line for the user, which has all the texts.
#[track_caller]
fn one_line(output: &Output, texts: &[&str]) {
    let lines: Vec<&str> =
        output.stderr.lines().filter(|line| !line.contains("archives not loaded")).collect();
    assert_eq!((output.code, lines.len()), (Some(1), 1), "{output}");
    assert!(texts.iter().all(|text| lines[0].contains(text)), "{output}");
}

fn archives(cluster: &Cluster) {
    let at = |name: &str| cluster.scratch().join(name);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let image = ImageBuilder::new().file("/data", &[7; 100_000], 0o644).build().unwrap();
    let good = image.oci_archive(&["air.test/data:1"]);
    std::fs::write(at("good.tar"), &good).unwrap();
    std::fs::write(at("cut.tar"), &good[..good.len() / 2]).unwrap();
    // Another layer than that of the cut archive: the runtime keeps the half that it has of a layer, and would never
    // look at the bad byte.
    let other = ImageBuilder::new().file("/data", &[8; 100_000], 0o644).build().unwrap();
    let mut flipped = other.oci_archive(&["air.test/data:1"]);
    let layer = flipped.windows(64).position(|w| w == [8; 64]).unwrap();
    flipped[layer + 1000] ^= 1;
    std::fs::write(at("flipped.tar"), &flipped).unwrap();
    std::fs::write(at("text.tar"), "hello").unwrap();
    for (name, why) in [("cut.tar", "EOF"), ("flipped.tar", "digest"), ("text.tar", "not an image archive")] {
        one_line(&corten(cluster, &["images", "import", &text(&at(name))]), &[name, why]);
    }
    // One that is bad does not keep out one that is good.
    let both = corten(cluster, &["images", "import", "/no/such.tar", &text(&at("good.tar"))]);
    assert_eq!(both.stdout, "air.test/data:1\n", "{both}");
    one_line(&both, &["/no/such.tar", "No such file"]);
    let list = corten(cluster, &["images", "list"]).ok();
    assert!(list.contains("air.test/data:1") && list.contains("corten.invalid/hello:1"), "{list}");
    // Out and in again, with the containers' names in it.
    let saved = text(&at("saved.tar"));
    corten(cluster, &["images", "export", &saved, "corten.invalid/hello:1", "air.test/data:1"]).ok();
    let again = corten(cluster, &["images", "import", &saved]).ok();
    assert_eq!(again.lines().count(), 2, "{again}");
    let missing = corten(cluster, &["images", "export", &text(&at("no.tar")), "air.test/no:1"]);
    one_line(&missing, &["air.test/no:1", "not found"]);
    let left: Vec<PathBuf> =
        [at("no.tar"), at("no.tar.partial")].into_iter().filter(|p| p.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What is in the folder is there after a start, without a registry.
fn folder_of_images(cluster: &mut Cluster, folder: &Path) {
    let image = webapp_image().unwrap();
    std::fs::write(folder.join("late.tar"), image.oci_archive(&["air.test/late:1"])).unwrap();
    cluster.kill_server().unwrap();
    let dead = corten(cluster, &["status"]);
    assert!(dead.code == Some(1) && finding(&dead, "error", "server", "it does not run"), "{dead}");
    cluster.start_server().unwrap();
    {
        let s = Session::newest(cluster, "air");
        for name in ["early", "late"] {
            s.ok(&format!("run {name} --image=air.test/{name}:1"));
        }
        s.ok("wait --for=condition=Ready pod/early pod/late --timeout=60s");
    }
    let log = std::fs::read_to_string(cluster.state().join("corten.log")).unwrap();
    assert_eq!(log.matches("loaded air.test/early:1").count(), 1, "it is not loaded twice");
    assert!(log.contains("bad.tar") && log.contains("notes is left alone"), "{log}");
}
