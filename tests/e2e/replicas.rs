//! Several gateways on one Postgres and one Redis, behind a proxy that hands requests on in turn: they are restarted one after the
//! other under load, their databases go away and come back, their tenants change all the time, their sealing key is changed. No
//! call is lost, no session ends.

mod changes;
mod databases;
mod homes;
mod rolling;
mod sealing;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use patchbay_e2e::{
    Ask, Balancer, Client, Fixture, Redis, Setup, TestGateway, database::Postgres, setup::tenant, wait_until,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How many gateways.
const REPLICAS: usize = 3;
/// How long a gateway goes on after it was asked to stop; the proxy notices within a fraction of it.
const DRAIN_DELAY_S: u64 = 2;

/// The first admin key of all of them.
const ADMIN: &str = "pba_0123456789abcdef0123456789abcdef-for-tests";

/// Gateways behind a proxy.
struct World {
    balancer: Balancer,
    gateways: Vec<TestGateway>,
    key: String,
    _server: Fixture,
}

impl World {
    /// Starts all of it: one tenant `acme` with the server `one`. `setup` is what each gateway is started with.
    async fn start(setup: impl Fn() -> Setup) -> Self {
        let server = Fixture::scripted(&["--no-odd"]);
        let mut gateways = vec![setup().tenant(acme(&server)).start().await];
        for _ in 1..REPLICAS {
            gateways.push(setup().start().await);
        }
        let balancer = Balancer::start().await;
        for gateway in &gateways {
            balancer.add(gateway.address, gateway.operations).await;
        }
        let admin = gateways[0].admin;
        wait_until("the first admin key opens", || async {
            Ask::get("/admin/v1/me").bearer(ADMIN).send(admin).await.status == 200
        })
        .await;
        let key = gateways[0].key("acme").to_owned();
        Self { balancer, gateways, key, _server: server }
    }

    async fn legacy(&self) -> Client {
        Client::legacy(self.balancer.address, &TestGateway::path("acme"), Some(&self.key)).await
    }

    fn modern(&self) -> Client {
        Client::modern(self.balancer.address, &TestGateway::path("acme"), Some(&self.key))
    }

    /// The addresses of all gateways.
    fn addresses(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(|gateway| gateway.address).collect()
    }

    /// Restarts a gateway in order, as a rolling upgrade does. Gives how many requests it had served.
    async fn restart(&mut self, index: usize) -> usize {
        let old = &mut self.gateways[index];
        let address = old.address;
        old.terminate();
        tokio::task::block_in_place(|| old.ended());
        let served = self.balancer.served(address);
        self.balancer.remove(address);
        let new = old.again().await;
        self.balancer.add(new.address, new.operations).await;
        self.gateways[index] = new;
        served
    }
}

/// The tenant of all these stories.
fn acme(server: &Fixture) -> Value {
    let mut one = server.server();
    // Something that the sealing key seals.
    one["headers"] = json!({ "X-Team": "a-secret-of-acme" });
    let mut acme = tenant("acme", [("one", one)]);
    acme["limits"] = json!({ "principal_per_second": 100_000, "principal_burst": 100_000 });
    acme
}

/// What each gateway is started with.
fn replica(database: &Postgres, redis: &Redis) -> Setup {
    let setup = TestGateway::setup().postgres(database).redis(redis.address).first_admin_key(ADMIN);
    setup.limit("drain_delay_s", DRAIN_DELAY_S)
}

/// Clients that call without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    lost: Arc<Mutex<Vec<String>>>,
    clients: JoinSet<()>,
}

impl Load {
    /// Has each of these clients call again and again.
    fn begin(clients: impl IntoIterator<Item = Client>) -> Self {
        let mut load =
            Self { stop: Arc::default(), calls: Arc::default(), lost: Arc::default(), clients: JoinSet::new() };
        for (number, client) in clients.into_iter().enumerate() {
            let (stop, calls, lost) = (load.stop.clone(), load.calls.clone(), load.lost.clone());
            load.clients.spawn(async move {
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    if let Err(why) = call(&client, number, turn).await {
                        lost.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    /// How many calls were made until now.
    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Lets the clients finish; all their calls must have been answered.
    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = self.calls.load(Ordering::Relaxed);
        assert!(
            lost.is_empty(),
            "{} of {calls} calls were lost, such as: {:#?}",
            lost.len(),
            &lost[..lost.len().min(5)]
        );
        calls
    }
}

/// One call: mostly short, now and then one that takes a while.
async fn call(client: &Client, number: usize, turn: usize) -> Result<(), String> {
    let (ask, wanted) = if turn.is_multiple_of(10) {
        (client.ask_tool("one_slow", json!({ "ms": 300 })), "slept 300 ms".to_owned())
    } else {
        let text = format!("{number}/{turn}");
        (client.ask_tool("one_echo", json!({ "text": text.clone() })), text)
    };
    let reply = ask.try_send(client.address).await?;
    let status = reply.status;
    let body = reply.bytes().await?;
    let body = String::from_utf8_lossy(&body);
    if status == 200 && body.contains(&wanted) { Ok(()) } else { Err(format!("{status}: {body}")) }
}
