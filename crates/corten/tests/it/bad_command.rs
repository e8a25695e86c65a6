//! Bad starts: each ends at once with one clear line and a code that is not 0, and spoils nothing.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use testkit::cluster::{Cluster, Mode};
use testkit::wait::{Output, run};

use crate::raw::{As, with_client};
use crate::session::{CORTEN, start_api};

const LIMIT: Duration = Duration::from_secs(30);

/// Runs the binary in the cluster's namespace.
fn corten(cluster: &Cluster, words: &[&str]) -> Output {
    let mut command = cluster.command(CORTEN.as_ref());
    command.args(words);
    run(command, b"", LIMIT)
}

/// One line for the user, which has all the texts.
#[track_caller]
fn refused(output: Output, texts: &[&str]) {
    let shown = output.to_string();
    let said = output.fails();
    for text in texts {
        assert!(said.contains(text), "no {text:?} in\n{shown}");
    }
    assert!(!said.contains("panicked"), "{shown}");
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A server whose further ports are another's does not start: without cluster DNS, or without a node agent, the cluster
/// would not be usable.
fn taken_ports(cluster: &Cluster) {
    let here = (std::net::Ipv4Addr::LOCALHOST, 0);
    let netns = cluster.netns();
    let udp = netns.inside(|| std::net::UdpSocket::bind(here).unwrap()).unwrap();
    let tcp = netns.inside(|| std::net::TcpListener::bind(here).unwrap()).unwrap();
    let (udp, tcp_port) = (udp.local_addr().unwrap().port().to_string(), tcp.local_addr().unwrap().port());
    let tcp = tcp_port.to_string();
    let other = path(&cluster.scratch().join("taken"));
    let common = ["--state-dir", &other, "--secure-port", "6448", "--advertise-address", "127.0.0.1"];
    let cases = [
        (["server", "--dns-port", &udp], format!("UDP port {udp} of 127.0.0.1 is taken")),
        (["server", "--dns-port", &tcp], format!("TCP port {tcp} of 127.0.0.1 is taken")),
        (["up", "--kubelet-port", &tcp], format!("port {tcp} is taken by")),
    ];
    for ([command, flag, port], text) in cases {
        let mut words = vec![command, flag, port];
        words.extend(common);
        refused(corten(cluster, &words), &[&text, flag]);
        let made: Vec<_> =
            std::fs::read_dir(&other).into_iter().flatten().map(|e| e.unwrap().file_name()).collect();
        assert!(!made.iter().any(|name| name == "pki" || name == "containerd"), "{command} {flag}: {made:?}");
    }
}

#[test]
fn bad_starts_are_refused() {
    let cluster = start_api();
    let (state, other) = (path(&cluster.state()), path(&cluster.scratch().join("other")));
    let port = ["kube-apiserver", "--bind-address", "127.0.0.1", "--secure-port"];
    let start = |port_number: &str, dir: &str| {
        let mut words = port.to_vec();
        words.extend([port_number, "--state-dir", dir]);
        corten(&cluster, &words)
    };
    refused(start("6443", &other), &["6443", "taken"]);
    refused(start("6444", &state), &[&state, "in use by process"]);
    refused(corten(&cluster, &["up", "--detach", "--state-dir", &state]), &[&state, "in use by process"]);
    refused(corten(&cluster, &["kube-apiserver", "--no-such-flag"]), &["--no-such-flag"]);
    refused(corten(&cluster, &["kube-apiserver", "--secure-port", "many"]), &["many"]);
    refused(corten(&cluster, &["no-such-command"]), &["no-such-command"]);
    for (flag, name, why) in [
        ("--enable-admission-plugins", "Nope", "enable-admission-plugins plugin \"Nope\" is unknown"),
        ("--disable-admission-plugins", "Nope", "disable-admission-plugins plugin \"Nope\" is unknown"),
        ("--enable-admission-plugins", "ImagePolicyWebhook", "this server does not have it yet"),
    ] {
        refused(corten(&cluster, &["kube-apiserver", "--state-dir", &other, flag, name]), &[why]);
    }
    let mut bad_range = vec!["kube-apiserver", "--secure-port", "6446", "--state-dir", &other];
    bad_range.extend(["--service-cluster-ip-range", "nonsense"]);
    refused(corten(&cluster, &bad_range), &["nonsense"]);
    let foreign = cluster.scratch().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("photo"), "mine").unwrap();
    let purge = ["down", "--purge", "--state-dir", &path(&foreign)];
    refused(corten(&cluster, &purge), &["does not look like a state directory", "nothing is removed"]);
    let left: Vec<_> = std::fs::read_dir(&foreign).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["photo"], "nothing is added either");
    let file = cluster.scratch().join("a-file");
    std::fs::write(&file, "x").unwrap();
    refused(start("6445", &path(&file)), &["a-file"]);
    refused(corten(&cluster, &["kube-scheduler", "--kubeconfig", "/no/such/file"]), &["/no/such/file"]);
    not_root(&cluster);
    missing_package(&cluster);
    taken_ports(&cluster);
    assert_eq!(corten(&cluster, &["down", "--state-dir", "/no/such/dir"]).code, Some(0));
    // The one that ran all along was not disturbed.
    let count =
        with_client(
            &cluster,
            As::Admin,
            |client| async move { maps(&client).list(&ListParams::default()).await },
        );
    count.unwrap();
    cluster.down().unwrap();
}

