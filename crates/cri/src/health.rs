//! The gRPC health check of pods' probes (`grpc.health.v1.Health/Check`): here because this crate is the door
//! to gRPC. It must never be asked about the runtime itself.

use std::time::Duration;

use tonic::codegen::http::uri::PathAndQuery;

/// The answer of a service that is well.
pub const SERVING: i32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The protocol's word for an answer.
#[must_use]
pub fn word(status: i32) -> &'static str {
    match status {
        SERVING => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

/// Asks `target` (`host:port`) how `service` (empty: the server as a whole) is, within `limit`.
///
/// Errors: the message of a failed probe.
// k8s: pkg/probe/grpc/grpc.go Probe
pub async fn check(target: &str, service: &str, limit: Duration) -> Result<i32, String> {
    let call = async {
        let endpoint =
            tonic::transport::Endpoint::from_shared(format!("http://{target}")).map_err(|e| e.to_string())?;
        let endpoint = endpoint.user_agent("kube-probe/1.37").map_err(|e| e.to_string())?;
        let channel = endpoint
            .connect()
            .await
            .map_err(|e| format!("timeout: failed to connect service \"{target}\" within {limit:?}: {e}"))?;
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.map_err(|e| e.to_string())?;
        let request = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let codec: tonic_prost::ProstCodec<HealthCheckRequest, HealthCheckResponse> =
            tonic_prost::ProstCodec::default();
        let answer = client.unary(request, path, codec).await;
        answer.map(|r| r.into_inner().status).map_err(|s| format!("error: health rpc probe failed: {s}"))
    };
    match tokio::time::timeout(limit, call).await {
        Ok(r) => r,
        Err(_) => Err(format!("timeout: health rpc did not complete within {limit:?}")),
    }
}
