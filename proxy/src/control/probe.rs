//! A look at a server before anybody saves it: a connection of its own, asked who it is and what it offers, and closed again. It is in
//! no tenant's snapshot, shares nothing with the tenant's servers, and is over within a bounded time also when nobody waits for it.

use std::{sync::Arc, time::Duration};

use patchbay_core::{TenantId, model::ServerRow};
use patchbay_downstream::{
    Hello,
    catalog::{self, CatalogBounds, RawCatalog},
};
use tokio::{runtime::Handle, sync::Semaphore, time::Instant};

use super::{
    refresh,
    servers::{self, Children, Opened, Place},
};
use crate::app::App;

/// Probes that run at once, of all tenants.
const PROBES_MAX: usize = 4;
/// How long a server may take to say what it is and what it offers.
const PROBE_PATIENCE: Duration = Duration::from_secs(15);
/// How long its connection or its child may take to close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of a probed server's lists.
const PROBE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most pages of one of its lists.
const PROBE_PAGES_MAX: usize = 20;

static TURNS: Semaphore = Semaphore::const_new(PROBES_MAX);

/// What a probe found.
#[derive(Debug)]
pub(crate) struct Probed {
    /// What the server says of itself, if it says anything.
    pub(crate) hello: Option<Hello>,
    /// What it offers.
    pub(crate) catalog: Option<RawCatalog>,
    /// Why it cannot be used as it stands, in the operator's words.
    pub(crate) error: Option<String>,
}

/// As many are probed now as may be at once.
#[derive(Debug)]
pub(crate) struct Busy;

/// Asks the server that the row describes.
///
/// # Errors
/// [`Busy`].
pub(crate) async fn probe(app: Arc<App>, tenant: TenantId, row: ServerRow) -> Result<Probed, Busy> {
    let turn = TURNS.try_acquire().map_err(|_| Busy)?;
    // A task of its own, so that the connection is closed also when the one who asks has left.
    let task = tokio::spawn(async move {
        let _turn = turn;
        ask(&app, tenant, &row).await
    });
    Ok(task.await.unwrap_or_else(|_| Probed {
        hello: None,
        catalog: None,
        error: Some("the probe broke off; the log says more".to_owned()),
    }))
}

async fn ask(app: &App, tenant: TenantId, row: &ServerRow) -> Probed {
    let deadline = Instant::now() + PROBE_PATIENCE;
    let children = Children::new(1);
    let place = Place { app, tenant, runtime: Handle::current(), children: &children, is_stored: false };
    let Opened { downstream, problem, builtin } = servers::open(&place, row, None);
    if problem.is_some() {
        return Probed { hello: None, catalog: None, error: problem };
    }
    let bounds = CatalogBounds {
        pages_max: PROBE_PAGES_MAX,
        items_max: app.config.limits.catalog_items_max,
        bytes_max: PROBE_BYTES_MAX,
        deadline,
        capabilities: refresh::declared(&row.spec),
    };
    let late = || format!("it did not answer within {} s", PROBE_PATIENCE.as_secs());
    let fetched = tokio::time::timeout_at(deadline, catalog::fetch(&*downstream, bounds)).await;
    let mut probed = match fetched {
        Ok(Ok(catalog)) => Probed { hello: Some(catalog.hello.clone()), catalog: Some(catalog), error: None },
        Ok(Err(error)) => {
            Probed { hello: None, catalog: None, error: Some(with_last_words(&*downstream, error.to_string())) }
        }
        Err(_) => Probed { hello: None, catalog: None, error: Some(with_last_words(&*downstream, late())) },
    };
    if let (Some((server, _)), None) = (builtin, &probed.error) {
        let checked = tokio::time::timeout_at(deadline, server.check()).await;
        probed.error = checked.unwrap_or_else(|_| Err(late())).err();
    }
    let _ = tokio::time::timeout(CLOSE_PATIENCE, downstream.close()).await;
    probed
}

/// The error, with the last line that a child wrote.
fn with_last_words(downstream: &dyn patchbay_downstream::Downstream, error: String) -> String {
    match downstream.health().stderr_tail.last() {
        Some(line) => format!("{error}; the last line that it wrote: {line}"),
        None => error,
    }
}
