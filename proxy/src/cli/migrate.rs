//! `migrate`: brings the store's tables up to date and ends, so that an update can do it once, before new gateways start. They would
//! do it too; the store has the lock under which one of them does.

use std::path::PathBuf;

use super::{load_config, say};
use crate::app::{Keys, open_store};

/// Opens the store, which migrates it, and says how it is.
pub(super) async fn migrate(given: Option<PathBuf>) -> anyhow::Result<()> {
    let config = load_config(given.as_deref())?;
    let store = open_store(&config, &Keys::of(&config)?).await?;
    let tenants = store.tenant_list().await;
    store.close().await;
    say(&format!("the store is up to date: {} tenants", tenants?.len()));
    Ok(())
}
