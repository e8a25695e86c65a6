//! What the end-to-end tests do all the time: kubectl in one namespace of one cluster.

use std::time::Duration;

use serde_json::Value;
use testkit::cluster::{Cluster, HOST, KUBECTL_LIMIT, Mode, http};
use testkit::kubectl::Kubectl;
use testkit::wait::{Output, Running, wait_for};

/// Where the example's files are, seen from the workspace's root.
pub const EXAMPLE: &str = "examples/webapp";
/// The example's image.
pub const IMAGE: &str = "registry.test/webapp:1";
/// How long something that happens by itself may take.
pub const SOON: Duration = Duration::from_secs(60);

/// The binary under test.
pub const CORTEN: &str = env!("CARGO_BIN_EXE_corten");

/// A cluster with a node; panics with the end of its log when it does not start.
pub fn start() -> Cluster {
    Cluster::start(CORTEN, Mode::Up).unwrap_or_else(|error| panic!("{error:#}"))
}

/// An API server alone.
pub fn start_api() -> Cluster {
    Cluster::start(CORTEN, Mode::ApiServer).unwrap_or_else(|error| panic!("{error:#}"))
}

/// One kubectl in one namespace.
pub struct Session<'a> {
    pub cluster: &'a Cluster,
    pub kubectl: Kubectl,
    pub namespace: String,
}

impl<'a> Session<'a> {
    /// Makes the namespace and waits for its service account.
    pub fn new(cluster: &'a Cluster, kubectl: &Kubectl, namespace: &str) -> Self {
        let session = Session { cluster, kubectl: kubectl.clone(), namespace: namespace.to_owned() };
        session.ok(&format!("create namespace {namespace}"));
        wait_for("the service account of the namespace", SOON, || {
            let output = session.run("get serviceaccount default");
            if output.code == Some(0) { Ok(()) } else { Err(output.stderr) }
        });
        session
    }

    /// The newest kubectl.
    pub fn newest(cluster: &'a Cluster, namespace: &str) -> Self {
        let kubectl = testkit::kubectl::newest().unwrap_or_else(|error| panic!("{error:#}"));
        Self::new(cluster, &kubectl, namespace)
    }

    fn words<'w>(&'w self, words: &[&'w str]) -> Vec<&'w str> {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(words);
        all
    }

    /// Runs kubectl with words that hold no blanks themselves.
    pub fn run(&self, line: &str) -> Output {
        self.words_run(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs kubectl with any words.
    pub fn words_run(&self, words: &[&str]) -> Output {
        self.cluster.kubectl(&self.kubectl, &self.words(words))
    }

    /// Runs kubectl with stdin.
    pub fn run_with(&self, line: &str, stdin: &[u8]) -> Output {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.cluster.kubectl_with(&self.kubectl, &self.words(&words), stdin, KUBECTL_LIMIT)
    }

    /// Starts kubectl in the background.
    pub fn start(&self, line: &str) -> Running {
        let words: Vec<&str> = line.split_whitespace().collect();
        Running::start(self.cluster.kubectl_command(&self.kubectl, &self.words(&words)))
    }

    /// Runs kubectl, which must succeed; its stdout.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        self.run(line).ok()
    }

    /// Runs kubectl, which must fail; its stderr.
    #[track_caller]
    pub fn fails(&self, line: &str) -> String {
        self.run(line).fails()
    }

    /// Succeeds and says all of the texts.
    #[track_caller]
    pub fn says(&self, line: &str, texts: &[&str]) -> String {
        let output = self.run(line);
        let shown = output.to_string();
        let stdout = output.ok();
        for text in texts {
            assert!(stdout.contains(text), "no {text:?} in\n{shown}");
        }
        stdout
    }

    /// An object, or a list of them, as JSON.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        let text = self.ok(&format!("{line} -o json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    }

    /// Applies a manifest that is given as text.
    #[track_caller]
    pub fn apply(&self, manifest: &str) -> String {
        // With a document's start in front, old kubectls do not take YAML that begins with a brace for JSON.
        self.run_with("apply -f -", format!("---\n{manifest}").as_bytes()).ok()
    }

    /// Applies the example and waits until it is rolled out.
    #[track_caller]
    pub fn apply_example(&self) {
        self.ok(&format!("apply -f {EXAMPLE}"));
        self.ok("rollout status deployment/webapp --timeout=90s");
    }

    /// Pods with a label that are Ready and not on their way out.
    pub fn ready_pods(&self, label: &str) -> Vec<Value> {
        let list = self.json(&format!("get pods -l {label}"));
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().filter(is_ready).collect()
    }

    /// Waits for exactly so many ready pods, and no others.
    #[track_caller]
    pub fn wait_for_ready(&self, label: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} ready pods of {label}"), SOON, || {
            let list = self.json(&format!("get pods -l {label}"));
            let items = list["items"].as_array().cloned().unwrap_or_default();
            let ready: Vec<Value> = items.iter().filter(|pod| is_ready(pod)).cloned().collect();
            if ready.len() == count && items.len() == count {
                return Ok(ready);
            }
            Err(items.iter().map(|pod| format!("{} {}\n", name(pod), pod["status"])).collect())
        })
    }

    /// Waits until kubectl says the text.
    #[track_caller]
    pub fn wait_for_text(&self, line: &str, text: &str) -> String {
        wait_for(&format!("{text:?} from kubectl {line}"), SOON, || {
            let output = self.run(line);
            if output.stdout.contains(text) { Ok(output.stdout) } else { Err(output.to_string()) }
        })
    }

    /// A request from the host to the NodePort.
    pub fn node_port(&self, port: u16, path: &str) -> Result<(u16, String), String> {
        self.http("GET", &format!("{HOST}:{port}"), path)
    }

    /// A request from the host.
    pub fn http(&self, method: &str, address: &str, path: &str) -> Result<(u16, String), String> {
        let ask = || http(method, address, path, Duration::from_secs(5));
        let answer = self.cluster.netns().inside(ask).map_err(|e| format!("{e:#}"))?;
        answer.map_err(|e| format!("{e:#}"))
    }
}

/// Whether a pod's condition says so and it is not on its way out.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

/// An object's name.
pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// A pod's address.
pub fn pod_ip(pod: &Value) -> String {
    pod["status"]["podIP"].as_str().unwrap_or_default().to_owned()
}

/// How often a pod's containers were restarted.
pub fn restarts(pod: &Value) -> u64 {
    let containers = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
    containers.iter().filter_map(|c| c["restartCount"].as_u64()).sum()
}
