//! The gateway from its first to its last moment: checks, opens, binds, serves, drains, closes. Everything that can be wrong is
//! found out before a port is bound.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use patchbay_config::GatewayConfig;
use patchbay_core::audit::Action;
use patchbay_store::StoreError;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    admission,
    app::{self, App, Keys},
    audit, control,
    edge::{admin, operations, serve, watch},
    ledger,
    replica::cancels,
    telemetry::Telemetry,
    worker::Workers,
};

/// How long the audit may take to reach the store at the end. What does not is on the spool and goes there at the next start.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
/// How long the last spans may take to reach their collector.
const TRACES_PATIENCE: Duration = Duration::from_secs(2);
/// How often the end of the running calls is looked for while draining.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How often connections that are new, or quiet by now, are told to finish meanwhile.
const DRAIN_TELL: Duration = Duration::from_millis(200);
/// How long those that are broken off may take to hear of it.
const BREAK_PATIENCE: Duration = Duration::from_secs(1);
/// How long operators' requests may take to end, and how long the store may take to let go.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// By which a gateway is told to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: CancellationToken,
    hurried: CancellationToken,
}

impl Stop {
    /// Asks it to stop in order: it says that it is not ready and serves for `limits.drain_delay_s`, then it drains.
    pub fn ask(&self) {
        self.asked.cancel();
    }

    /// Cancelled when it is asked to stop.
    pub(crate) const fn asked(&self) -> &CancellationToken {
        &self.asked
    }

    /// The same without the delay, and without patience for connections that only lie there.
    pub fn hurry(&self) {
        self.hurried.cancel();
        self.asked.cancel();
    }
}

/// A gateway that is about to serve.
pub struct Gateway {
    app: Arc<App>,
    public: StdListener,
    operations: StdListener,
    admin: Option<StdListener>,
}

/// Where a gateway listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// For clients.
    pub public: SocketAddr,
    /// For operators.
    pub operations: SocketAddr,
    /// For admins.
    pub admin: Option<SocketAddr>,
}

impl Gateway {
    /// Opens the store and the spool and binds the ports, in this order.
    ///
    /// # Errors
    /// With a sentence that says what to do.
    pub async fn open(config: GatewayConfig) -> anyhow::Result<Self> {
        let keys = Keys::of(&config)?;
        let (store, late) = app::open_store_or_wait(&config, &keys).await?;
        crate::files::make_private_folder(&config.data_dir)?;
        let audit = app::open_audit(&config)?;
        let public = bind(config.listen_mcp, "listen.mcp", "PATCHBAY_LISTEN_MCP")?;
        let operations = bind(config.listen_operations, "listen.operations", "PATCHBAY_LISTEN_OPERATIONS")?;
        let admin =
            config.listen_admin.map(|address| bind(address, "listen.admin", "PATCHBAY_LISTEN_ADMIN")).transpose()?;
        let mut app = App::new(config, store, &keys, audit)?;
        app.late = late;
        let app = Arc::new(app);
        Ok(Self { app, public, operations, admin })
    }

