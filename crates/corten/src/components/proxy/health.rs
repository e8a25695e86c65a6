//! Listens at the health check ports of Services, for load balancers that choose among nodes. What is said is decided
//! in `proxy::health`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use control::{CancellationToken, Context};
use meta::{BoxFuture, Handler, Request, Response};
use proxy::health::Check;
use tokio::net::TcpListener;
use tokio::sync::watch;
use wire::server::{Config, serve};

/// The open ports.
#[derive(Default)]
pub(super) struct Ports(BTreeMap<u16, Port>);

struct Port {
    say: watch::Sender<Check>,
    /// Closes it when it is dropped.
    _close: tokio_util::sync::DropGuard,
}

impl Ports {
    /// Opens and closes ports as wanted, and says the new words at the others. A port that is taken is tried again
    /// with the next change.
    pub(super) async fn sync(&mut self, ctx: &Context, want: BTreeMap<u16, Check>) {
        self.0.retain(|port, _| want.contains_key(port));
        for (port, check) in want {
            if let Some(open) = self.0.get(&port) {
                open.say.send_replace(check);
                continue;
            }
            let Check { namespace, service, .. } = &check;
            match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
                Ok(listener) => {
                    let open = Port::open(ctx, listener, check);
                    self.0.insert(port, open);
                }
                Err(e) => tracing::error!("health check port {port} of Service {namespace}/{service}: {e}"),
            }
        }
    }
}

impl Port {
    fn open(ctx: &Context, listener: TcpListener, check: Check) -> Self {
        let (say, said) = watch::channel(check);
        let stop: CancellationToken = ctx.stop.child_token();
        let handler = Arc::new(Said(said));
        tokio::spawn(serve(
            listener,
            Config::plain(ctx.clock.clone()),
            handler,
            stop.clone().cancelled_owned(),
        ));
        Port { say, _close: stop.drop_guard() }
    }
}

/// Says the same at every path.
struct Said(watch::Receiver<Check>);

impl Handler for Said {
    fn handle(&self, _: Request) -> BoxFuture<'_, Response> {
        let check = self.0.borrow().clone();
        let mut response = Response::json(check.code(), check.body());
        response.headers.push(("x-content-type-options", "nosniff".to_owned()));
        response.headers.push(("x-load-balancing-endpoint-weight", check.endpoints.to_string()));
        Box::pin(std::future::ready(response))
    }
}
