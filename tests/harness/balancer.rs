//! What stands before several gateways: a reverse proxy that asks each for `/readyz`, hands requests on in turn, keeps connections
//! to them, and never sends a request twice. So a request that a gateway loses is lost to its client, and the test sees it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Request, Response, body::Incoming, client::conn::http1 as client, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{http::Ask, wait_until};

/// How often each gateway is asked whether it is ready.
const LOOK: Duration = Duration::from_millis(50);

type Body = BoxBody<Bytes, hyper::Error>;
type Sender = client::SendRequest<Full<Bytes>>;

/// See the module.
#[derive(Debug)]
pub struct Balancer {
    /// Where clients reach it.
    pub address: SocketAddr,
    pool: Arc<Pool>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Pool {
    /// The gateways by their public addresses.
    members: Mutex<BTreeMap<SocketAddr, Member>>,
    turn: AtomicUsize,
    /// Requests that no gateway was there for.
    nobody: AtomicUsize,
}

#[derive(Debug)]
struct Member {
    operations: SocketAddr,
    is_ready: bool,
    idle: Vec<Sender>,
    served: usize,
}

impl Balancer {
    /// Before no gateway yet.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let pool = Arc::new(Pool::default());
        let tasks = vec![tokio::spawn(accept(listener, pool.clone())), tokio::spawn(look(pool.clone()))];
        Self { address, pool, tasks }
    }

    /// Puts a gateway behind it, and waits until it is ready.
    pub async fn add(&self, address: SocketAddr, operations: SocketAddr) {
        let member = Member { operations, is_ready: false, idle: Vec::new(), served: 0 };
        self.pool.members().insert(address, member);
        wait_until("the balancer has found the gateway ready", || async { self.is_ready(address) }).await;
    }

    /// Takes a gateway out; its connections are closed.
    pub fn remove(&self, address: SocketAddr) {
        self.pool.members().remove(&address);
    }

    /// Whether it hands requests to this gateway.
    pub fn is_ready(&self, address: SocketAddr) -> bool {
        self.pool.members().get(&address).is_some_and(|member| member.is_ready)
    }

    /// How many requests this gateway was given.
    pub fn served(&self, address: SocketAddr) -> usize {
        self.pool.members().get(&address).map_or(0, |member| member.served)
    }

    /// How many requests found no gateway.
    pub fn nobody(&self) -> usize {
        self.pool.nobody.load(Ordering::Relaxed)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Pool {
    fn members(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway whose turn it is, with a connection to it that was kept.
    fn next(&self) -> Option<(SocketAddr, Option<Sender>)> {
        let mut members = self.members();
        let ready: Vec<_> = members.iter().filter(|(_, member)| member.is_ready).map(|(address, _)| *address).collect();
        let address = *ready.get(self.turn.fetch_add(1, Ordering::Relaxed) % ready.len().max(1))?;
        let member = members.get_mut(&address)?;
        member.served += 1;
        member.idle.retain(Sender::is_ready);
        Some((address, member.idle.pop()))
    }

    fn keep(&self, address: SocketAddr, sender: Sender) {
        if let Some(member) = self.members().get_mut(&address) {
            member.idle.push(sender);
        }
    }
}

async fn look(pool: Arc<Pool>) {
    loop {
        let members: Vec<_> = pool.members().iter().map(|(address, member)| (*address, member.operations)).collect();
        for (address, operations) in members {
            let is_ready = Ask::get("/readyz").try_send(operations).await.is_ok_and(|reply| reply.status == 200);
            if let Some(member) = pool.members().get_mut(&address) {
                member.is_ready = is_ready;
                if !is_ready {
                    member.idle.clear();
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn accept(listener: TcpListener, pool: Arc<Pool>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let pool = pool.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let pool = pool.clone();
                async move { Ok::<_, Infallible>(hand_on(pool, request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn hand_on(pool: Arc<Pool>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return failure("the request broke off") };
    let body = body.to_bytes();
    let Some((address, kept)) = pool.next() else {
        pool.nobody.fetch_add(1, Ordering::Relaxed);
        return failure("no gateway is ready");
    };
    let mut sender = match kept {
        Some(sender) => sender,
        None => match connect(address).await {
            Ok(sender) => sender,
            Err(error) => return failure(&format!("cannot connect to {address}: {error}")),
        },
    };
    let response = match sender.send_request(Request::from_parts(head, Full::new(body))).await {
        Ok(response) => response,
        Err(error) => return failure(&format!("{address} gave no answer: {error:?}")),
    };
    let closes = response.headers().get("connection").is_some_and(|value| value == "close");
    if !closes {
        // A connection is free again when the answer has been read; until then it says that it is not ready.
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                pool.keep(address, sender);
            }
        });
    }
    response.map(BodyExt::boxed)
}

async fn connect(address: SocketAddr) -> Result<Sender, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = client::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

fn failure(why: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("balancer: {why}\n"))).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::BAD_GATEWAY;
    response
}
