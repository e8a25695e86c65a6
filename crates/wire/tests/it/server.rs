//! Plain HTTP: bodies, limits, panics, streams, shutdown.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use meta::{Admission, Body, Credentials, Decision, Identity, Proof, Response, Status, Target, Verb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::harness::{config, connect, get, request, send, start, start_with, whole};

/// Says what it was asked.
async fn echo(r: meta::Request) -> Response {
    let credentials = match &r.credentials {
        _ if r.admission.is_some() => {
            format!("known {}", r.admission.iter().map(|a| &*a.user().name).collect::<String>())
        }
        Credentials::None => "none".to_owned(),
        Credentials::Bearer(t) => format!("bearer {t}"),
        Credentials::Certificate(der) => format!("certificate {}", der.len()),
        Credentials::Internal(u) => format!("internal {}", u.name),
    };
    let what = match &r.target {
        Target::Path(p) => p.clone(),
        Target::Resource { gvr, name, .. } => format!("{gvr} {name}"),
    };
    let Some(size) = r.query.get("size") else {
        let text = format!("{} {what} [{credentials}] {}", r.verb.as_str(), r.body.len());
        return Response::text(200, text);
    };
    if r.query.get("packed").is_some() {
        let mut response = Response::json(200, vec![b'z'; size.parse().expect("a number")]);
        if let Some(coding) = r.header("accept-encoding") {
            response.headers.push(("content-encoding", coding.to_owned()));
        }
        return response;
    }
    if let Some(value) = r.query.get("caching") {
        let mut response = Response::text(200, "kept");
        response.headers.push(("cache-control", value.to_owned()));
        return response;
    }
    let size: usize = size.parse().expect("a number");
    let mut response = Response::json(200, vec![b'x'; size]);
    if r.query.get("chunks").is_some() {
        response.body = Body::Chunks(vec![Bytes::from(vec![b'x'; 100]); size / 100]);
    }
    response
}

#[tokio::test]
async fn requests_reach_the_handler_and_answers_come_back() {
    let server = start(config(), echo).await;
    let mut c = connect(server.address).await;
    for (method, uri, header, body, want) in [
        ("GET", "/healthz", ("x-a", "b"), "", "get /healthz [none] 0"),
        ("POST", "/api/v1/pods", ("authorization", "Bearer t0"), "abc", "create v1/pods  [bearer t0] 3"),
        ("DELETE", "/api/v1/nodes/n%31", ("authorization", "Basic x"), "", "delete v1/nodes n1 [none] 0"),
    ] {
        let mut r = request(method, uri, body);
        r.headers_mut().insert(header.0, header.1.parse().expect("a value"));
        let answer = c.send_request(r).await.expect("an answer");
        assert_eq!(answer.headers()["cache-control"], "no-cache, private");
        assert_eq!(answer.headers()["audit-id"].len(), 36);
        assert_eq!(whole(answer).await, (200, Bytes::from(want)), "{method} {uri}");
    }
    assert_eq!(get(server.address, "/a%zz").await.0, 400);
    let kept = send(server.address, request("GET", "/x?size=1&caching=public", "")).await;
    let all: Vec<_> = kept.headers().get_all("cache-control").iter().collect();
    assert_eq!(all, ["public"]);
    let head = send(server.address, request("HEAD", "/x?size=1234", "")).await;
    assert_eq!(head.headers()["content-length"], "1234");
    assert!(whole(head).await.1.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn large_answers_whole_chunked_and_compressed() {
    let server = start(config(), echo).await;
    for (query, gzip) in [
        ("size=5000000", false),
        ("size=5000000&chunks=1", false),
        ("size=500000", true),
        ("size=500000&chunks=1", true),
    ] {
        let mut r = request("GET", &format!("/api/v1/pods?{query}"), "");
        if gzip {
            r.headers_mut().insert("accept-encoding", "gzip".parse().expect("a value"));
        }
        let answer = send(server.address, r).await;
        assert_eq!(answer.headers().get("content-encoding").is_some(), gzip);
        assert_eq!(answer.headers().get("content-length").is_some(), !gzip);
        let (code, body) = whole(answer).await;
        let mut plain = Vec::new();
        if gzip {
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("gzip");
        } else {
            plain.extend_from_slice(&body);
        }
        let want = if gzip { 500_000 } else { 5_000_000 };
        assert_eq!((code, plain.len()), (200, want), "{query}");
    }
    // What is packed already goes out as it is, to those who want it so.
    for (accept, want) in [("br, gzip;q=0.5", Some("gzip")), ("br", None)] {
        let mut r = request("GET", "/x?size=500000&packed=1", "");
        r.headers_mut().insert("accept-encoding", accept.parse().expect("a value"));
        let answer = send(server.address, r).await;
        let coding = answer.headers().get("content-encoding").map(|v| v.to_str().expect("text").to_owned());
        assert_eq!(coding.as_deref(), want);
        assert_eq!(whole(answer).await.1.len(), 500_000);
    }
    let mut small = request("GET", "/x?size=1000", "");
    small.headers_mut().insert("accept-encoding", "gzip".parse().expect("a value"));
    assert!(send(server.address, small).await.headers().get("content-encoding").is_none());
    server.stop().await;
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused() {
    let mut config = config();
    config.limits.body_bytes = 100_000;
    let server = start(config, echo).await;
    let (code, _) = whole(send(server.address, request("POST", "/x", vec![0; 100_000])).await).await;
    assert_eq!(code, 200);
    let (code, body) = whole(send(server.address, request("POST", "/x", vec![0; 3_000_000])).await).await;
    assert_eq!(code, 413);
    assert!(Status::from_json(&body).expect("a Status").is("RequestEntityTooLarge"));
    // Without a length it is found out on the way.
    let mut socket = TcpStream::connect(server.address).await.expect("connects");
    let head = b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    socket.write_all(head).await.expect("sends");
    for _ in 0..3 {
        let mut chunk = b"C350\r\n".to_vec();
        chunk.resize(6 + 0xC350, b'x');
        chunk.extend_from_slice(b"\r\n");
        socket.write_all(&chunk).await.expect("sends");
    }
    socket.write_all(b"0\r\n\r\n").await.expect("sends");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    server.stop().await;
}

/// Lets nobody in but those with the token `good`, whom it marks.
struct Gate;

impl meta::Handler for Gate {
    fn handle(&self, r: meta::Request) -> meta::BoxFuture<'_, Response> {
        Box::pin(echo(r))
    }

    fn admit<'a>(
        &'a self,
        r: &'a meta::Request,
    ) -> meta::BoxFuture<'a, Result<Option<Arc<Admission>>, Response>> {
        let admission = || Admission {
            identity: Arc::new(Identity { user: meta::User::new("known", &[]), proof: Proof::None }),
            impersonator: None,
            audit_id: "its-id".to_owned(),
            decision: Decision::Allow(String::new()),
            ticket: None,
        };
        let good = matches!(&r.credentials, Credentials::Bearer(token) if token == "good");
        let answer = if good { Ok(Some(Arc::new(admission()))) } else { Err(Status::unauthorized().into()) };
        Box::pin(std::future::ready(answer))
    }
}

