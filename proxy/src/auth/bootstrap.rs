//! The first admin key: put in or made when a gateway with an admin listener meets a store that never had one, and shown once.
//! However many replicas start together, one of them makes it. Called by `serve`.

use std::time::Duration;

use patchbay_config::GatewayConfig;
use patchbay_core::{admin::Grant, audit::Actor};
use patchbay_store::{Note, Store, StoreError};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::admin::NewAdminKey;
use crate::{app::App, audit::now_ms};

/// What people call it.
const LABEL: &str = "bootstrap";
/// The first pause after the store did not answer; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Sees to it that there is an admin key; gives it when it was made here, to be shown once. One that the operator chose is not
/// shown.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) async fn bootstrap(store: &dyn Store, config: &GatewayConfig) -> Result<Option<SecretString>, StoreError> {
    if config.listen_admin.is_none() {
        return Ok(None);
    }
    let (label, grant, at_ms) = (LABEL.to_owned(), Grant::PlatformAdmin, now_ms());
    // On a new store this record may be the first of its day, for which a place should be there before. It is taken without, too.
    if let Err(error) = store.audit_prepare(at_ms).await {
        debug!(%error, "no place is made for the audit's next days yet");
    }
    let given = config.admin.bootstrap_key.clone();
    let is_given = given.is_some();
    let key = match given {
        Some(secret) => NewAdminKey::given(secret, label, grant, at_ms, None),
        None => NewAdminKey::generate(label, grant, at_ms, None),
    };
    let how = if is_given { "took the first admin key from admin.bootstrap_key" } else { "made the first admin key" };
    let note = Note::by(Actor::Gateway, format!("{how}: {} ({})", key.row.id, key.row.shown), at_ms);
    let is_new = store.admin_key_bootstrap(&key.row, &note).await?;
    if is_new {
        info!(key = %key.row.id, "{how}");
    }
    Ok(Some(key.secret).filter(|_| is_new && !is_given))
}

/// The same, as soon as the store answers, or never when it is told to stop before.
pub(crate) async fn when_possible(app: &App, stop: &CancellationToken) -> Option<SecretString> {
    let mut pause = PAUSE;
    loop {
        match bootstrap(&*app.store, &app.config).await {
            Ok(made) => return made,
            Err(error) if pause == PAUSE => warn!(%error, "whether there is an admin key cannot be found out yet"),
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}