fn not_root(cluster: &Cluster) {
    // Where the binary lies, others may not look; so it gets a copy that they can run.
    let dir = cluster.scratch().join("nobody");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = dir.join("corten");
    std::fs::copy(CORTEN, &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]).arg(&program);
    command.args(["up", "--state-dir", &path(&dir.join("state"))]).current_dir("/");
    refused(run(command, b"", LIMIT), &["root"]);
    assert!(!dir.join("state").exists(), "nothing is made before the check");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]).arg(&program);
    command.args(["up", "--name", "x", "--clusters-dir", &path(&dir.join("clusters"))]).current_dir("/");
    refused(run(command, b"", LIMIT), &["corten up must be run as root"]);
    assert!(!dir.join("clusters").exists(), "nothing is made before the check");
    // What it cannot see is not told as if it were not there.
    for words in [&["status"][..], &["list"], &["images", "list"], &["status", "--name", "x"]] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]).arg(&program);
        command.args(words).current_dir("/");
        refused(run(command, b"", LIMIT), &[&format!("corten {} must be run as root", words[0])]);
    }
}

/// A machine on which the program of the package is hidden.
fn missing_package(cluster: &Cluster) {
    for (program, package) in [("containerd", "containerd"), ("nft", "nftables")] {
        let state = path(&cluster.scratch().join("missing"));
        let hide = format!(
            "for d in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do \
             [ -e $d/{program} ] && mount --bind /dev/null $d/{program}; done; exec \"$@\""
        );
        let mut command = cluster.command("unshare".as_ref());
        command.args(["--mount", "sh", "-c", &hide, "sh", CORTEN, "up", "--state-dir", &state]);
        refused(
            run(command, b"", LIMIT),
            &[&format!("{program} is not installed"), "apt-get install", package],
        );
    }
}

#[test]
fn a_start_that_fails_leaves_nothing_running() {
    let mut cluster = Cluster::prepare(CORTEN, Mode::Up).unwrap();
    let settings = cluster.state().join("settings.json");
    let taken = |port: u16| cluster.netns().inside(|| TcpListener::bind(("0.0.0.0", port)).unwrap()).unwrap();
    // Seen before anything is made.
    let kubelet = taken(10250);
    let me = format!("process {}", std::process::id());
    refused(run(cluster.server_command(), b"", LIMIT), &["port 10250 is taken by", &me, "--kubelet-port"]);
    assert!(!cluster.state().exists(), "nothing is made");
    drop(kubelet);
    // Seen by the server in the background.
    let api = taken(6443);
    refused(run(cluster.server_command(), b"", LIMIT), &["port 6443 is taken", "--secure-port"]);
    assert_eq!(cluster.left_running(), [""; 0]);
    // It had not come far, and can be removed all the same.
    corten(&cluster, &["down", "--purge", "--state-dir", &path(&cluster.state())]).ok();
    assert!(!cluster.state().exists(), "nothing is left");
    refused(run(cluster.server_command(), b"", LIMIT), &["port 6443 is taken", "--secure-port"]);
    drop(api);
    // Seen when the node's containerd, its network and its rules are there already.
    let in_the_way = cluster.state().join("pod-logs");
    std::fs::write(&in_the_way, "x").unwrap();
    refused(run(cluster.server_command(), b"", LIMIT), &[&path(&in_the_way)]);
    assert!(cluster.state().join("containerd").exists(), "it came as far as that");
    assert!(!settings.exists(), "there is nothing left for corten down");
    assert_eq!(cluster.left_running(), [""; 0]);
    std::fs::remove_file(&in_the_way).unwrap();
    cluster.start_server().unwrap();
    damaged_notes(&cluster, &settings);
    cluster.down().unwrap();
}

