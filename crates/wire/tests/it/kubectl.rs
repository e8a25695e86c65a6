//! Stock kubectl against the streams: exec and port-forward. `KUBECTL` names the programs to try, separated by
//! colons; without it the one in PATH is tried. A program that is not there fails the test.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use meta::{Request, Response, Status, Target};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use wire::server::Config;

use crate::harness::{Running, config, start};
use crate::stream::Commands;

const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"default","uid":"1"},
"spec":{"containers":[{"name":"c","image":"i"}]},"status":{"phase":"Running"}}"#;

/// As much of an API server as kubectl asks for before it streams.
async fn answer(r: Request) -> Response {
    match &r.target {
        Target::Path(p) => match p.as_str() {
            "/version" => Response::json(200, r#"{"major":"1","minor":"33","gitVersion":"v1.33.0"}"#),
            "/api" => Response::json(200, r#"{"kind":"APIVersions","versions":["v1"]}"#),
            "/apis" => Response::json(200, r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#),
            "/api/v1" => Response::json(
                200,
                r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods",
                "singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list"]}]}"#,
            ),
            _ => Status::unknown_resource().into(),
        },
        Target::Resource { subresource, .. } if subresource.is_empty() => Response::json(200, POD),
        Target::Resource { .. } => Status::bad_request("Upgrade request required").into(),
    }
}

async fn programs() -> Vec<PathBuf> {
    let named = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
    let mut found = Vec::new();
    for name in named.split(':') {
        let version = Command::new(name).args(["version", "--client"]).stdin(Stdio::null()).output().await;
        match version {
            Ok(out) if out.status.success() => found.push(PathBuf::from(name)),
            _ => panic!("{name} does not run: apt-get install kubernetes-client"),
        }
    }
    found
}

fn kubectl(program: &PathBuf, server: &Running, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .arg(format!("--server=http://{}", server.address))
        .args(["--kubeconfig=/dev/null", "--namespace=default"])
        .arg(format!("--cache-dir={}", std::env::temp_dir().join("wire-kubectl-cache").display()))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn server() -> Running {
    start(Config { upgrader: Some(Arc::new(Commands)), ..config() }, answer).await
}

#[tokio::test]
async fn exec() {
    let server = server().await;
    for program in programs().await {
        let args = ["exec", "-i", "p", "-c", "c", "--", "cat"];
        let mut child = kubectl(&program, &server, &args).spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        let sent: Vec<u8> = (0..500_000u32).map(|i| (i / 11) as u8).collect();
        let write = async {
            // A kubectl that ends early says why below.
            let _ = stdin.write_all(&sent).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output.expect("ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.stdout == sent, "{program:?}: {} bytes; {said}", output.stdout.len());
        assert!(said.contains("500000 bytes"), "{program:?}: {said}");
        assert_eq!(output.status.code(), Some(3), "{program:?}: {said}");
    }
    server.stop().await;
}

#[tokio::test]
async fn port_forward() {
    let server = server().await;
    for program in programs().await {
        let mut child = kubectl(&program, &server, &["port-forward", "p", ":80"]).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next_line().await.expect("reads").expect("says its port");
        let port = line.split([':', ' ']).filter_map(|w| w.parse::<u16>().ok()).find(|p| *p != 80);
        for _ in 0..2 {
            let address = ("127.0.0.1", port.expect("a port"));
            let mut socket = TcpStream::connect(address).await.expect("connects");
            socket.write_all(b"hello").await.expect("writes");
            socket.shutdown().await.expect("ends");
            let mut got = String::new();
            socket.read_to_string(&mut got).await.expect("reads");
            assert_eq!(got, "80:hello", "{program:?}");
        }
        child.kill().await.expect("ends");
    }
    server.stop().await;
}
