//! Running probes.
// k8s: pkg/kubelet/prober/prober.go

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, GRPCAction, HTTPGetAction, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use wire::get;

use super::Shared;
use crate::spec::PodExt;
use crate::worker::probes::{Kind, Verdict, probe_of};

/// Bytes of output kept in messages.
const OUTPUT_LIMIT: usize = 10 << 10;

/// Runs a probe once, within its timeout.
pub(super) async fn probe(shared: &Shared, pod: &Pod, name: &str, id: &str, kind: Kind, ip: &str) -> Verdict {
    let Some(spec) = pod.container(name) else { return Verdict::Error("no such container".to_owned()) };
    let Some(p) = probe_of(&spec, kind) else { return Verdict::Error("no such probe".to_owned()) };
    let seconds = p.timeout_seconds.filter(|s| *s > 0).unwrap_or(1);
    let limit = Duration::from_secs(u64::from(seconds.unsigned_abs()));
    if let Some(e) = &p.exec {
        return exec(shared, id, e.command.clone().unwrap_or_default(), seconds).await;
    }
    if let Some(h) = &p.http_get {
        let (Some(port), host) = (port_of(&spec, &h.port), h.host.as_deref().unwrap_or(ip)) else {
            return Verdict::Error("couldn't find the probe's port".to_owned());
        };
        return http(h, host, port, limit).await;
    }
    if let Some(t) = &p.tcp_socket {
        let Some(port) = port_of(&spec, &t.port) else {
            return Verdict::Error("couldn't find the probe's port".to_owned());
        };
        return tcp(t.host.as_deref().unwrap_or(ip), port, limit).await;
    }
    if let Some(g) = &p.grpc {
        return grpc(g, ip, limit).await;
    }
    Verdict::Error("missing probe handler".to_owned())
}

/// A probe's port, by number or by the container's name for it.
pub(super) fn port_of(c: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(n) => *n,
        IntOrString::String(s) => match s.parse() {
            Ok(n) => n,
            Err(_) => c.ports.iter().flatten().find(|p| p.name.as_ref() == Some(s))?.container_port,
        },
    };
    u16::try_from(number).ok().filter(|n| *n > 0)
}

async fn exec(shared: &Shared, id: &str, command: Vec<String>, seconds: i32) -> Verdict {
    let shown = command.join(" ");
    match shared.runtime.exec_sync(id, command, i64::from(seconds)).await {
        Ok(r) => {
            let mut out = r.stdout;
            out.extend_from_slice(&r.stderr);
            out.truncate(OUTPUT_LIMIT);
            if r.exit_code == 0 {
                Verdict::Success
            } else {
                Verdict::Failure(String::from_utf8_lossy(&out).into_owned())
            }
        }
        Err(cri::Error::Timeout { .. }) => {
            Verdict::Failure(format!("command timed out: \"{shown}\" timed out after {seconds}s"))
        }
        Err(e) => Verdict::Error(e.to_string()),
    }
}

async fn http(h: &HTTPGetAction, host: &str, port: u16, limit: Duration) -> Verdict {
    let https = h.scheme.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("https"));
    let headers: Vec<(String, String)> =
        h.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect();
    let ask = get::Get { https, host, port, path: h.path.as_deref().unwrap_or("/"), headers: &headers };
    match get::get(&ask, limit).await {
        Ok((code, _)) if (200..400).contains(&code) => Verdict::Success,
        Ok((code, _)) => Verdict::Failure(format!("HTTP probe failed with statuscode: {code}")),
        Err(why) => Verdict::Failure(why),
    }
}

async fn tcp(host: &str, port: u16, limit: Duration) -> Verdict {
    let shown = get::join(host, port);
    match tokio::time::timeout(limit, tokio::net::TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Verdict::Success,
        Ok(Err(e)) => Verdict::Failure(format!("dial tcp {shown}: {}", get::dial_error(&e))),
        Err(_) => Verdict::Failure(format!("dial tcp {shown}: i/o timeout")),
    }
}

async fn grpc(g: &GRPCAction, ip: &str, limit: Duration) -> Verdict {
    let Ok(port) = u16::try_from(g.port) else { return Verdict::Error("invalid port".to_owned()) };
    let target = get::join(ip, port);
    match cri::health::check(&target, g.service.as_deref().unwrap_or_default(), limit).await {
        Ok(cri::health::SERVING) => Verdict::Success,
        Ok(other) => {
            let word = cri::health::word(other);
            Verdict::Failure(format!("service unhealthy (responded with \"{word}\")"))
        }
        Err(why) => Verdict::Failure(why),
    }
}