/// Notes of what runs that cannot be read are not taken for none.
fn damaged_notes(cluster: &Cluster, settings: &Path) {
    let good = std::fs::read(settings).unwrap();
    std::fs::write(settings, "").unwrap();
    let state = path(&cluster.state());
    let said = corten(cluster, &["down", "--purge", "--state-dir", &state]);
    refused(said, &[&path(settings), "is damaged", "corten up --state-dir"]);
    assert!(cluster.state().join("store.redb").exists(), "the data is removed while pods may run");
    std::fs::write(settings, good).unwrap();
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

fn big_map(name: &str, bytes: usize) -> ConfigMap {
    let value = serde_json::json!({"metadata": {"name": name}, "data": {"k": "v".repeat(bytes)}});
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_store_that_is_not_ours_is_refused_and_kept() {
    let mut cluster = start_api();
    with_client(&cluster, As::Admin, |client| async move {
        maps(&client).create(&PostParams::default(), &big_map("kept", 10)).await.unwrap();
    });
    let stopped = cluster.stop_server().unwrap();
    assert_eq!(stopped.code, Some(0), "SIGTERM stops cleanly: {stopped}");
    let store = cluster.state().join("store.redb");
    let good = std::fs::read(&store).unwrap();
    let random: Vec<u8> = (0..good.len()).map(|n| (n * 7919 % 251) as u8).collect();
    let contents: [(&str, Vec<u8>); 4] = [
        ("a text", b"this is not a store\n".repeat(1000)),
        ("another database", b"SQLite format 3\0".repeat(4096)),
        ("damaged from the first byte on", random),
        ("cut off", good[..good.len() / 3].to_vec()),
    ];
    for (what, bytes) in contents {
        std::fs::write(&store, &bytes).unwrap();
        let output = run(cluster.server_command(), b"", LIMIT);
        eprintln!("{what}: {}", output.stderr.trim());
        refused(output, &["store.redb"]);
        assert!(std::fs::read(&store).unwrap() == bytes, "{what}: the file was changed");
    }
    damaged_in_the_middle(&cluster, &store, &good);
    std::fs::write(&store, &good).unwrap();
    cluster.start_server().unwrap();
    let kept = with_client(&cluster, As::Admin, |client| async move { maps(&client).get("kept").await });
    kept.unwrap();
    cluster.down().unwrap();
}

/// Damage that an open may not see must not be served as if it were right, and must not crash the server.
fn damaged_in_the_middle(cluster: &Cluster, store: &Path, good: &[u8]) {
    let mut bytes = good.to_vec();
    let (from, to) = (4096.min(bytes.len()), bytes.len());
    bytes[from..to].fill(0xa5);
    std::fs::write(store, &bytes).unwrap();
    let output = run(cluster.server_command(), b"", LIMIT);
    one_line(&output, &["store.redb", "damaged", "restore it from a backup"]);
    assert!(std::fs::read(store).unwrap() == bytes, "the file was changed");
}

/// One line besides the log: what is wrong, and what to do.
#[track_caller]
fn one_line(output: &Output, texts: &[&str]) {
    assert!(output.code.is_some_and(|code| code != 0), "{output}");
    let said: Vec<&str> = output.stderr.lines().filter(|line| !is_log(line)).collect();
    assert_eq!(said.len(), 1, "{output}");
    for text in texts {
        assert!(said[0].contains(text), "no {text:?} in {output}");
    }
}

/// A line of the log begins with its time.
fn is_log(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_digit())
}

#[test]
fn every_bad_store_file_gets_one_line() {
    let mut cluster = start_api();
    cluster.stop_server().unwrap();
    let store = cluster.state().join("store.redb");
    let good = std::fs::read(&store).unwrap();
    // One bit wherever the name of an object stands; not all of these places are in use.
    let mut flipped = good.clone();
    let name = b"kube-public";
    let places: Vec<usize> = (0..good.len()).filter(|at| good[*at..].starts_with(name)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| flipped[at] ^= 1);
    let damaged: &[&str] = &["store.redb", "damaged", "restore it from a backup"];
    let foreign: &[&str] = &["store.redb", "not a Corten store", "choose another state directory"];
    let contents: [(&str, Vec<u8>, &[&str]); 5] = [
        ("empty", Vec::new(), damaged),
        ("cut in its head", good[..100].to_vec(), damaged),
        ("cut off", good[..good.len() - 5000].to_vec(), damaged),
        ("flipped bits", flipped, damaged),
        ("foreign", b"SQLite format 3\0".repeat(512), foreign),
    ];
    for (what, bytes, texts) in contents {
        std::fs::write(&store, &bytes).unwrap();
        let output = run(cluster.server_command(), b"", LIMIT);
        eprintln!("{what}: {}", output.stderr.trim());
        one_line(&output, texts);
        assert!(std::fs::read(&store).unwrap() == bytes, "{what}: the file was changed");
    }
    std::fs::remove_file(&store).unwrap();
    std::fs::create_dir(&store).unwrap();
    one_line(&run(cluster.server_command(), b"", LIMIT), &["store.redb", "is a directory"]);
    std::fs::remove_dir(&store).unwrap();
    std::fs::write(&store, &good).unwrap();
    read_only(&cluster, &store);
    cluster.start_server().unwrap();
    cluster.down().unwrap();
}

/// The file on a read-only mount, and as a user who may not open it.
fn read_only(cluster: &Cluster, store: &Path) {
    let state = path(&cluster.state());
    let script = format!("mount --bind {0} {0} && mount -o remount,ro,bind {0} && exec \"$@\"", path(store));
    let start =
        ["kube-apiserver", "--secure-port", "6447", "--bind-address", "127.0.0.1", "--state-dir", &state];
    let mut command = cluster.command("unshare".as_ref());
    command.args(["--mount", "sh", "-c", &script, "sh", CORTEN]).args(start);
    one_line(&run(command, b"", LIMIT), &["store.redb", "read-only file system"]);
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let mut cluster = Cluster::prepare(CORTEN, Mode::ApiServer).unwrap();
    let state = cluster.state();
    std::fs::create_dir(&state).unwrap();
    let disk = Disk::mount(&state, "24m");
    cluster.start_server().unwrap();
    let acknowledged = with_client(&cluster, As::Admin, |client| async move {
        let api = maps(&client);
        let mut acknowledged = Vec::new();
        for n in 0..200 {
            let name = format!("big-{n:03}");
            match api.create(&PostParams::default(), &big_map(&name, 500_000)).await {
                Ok(_) => acknowledged.push(name),
                Err(kube::Error::Api(status)) => {
                    eprintln!("after {n}: {} {} {}", status.code, status.reason, status.message);
                    assert!(status.code >= 500, "{status:?}");
                    let message = status.message.to_lowercase();
                    assert!(message.contains("space") || message.contains("full"), "{status:?}");
                    assert!(n > 0, "at least one fits");
                    // Reads go on, and a second write is refused too, not hung.
                    let list = api.list(&ListParams::default()).await.unwrap();
                    assert!(list.items.len() >= n);
                    let again = api.create(&PostParams::default(), &big_map("again", 900_000)).await;
                    assert!(matches!(&again, Err(kube::Error::Api(s)) if s.code >= 500), "{again:?}");
                    return acknowledged;
                }
                Err(other) => panic!("after {n}: {other}"),
            }
        }
        panic!("200 objects of 500 kB fit on 24 MB");
    });
    let kubectl = testkit::kubectl::newest().unwrap();
    // Health may say that nothing can be written; what is there is served all the same.
    cluster.kubectl(&kubectl, &["get", "configmaps"]).ok();
    cluster.kill_server().unwrap();
    disk.grow("200m");
    cluster.start_server().unwrap();
    assert_eq!(cluster.kubectl(&kubectl, &["get", "--raw", "/livez"]).ok(), "ok");
    let names = with_client(&cluster, As::Admin, |client| async move {
        let list = maps(&client).list(&ListParams::default()).await.unwrap();
        let names: Vec<String> = list.items.into_iter().filter_map(|m| m.metadata.name).collect();
        maps(&client).create(&PostParams::default(), &big_map("after", 500_000)).await.unwrap();
        names
    });
    for name in &acknowledged {
        assert!(names.contains(name), "{name} was acknowledged and is lost");
    }
    cluster.kill_server().unwrap();
    drop(disk);
    // What is left is an empty directory, which `corten down` would rightly not take for a cluster's.
    std::fs::remove_dir(&state).unwrap();
    cluster.down().unwrap();
}

/// A small file system, unmounted on drop.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(dir: &Path, size: &str) -> Self {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir);
        run(command, b"", LIMIT).ok();
        Disk(dir.to_owned())
    }

    fn grow(&self, size: &str) {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,size={size}")]).arg(&self.0);
        run(command, b"", LIMIT).ok();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        command.arg("--lazy").arg(&self.0);
        let output = run(command, b"", LIMIT);
        if output.code != Some(0) {
            eprintln!("{output}");
        }
    }
}