    /// What the gateway shares.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        let admin = self.admin.as_ref().map(StdListener::local_addr).transpose()?;
        Ok(Addresses { public: self.public.local_addr()?, operations: self.operations.local_addr()?, admin })
    }

    /// Serves until `stop`, then drains: it goes on for the configured delay as one that is not ready, takes no new work, lets
    /// running calls finish within their time, closes the servers and brings the audit to the store. `up` is told when the first
    /// request can be answered.
    ///
    /// # Errors
    /// When a listener fails for good, or nothing can be served because the store refuses us.
    pub async fn serve(self, stop: Stop, up: oneshot::Sender<()>) -> anyhow::Result<()> {
        let at = self.addresses()?;
        let admin_at = at.admin.map_or_else(|| "off".to_owned(), |at| at.to_string());
        info!(mcp = %at.public, operations = %at.operations, admin = admin_at, "listening on {}", at.public);
        let listeners = [("mcp", Some(at.public)), ("operations", Some(at.operations)), ("admin", at.admin)];
        let listeners = listeners.into_iter().filter_map(|(name, at)| Some((name, at?)));
        let _ = self.app.replica.listeners.set(listeners.collect());
        let Self { app, public, operations, admin } = self;
        app.audit.own_event(Action::GatewayStart, concat!("version ", env!("CARGO_PKG_VERSION")));
        let workers = Arc::new(Workers::start(app.config.limits.workers.get())?);
        let _ = app.workers.set(workers.gauges());
        let (control_stop, operations_stop) = (CancellationToken::new(), CancellationToken::new());
        let sink = app::StoreSink(app.store.clone());
        let drain = audit::Drain::start(
            app.audit.clone(),
            sink,
            app.signer.clone(),
            audit::DrainOptions::default(),
            &tokio::runtime::Handle::current(),
        );
        let traces = app.telemetry.as_ref().and_then(Telemetry::start);
        let (loaded, in_force) = oneshot::channel();
        let control = tokio::spawn(control::run(app.clone(), workers.clone(), loaded, control_stop.clone()));
        let keeping = tokio::spawn(ledger::keeping::run(app.clone(), control_stop.clone()));
        let shipping = tokio::spawn(ledger::ship::run(app.clone(), control_stop.clone()));
        let modes = tokio::spawn(admission::modes::follow(app.clone()));
        let cancels = tokio::spawn(cancels::run(app.clone(), control_stop.clone()));
        let operators =
            tokio::spawn(operations::serve(app.clone(), TcpListener::from_std(operations)?, operations_stop.clone()));
        let admins = match admin {
            Some(listener) => {
                let listener = TcpListener::from_std(listener)?;
                Some(tokio::spawn(admin::serve(app.clone(), listener, operations_stop.clone())))
            }
            None => None,
        };
        let mut refused = None;
        tokio::select! {
            () = stop.asked.cancelled() => app.draining(),
            error = refused_by_store(&app) => refused = Some(error),
            _ = in_force => {
                let no_more = CancellationToken::new();
                let public = TcpListener::from_std(public)?;
                let acceptor = tokio::spawn(serve::accept(app.clone(), public, workers.clone(), no_more.clone()));
                let _ = up.send(());
                stop.asked.cancelled().await;
                app.draining();
                linger(&app, &stop).await;
                no_more.cancel();
                let _ = acceptor.await;
            }
        }
        info!("stopping: no new work is taken, running calls finish");
        app.hub.end_all();
        // What waits for people does not hold up the end: whoever comes with an answer is told.
        app.parked.end_all();
        drain_connections(&app, &workers, &stop).await;
        control_stop.cancel();
        app.audit.own_event(Action::GatewayStop, "stopped as asked");
        // No calls run any more, so these do not wait for each other.
        let closed = async { tokio::join!(control, keeping, shipping, cancels) };
        let exported = async {
            if let Some(traces) = traces {
                traces.flush(TRACES_PATIENCE).await;
            }
        };
        let (_, flushed, ()) = tokio::join!(closed, drain.flush(FLUSH_PATIENCE), exported);
        if flushed.left > 0 {
            let left = flushed.left;
            warn!(left, "{left} audit records stay on the spool and go to the store at the next start");
        }
        operations_stop.cancel();
        let listeners = async {
            let _ = operators.await;
            if let Some(admins) = admins {
                let _ = admins.await;
            }
        };
        // Whoever sends half a request, or holds a connection of the store, does not hold up the end.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, listeners).await;
        modes.abort();
        let _ = tokio::time::timeout(CLOSE_PATIENCE, app.store.close()).await;
        tokio::task::spawn_blocking(move || Arc::into_inner(workers).map(Workers::stop)).await?;
        info!("stopped");
        match refused {
            None => Ok(()),
            Some(error) => Err(anyhow::Error::new(error).context("the store cannot be opened")),
        }
    }
}

/// Waits until the store refuses us, where the gateway was started without it; for good elsewhere.
async fn refused_by_store(app: &App) -> StoreError {
    match &app.late {
        Some(late) => late.refused().await,
        None => std::future::pending().await,
    }
}

/// Serves on as a gateway that is not ready, for the configured delay: load balancers need it to hear of that.
async fn linger(app: &App, stop: &Stop) {
    let delay = app.config.limits.drain_delay;
    if delay.is_zero() || stop.hurried.is_cancelled() {
        return;
    }
    info!(delay_s = delay.as_secs(), "asked to stop: not ready any more, and serving on for {} s", delay.as_secs());
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = stop.hurried.cancelled() => {}
    }
}

/// Lets what runs finish, at most for the configured time; what does not is broken off, and told so.
async fn drain_connections(app: &App, workers: &Workers, stop: &Stop) {
    let tell = if stop.hurried.is_cancelled() { watch::drain_thread_at_once } else { watch::drain_thread };
    if is_quiet(app, workers, tell, app.config.limits.drain).await {
        return;
    }
    let (connections, calls) = (app.metrics.connections.get(), app.metrics.in_flight.get());
    warn!(connections, calls, "some calls did not finish in time and are broken off");
    workers.each(watch::break_thread);
    is_quiet(app, workers, watch::drain_thread_at_once, BREAK_PATIENCE).await;
    // Legacy calls go on without their clients, until now: so each has its end in the audit.
    app.calls.cancel_all();
    is_quiet(app, workers, watch::drop_thread, BREAK_PATIENCE).await;
}

/// Waits until nothing runs, at most for this time, and tells the connections again and again; whether nothing runs.
async fn is_quiet(app: &App, workers: &Workers, tell: fn(), within: Duration) -> bool {
    let begun = Instant::now();
    let mut told: Option<Instant> = None;
    // A legacy call goes on without its connection, so calls are looked for as well as connections.
    while app.metrics.connections.get() > 0 || app.metrics.in_flight.get() > 0 || !app.calls.is_empty() {
        if begun.elapsed() >= within {
            return false;
        }
        if told.is_none_or(|told| told.elapsed() >= DRAIN_TELL) {
            workers.each(tell);
            told = Some(Instant::now());
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    true
}

fn bind(address: SocketAddr, setting: &str, variable: &str) -> anyhow::Result<StdListener> {
    let bound = StdListener::bind(address);
    let listener = bound.with_context(|| {
        format!(
            "cannot listen on {address}: is another Patchbay running there? Stop it, or choose another address with {setting} in \
             patchbay.yaml or {variable}=127.0.0.1:PORT"
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Asks for a stop at SIGTERM, in a hurry at SIGINT (a person at a terminal). A second signal ends the process at once.
///
/// # Errors
/// When the signals cannot be caught.
pub fn stop_at_signal(stop: Stop) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => stop.ask(),
            _ = interrupt.recv() => stop.hurry(),
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(())
}
