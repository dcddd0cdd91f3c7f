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
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    admission,
    app::{self, App, Keys},
    audit, control,
    edge::{admin, operations, serve, watch},
    ledger,
    telemetry::Telemetry,
    worker::Workers,
};

/// How long the audit may take to reach the store at the end. What does not is on the spool and goes there at the next start.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
/// How long the last spans may take to reach their collector.
const TRACES_PATIENCE: Duration = Duration::from_secs(2);
/// How often the end of the running calls is looked for while draining.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

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
        let store = app::open_store(&config, &keys).await?;
        crate::files::make_private_folder(&config.data_dir)?;
        let audit = app::open_audit(&config)?;
        let public = bind(config.listen_mcp, "listen.mcp", "PATCHBAY_LISTEN_MCP")?;
        let operations = bind(config.listen_operations, "listen.operations", "PATCHBAY_LISTEN_OPERATIONS")?;
        let admin =
            config.listen_admin.map(|address| bind(address, "listen.admin", "PATCHBAY_LISTEN_ADMIN")).transpose()?;
        let app = Arc::new(App::new(config, store, &keys, audit)?);
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

    /// Serves until `stop`, then drains: no new work, running calls finish within their time, servers are closed, the audit
    /// is brought to the store. `up` is told when the first request can be answered.
    ///
    /// # Errors
    /// When a listener fails for good.
    pub async fn serve(self, stop: CancellationToken, up: oneshot::Sender<()>) -> anyhow::Result<()> {
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
        let operators =
            tokio::spawn(operations::serve(app.clone(), TcpListener::from_std(operations)?, operations_stop.clone()));
        let admins = match admin {
            Some(listener) => {
                let listener = TcpListener::from_std(listener)?;
                Some(tokio::spawn(admin::serve(app.clone(), listener, operations_stop.clone())))
            }
            None => None,
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = in_force => {
                let acceptor = tokio::spawn(serve::accept(app.clone(), TcpListener::from_std(public)?, workers.clone(), stop.clone()));
                let _ = up.send(());
                stop.cancelled().await;
                let _ = acceptor.await;
            }
        }
        info!("stopping: no new work is taken, running calls finish");
        app.draining();
        drain_connections(&app, &workers).await;
        control_stop.cancel();
        let _ = control.await;
        let _ = tokio::join!(keeping, shipping);
        app.audit.own_event(Action::GatewayStop, "stopped as asked");
        let left = drain.flush(FLUSH_PATIENCE).await.left;
        if left > 0 {
            warn!(left, "{left} audit records stay on the spool and go to the store at the next start");
        }
        if let Some(traces) = traces {
            traces.flush(TRACES_PATIENCE).await;
        }
        operations_stop.cancel();
        let _ = operators.await;
        if let Some(admins) = admins {
            let _ = admins.await;
        }
        modes.abort();
        app.store.close().await;
        tokio::task::spawn_blocking(move || Arc::into_inner(workers).map(Workers::stop)).await?;
        info!("stopped");
        Ok(())
    }
}

/// Lets what runs finish, at most for the configured time.
async fn drain_connections(app: &Arc<App>, workers: &Arc<Workers>) {
    workers.each(watch::drain_thread);
    let deadline = tokio::time::Instant::now() + app.config.limits.drain;
    // A legacy call goes on without its connection, so calls are looked for as well as connections.
    while app.metrics.connections.get() > 0 || app.metrics.in_flight.get() > 0 || !app.calls.is_empty() {
        if tokio::time::Instant::now() >= deadline {
            warn!(connections = app.metrics.connections.get(), "some calls did not finish in time and are broken off");
            return;
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
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

/// Cancels `stop` at SIGTERM or SIGINT. A second signal ends the process at once.
///
/// # Errors
/// When the signals cannot be caught.
pub fn stop_at_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(())
}
