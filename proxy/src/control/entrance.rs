//! Who may enter a tenant: its keys, its issuers and what was revoked, read from the store whenever the tenant changes. Kept
//! apart from the snapshot, so that a revocation counts also while no new snapshot can be built.

use std::sync::Arc;

use patchbay_core::{
    issuer::RevocationRow,
    model::{KeyRow, TenantRow},
};
use patchbay_store::StoreError;
use patchbay_token::Issuers;
use tracing::warn;

use crate::{app::App, audit, auth::sign_in::SignIn};

/// What is known of those who may enter.
pub(super) struct Entrance {
    /// What was revoked; `None` until it could be read for the first time.
    revoked: Option<Vec<RevocationRow>>,
    /// The keys, where copies are kept; else they are in the ring alone.
    keys: Vec<KeyRow>,
    pub(super) issuers: Arc<Issuers>,
    pub(super) sign_in: Arc<SignIn>,
}

impl Entrance {
    /// Nobody may.
    pub(super) fn closed(app: &App) -> Self {
        let issuers = Issuers::new(&[], &[], None, app.fetch.clone());
        Self { revoked: None, keys: Vec::new(), issuers, sign_in: Arc::default() }
    }

    /// Reads it anew; what cannot be read stays as it was. Whether all of it could be read. Until it is known what was
    /// revoked, no token opens anything.
    pub(super) async fn read(&mut self, app: &App, row: &TenantRow) -> bool {
        let keys = app.store.key_list(row.id).await;
        let revoked = app.store.revocation_list(row.id, audit::now_ms()).await;
        let is_whole = keys.is_ok() && revoked.is_ok();
        self.take(app, row, keys, revoked);
        is_whole
    }

    /// Takes it from a last good copy.
    pub(super) fn restore(&mut self, app: &App, row: &TenantRow, keys: Vec<KeyRow>, revoked: Vec<RevocationRow>) {
        self.take(app, row, Ok(keys), Ok(revoked));
    }

    /// The keys and what was revoked, for a copy.
    pub(super) fn rows(&self) -> (&[KeyRow], &[RevocationRow]) {
        (&self.keys, self.revoked.as_deref().unwrap_or_default())
    }

    fn take(
        &mut self,
        app: &App,
        row: &TenantRow,
        keys: Result<Vec<KeyRow>, StoreError>,
        revoked: Result<Vec<RevocationRow>, StoreError>,
    ) {
        match keys {
            Ok(keys) => {
                app.keys.replace(row.id, &keys);
                if app.copies.is_some() {
                    self.keys = keys;
                }
            }
            Err(error) => {
                warn!(tenant = %row.slug, %error, "the keys of {} cannot be read; the last ones stay", row.slug);
            }
        }
        match revoked {
            Ok(revoked) => self.revoked = Some(revoked),
            Err(error) => {
                warn!(tenant = %row.slug, %error, "what {} has revoked cannot be read; the last list stays", row.slug);
            }
        }
        let (rows, revoked) = match &self.revoked {
            Some(revoked) => (row.issuers.as_slice(), revoked.as_slice()),
            None => (&[][..], &[][..]),
        };
        self.issuers = Issuers::new(rows, revoked, Some(&self.issuers), app.fetch.clone());
        self.sign_in = Arc::new(SignIn::of(&row.issuers));
    }
}
