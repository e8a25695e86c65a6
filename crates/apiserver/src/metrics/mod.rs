//! Counters and histograms of requests under Kubernetes' metric names, as Prometheus text.

mod process;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use kinds::Kind;
use meta::{Request, Target, Verb};
use parking_lot::Mutex;

/// Upper bounds in seconds, as upstream's.
const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Most different label sets kept.
const LIMIT_SERIES: usize = 8192;

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    pub verb: &'static str,
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub resource: Cow<'static, str>,
    pub subresource: Cow<'static, str>,
    /// `namespace`, `cluster`, `resource` or empty.
    pub scope: &'static str,
}

impl Series {
    /// The labels of a request for a resource that this kind is served as. Only resources, subresources and verbs that are served have a series of their own: what
    /// clients make up must not fill the memory or push others out.
    #[must_use]
    pub fn of(request: &Request, kind: Option<&Kind>) -> Series {
        let mut series = Series {
            verb: "other",
            group: "".into(),
            version: "".into(),
            resource: "".into(),
            subresource: "".into(),
            scope: "",
        };
        let Target::Resource { namespace, name, subresource, .. } = &request.target else {
            series.verb = verb(request.verb);
            return series;
        };
        let Some(kind) = kind else { return series };
        let part = kind.subresource(subresource);
        let is_served = match part {
            Some(part) => request.verb == Verb::Connect || part.verbs.contains(&request.verb.as_str()),
            None => subresource.is_empty() && kind.verbs.contains(&request.verb.as_str()),
        };
        if !is_served {
            return series;
        }
        series.verb = verb(request.verb);
        series.group = kind.group.clone();
        series.version = kind.version.clone();
        series.resource = kind.plural.clone();
        series.subresource = part.map_or("", |part| part.name).into();
        series.scope = match (name.is_empty(), namespace.is_empty()) {
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        series
    }
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
        Verb::Connect => "CONNECT",
        Verb::Unknown => "other",
    }
}

#[derive(Default)]
struct Numbers {
    by_code: HashMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum_seconds: f64,
}

/// All series.
#[derive(Default)]
pub struct Metrics {
    series: Mutex<HashMap<Series, Numbers>>,
}

impl Metrics {
    /// Counts one answered request.
    pub fn observe(&self, series: Series, code: u16, took: Duration) {
        let mut all = self.series.lock();
        if all.len() >= LIMIT_SERIES && !all.contains_key(&series) {
            return;
        }
        let n = all.entry(series).or_default();
        *n.by_code.entry(code).or_default() += 1;
        let seconds = took.as_secs_f64();
        n.count += 1;
        n.sum_seconds += seconds;
        if let Some(at) = BUCKETS.iter().position(|b| seconds <= *b) {
            n.buckets[at] += 1;
        }
    }

    /// Prometheus text format.
    #[must_use]
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut out = String::with_capacity(16 << 10);
        let all = self.series.lock();
        let mut sorted: Vec<(&Series, &Numbers)> = all.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        head(
            &mut out,
            "apiserver_request_total",
            "counter",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
        );
        for (s, n) in &sorted {
            let mut codes: Vec<_> = n.by_code.iter().collect();
            codes.sort();
            for (code, count) in codes {
                let _ = writeln!(
                    out,
                    "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",{}}} {count}",
                    labels(s)
                );
            }
        }
        head(
            &mut out,
            "apiserver_request_duration_seconds",
            "histogram",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
        );
        for (s, n) in sorted.iter().filter(|(s, _)| s.verb != "WATCH") {
            let labels = format!("component=\"apiserver\",dry_run=\"\",{}", labels(s));
            let mut sum = 0;
            for (bound, count) in BUCKETS.iter().zip(n.buckets) {
                sum += count;
                let _ = writeln!(
                    out,
                    "apiserver_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {sum}"
                );
            }
            let _ = writeln!(
                out,
                "apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {}",
                n.count
            );
            let _ = writeln!(out, "apiserver_request_duration_seconds_sum{{{labels}}} {}", n.sum_seconds);
            let _ = writeln!(out, "apiserver_request_duration_seconds_count{{{labels}}} {}", n.count);
        }
        drop(all);
        gauges.render(&mut out);
        process::render(&mut out);
        out
    }
}

/// What is measured when it is asked for.
pub struct Gauges {
    /// Running reads and writes.
    pub inflight: (usize, usize),
    pub started: jiff::Timestamp,
    /// `v1.37.0`.
    pub version: &'static str,
    /// `deployments.apps` with its watchers and its objects.
    pub resources: Vec<(String, usize, usize)>,
}