#[tokio::test]
async fn who_may_not_ask_has_no_body_read() {
    let mut config = config();
    // Nobody's body has room: whoever is let in is told so, and who is not never gets as far.
    config.limits.buffered_body_bytes = 0;
    let server = start_with(config, Arc::new(Gate)).await;
    for (token, length, want) in [
        ("bad", 1_000_000, 401),
        ("bad", 10, 401),
        ("good", 1_000_000, 429),
        ("good", 10, 200),
        ("bad", 0, 200),
    ] {
        let mut r = request("POST", "/x", vec![0; length]);
        r.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a value"));
        let answer = send(server.address, r).await;
        // What the handler called it, also where only this side answers.
        let id =
            answer.headers().get_all("audit-id").iter().map(|id| id.as_bytes().to_vec()).collect::<Vec<_>>();
        match token {
            "good" => assert_eq!(id, [b"its-id"]),
            _ => assert_eq!((id.len(), id[0].len()), (1, 36)),
        }
        let (code, body) = whole(answer).await;
        assert_eq!(code, want, "{token} {length}");
        if (token, code) == ("good", 200) {
            assert!(body.windows(11).any(|w| w == b"known known"), "{body:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn bodies_of_all_requests_together_are_bounded() {
    let mut config = config();
    config.limits.buffered_body_bytes = 150_000;
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, go) = (Arc::clone(&entered), Arc::clone(&release));
    let server = start(config, move |r: meta::Request| {
        let (enter, go) = (Arc::clone(&enter), Arc::clone(&go));
        async move {
            if r.target == Target::Path("/wait".into()) {
                enter.notify_one();
                go.notified().await;
            }
            Response::text(200, "fine")
        }
    })
    .await;
    let address = server.address;
    let waiting =
        tokio::spawn(
            async move { whole(send(address, request("POST", "/wait", vec![0; 120_000])).await).await },
        );
    entered.notified().await;
    for (length, want) in [(16_000, 200), (120_000, 429), (40_000, 200)] {
        let answer = send(address, request("POST", "/x", vec![0; length])).await;
        assert_eq!(answer.headers().contains_key("retry-after"), want == 429, "{length}");
        assert_eq!(whole(answer).await.0, want, "{length}");
    }
    release.notify_one();
    assert_eq!(waiting.await.expect("no panic").0, 200);
    let (code, _) = whole(send(address, request("POST", "/x", vec![0; 120_000])).await).await;
    assert_eq!(code, 200, "there is room again");
    server.stop().await;
}

#[tokio::test]
async fn slow_bodies_and_slow_handlers_end() {
    let mut config = config();
    config.limits.body_time = Duration::from_millis(50);
    config.limits.request_time = Duration::from_millis(50);
    let server = start(config, |_| std::future::pending()).await;
    let mut socket = TcpStream::connect(server.address).await.expect("connects");
    socket.write_all(b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").await.expect("sends");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let (code, body) = get(server.address, "/x").await;
    assert_eq!(code, 504);
    assert_eq!(
        Status::from_json(&body).expect("a Status").message,
        "Timeout: request did not complete within the allotted timeout"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_panic_ends_one_request() {
    let server = start(config(), |r: meta::Request| async move {
        assert_ne!(r.target, Target::Path("/bad".into()), "told to panic");
        Response::text(200, "fine")
    })
    .await;
    let mut c = connect(server.address).await;
    let (code, body) = whole(c.send_request(request("GET", "/bad", "")).await.expect("answers")).await;
    assert_eq!(code, 500);
    assert!(Status::from_json(&body).expect("a Status").is("InternalError"));
    let (code, _) = whole(c.send_request(request("GET", "/good", "")).await.expect("answers")).await;
    assert_eq!(code, 200);
    server.stop().await;
}

#[tokio::test]
async fn watch_frames_go_out_at_once_and_end_with_the_server() {
    let (tx, rx) = mpsc::channel::<Bytes>(8);
    let rx = Arc::new(parking_lot::Mutex::new(Some(rx)));
    let server = start(config(), move |r: meta::Request| {
        let rx = rx.lock().take();
        async move {
            assert_eq!(r.verb, Verb::Watch);
            let events = stream::unfold(rx.expect("one watch"), |mut rx| async move {
                rx.recv().await.map(|b| (Ok(b), rx))
            });
            Response::new(200, "application/json", Body::Stream(events.boxed()))
        }
    })
    .await;
    let answer = send(server.address, request("GET", "/api/v1/pods?watch=1", "")).await;
    let mut body = answer.into_body();
    for text in ["one\n", "two\n"] {
        tx.send(Bytes::from(text)).await.expect("the watch is open");
        let frame = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), text);
    }
    server.stop().await;
    assert!(body.frame().await.is_none(), "a clean end");
}

#[tokio::test]
async fn a_failed_stream_cuts_the_connection() {
    let server = start(config(), |_| async {
        let events = stream::iter([Ok(Bytes::from("one\n")), Err(Status::expired("too old"))]);
        Response::new(200, "application/json", Body::Stream(events.boxed()))
    })
    .await;
    let answer = send(server.address, request("GET", "/api/v1/pods?watch=1", "")).await;
    let result = answer.into_body().collect().await;
    assert!(result.is_err(), "the body must not look complete");
    server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_finishes_what_it_has() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (e, r) = (Arc::clone(&entered), Arc::clone(&release));
    let server = start(config(), move |_| {
        let (e, r) = (Arc::clone(&e), Arc::clone(&r));
        async move {
            e.notify_one();
            r.notified().await;
            Response::text(200, "late")
        }
    })
    .await;
    let address = server.address;
    let _idle = connect(address).await;
    let busy = tokio::spawn(get(address, "/x"));
    entered.notified().await;
    let stop = tokio::spawn(server.stop());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    assert_eq!(busy.await.expect("no panic"), (200, Bytes::from("late")));
    stop.await.expect("stops");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let mut config = config();
    config.limits.write_stall_time = Duration::from_millis(100);
    let (dropped_tx, mut dropped) = mpsc::channel::<()>(1);
    let server = start(config, move |_| {
        let held = dropped_tx.clone();
        async move {
            let endless = stream::repeat_with(move || {
                let _ = &held;
                Ok(Bytes::from_static(&[b'x'; 65536]))
            });
            Response::new(200, "text/plain", Body::Stream(endless.boxed()))
        }
    })
    .await;
    let mut socket = TcpStream::connect(server.address).await.expect("connects");
    socket.write_all(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sends");
    let mut first = [0; 100];
    socket.read_exact(&mut first).await.expect("the answer starts");
    server.stop().await;
    drop(socket);
    assert!(dropped.recv().await.is_none(), "nothing holds the stream any more");
}
