//! What Remote says when a server is away, breaks off, or wants another token.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, Endpoint, Remote, Token, api};
use jiff::Timestamp;
use meta::{BoxFuture, Credentials, Handler, Request, Response, Status, Target, Verb};
use parking_lot::Mutex;
use sys::ManualClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::server::{Config, serve};

fn remote(address: std::net::SocketAddr, token: Token, clock: Arc<ManualClock>) -> Remote {
    let endpoint = Endpoint { server: format!("http://{address}"), token, ..Endpoint::default() };
    Remote::new(&endpoint, "test/1", clock).expect("a good endpoint")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH))
}

fn get(path: &str) -> Request {
    Request::new(Verb::Get, Target::Path(path.to_owned()))
}

#[tokio::test]
async fn failures_say_whether_it_may_have_happened() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let r = remote(address, Token::None, clock());
    let breaking = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("accepts");
        let mut some = [0; 16];
        socket.read_exact(&mut some).await.expect("a request");
        drop(socket);
        let (mut socket, _) = listener.accept().await.expect("accepts");
        socket.read_exact(&mut some).await.expect("a request");
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await.expect("sends");
    });
    let status = r.send(get("/x")).await.err().expect("no answer");
    assert_eq!(status.code, 504, "{status}");
    let response = r.send(get("/x")).await.expect("a head");
    let status = api::read_body(response).await.expect_err("half a body");
    assert_eq!(status.code, 504, "{status}");
    breaking.await.expect("no panic");
    let status = r.send(get("/x")).await.err().expect("nobody there");
    assert_eq!(status.code, 503);
    let want = format!("GET \"http://{address}/x\": dial tcp {address}: connect: connection refused");
    assert_eq!(status.message, want);
}

/// Remembers the tokens it is shown; answers 401 to the token `old`.
#[derive(Default)]
struct Tokens(Mutex<Vec<(String, String)>>);

impl Handler for Tokens {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        let Credentials::Bearer(token) = request.credentials else {
            return Box::pin(async { Status::unauthorized().into() });
        };
        self.0.lock().push((token.clone(), request.remote_addr));
        Box::pin(async move {
            if token == "old" { Status::unauthorized().into() } else { Response::text(200, "fine") }
        })
    }
}

#[tokio::test]
async fn token_files_are_read_again_and_connections_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let tokens = Arc::new(Tokens::default());
    let handler: Arc<Tokens> = Arc::clone(&tokens);
    tokio::spawn(serve(listener, Config::plain(clock()), handler, std::future::pending()));
    let path = std::env::temp_dir().join(format!("token-{}", sys::uuid_v4(&sys::SystemEntropy)));
    let clock = clock();
    let r = remote(address, Token::File(path.clone()), Arc::clone(&clock));
    assert_eq!(r.send(get("/x")).await.err().expect("no token").code, 503);
    std::fs::write(&path, "one\n").expect("writes");
    let fetch = async || match r.send(get("/x")).await {
        Ok(response) => api::read_body(response).await.map(|_| 200),
        Err(status) => Ok(status.code),
    };
    assert_eq!(fetch().await, Ok(200));
    std::fs::write(&path, "old").expect("writes");
    assert_eq!(fetch().await, Ok(200), "still the first");
    clock.advance(Duration::from_secs(61));
    assert_eq!(fetch().await, Ok(401));
    std::fs::write(&path, "two").expect("writes");
    assert_eq!(fetch().await, Ok(200), "read again after a 401");
    let seen = tokens.0.lock().clone();
    let _ = std::fs::remove_file(&path);
    let names: Vec<&str> = seen.iter().map(|(t, _)| t.as_str()).collect();
    assert_eq!(names, ["one", "one", "old", "two"]);
    assert!(seen.iter().all(|(_, from)| *from == seen[0].1), "one connection: {seen:?}");
}