impl Gauges {
    fn render(&self, out: &mut String) {
        head(
            out,
            "apiserver_current_inflight_requests",
            "gauge",
            "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
        );
        for (kind, n) in [("readOnly", self.inflight.0), ("mutating", self.inflight.1)] {
            let _ = writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {n}");
        }
        head(
            out,
            "apiserver_longrunning_requests",
            "gauge",
            "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
        );
        for (resource, watchers, _) in self.resources.iter().filter(|r| r.1 > 0) {
            let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
            let _ = writeln!(
                out,
                "apiserver_longrunning_requests{{component=\"apiserver\",group=\"{group}\",resource=\"{resource}\",verb=\"WATCH\"}} {watchers}"
            );
        }
        head(
            out,
            "apiserver_storage_objects",
            "gauge",
            "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
        );
        for (resource, _, objects) in &self.resources {
            let _ = writeln!(out, "apiserver_storage_objects{{resource=\"{}\"}} {objects}", escape(resource));
        }
        head(
            out,
            "apiserver_resource_objects",
            "gauge",
            "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
        );
        for (resource, _, objects) in &self.resources {
            let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
            let _ = writeln!(
                out,
                "apiserver_resource_objects{{group=\"{group}\",resource=\"{resource}\"}} {objects}"
            );
        }
        head(
            out,
            "kubernetes_build_info",
            "gauge",
            "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
        );
        let _ = writeln!(
            out,
            "kubernetes_build_info{{git_version=\"{}\",major=\"1\",minor=\"37\"}} 1",
            escape(self.version)
        );
        head(
            out,
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
        );
        let _ = writeln!(out, "process_start_time_seconds {}", self.started.as_second());
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
}

fn labels(s: &Series) -> String {
    format!(
        "group=\"{}\",resource=\"{}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{}\"",
        escape(&s.group),
        escape(&s.resource),
        s.scope,
        escape(&s.subresource),
        s.verb,
        escape(&s.version)
    )
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_served_has_a_series_of_its_own() {
        let of = |verb, resource: &str, subresource: &str| {
            let target = Target::Resource {
                gvr: meta::Gvr {
                    group: "".into(),
                    version: "v1".into(),
                    resource: resource.to_owned().into(),
                },
                namespace: "n".into(),
                name: "x".into(),
                subresource: subresource.into(),
                subpath: String::new(),
            };
            let kind = kinds::by_resource("", "v1", resource);
            let s = Series::of(&Request::new(verb, target), kind);
            format!("{} {}/{} {}", s.verb, s.resource, s.subresource, s.scope)
        };
        for (verb, resource, subresource, want) in [
            (Verb::Get, "pods", "", "GET pods/ resource"),
            (Verb::Patch, "pods", "status", "PATCH pods/status resource"),
            (Verb::Connect, "pods", "exec", "CONNECT pods/exec resource"),
            (Verb::Get, "pods", "made-up", "other / "),
            (Verb::Delete, "pods", "status", "other / "),
            (Verb::Get, "made-up", "", "other / "),
            (Verb::Unknown, "pods", "", "other / "),
            (Verb::Delete, "componentstatuses", "", "other / "),
        ] {
            assert_eq!(of(verb, resource, subresource), want, "{verb:?} {resource} {subresource}");
        }
    }

    #[test]
    fn renders_cumulative_buckets() {
        let m = Metrics::default();
        let s = Series {
            verb: "GET",
            group: "".into(),
            version: "v1".into(),
            resource: "pods".into(),
            subresource: "".into(),
            scope: "resource",
        };
        m.observe(s.clone(), 200, Duration::from_millis(1));
        m.observe(s, 404, Duration::from_millis(30));
        let text = m.render(&Gauges {
            inflight: (1, 2),
            started: jiff::Timestamp::UNIX_EPOCH,
            version: "v1.37.0",
            resources: vec![("pods".into(), 3, 5), ("deployments.apps".into(), 0, 2)],
        });
        for want in [
            "apiserver_request_total{code=\"404\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"pods\"",
            "le=\"0.005\"} 1",
            "le=\"0.05\"} 2",
            "le=\"+Inf\"} 2",
            "request_kind=\"mutating\"} 2",
            "apiserver_longrunning_requests{component=\"apiserver\",group=\"\",resource=\"pods\",verb=\"WATCH\"} 3",
            "apiserver_storage_objects{resource=\"deployments.apps\"} 2",
            "apiserver_resource_objects{group=\"apps\",resource=\"deployments\"} 2",
            "kubernetes_build_info{git_version=\"v1.37.0\"",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
        ] {
            assert!(text.contains(want), "{want}\n{text}");
        }
    }
}
