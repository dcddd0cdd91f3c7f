//! What the audit promises: whole records or none, none lost, each request closed once. The tests of each part are beside.

mod drain;
mod spool;
mod trail;

use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use patchbay_core::{
    KeyId, Slug, TenantId,
    audit::{Action, Actor},
    method::Method,
};
use serde_json::Value;

use super::{
    reader::{Reader, row_at},
    *,
};

/// The smallest spool: 2 files of the smallest size.
const SMALL: SpoolOptions = SpoolOptions { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 2 };
const TENANT: TenantId = TenantId::from_bits(7);

fn audit(dir: &Path, options: SpoolOptions) -> Arc<Audit> {
    Audit::open(dir, options).unwrap()
}

/// A trail of somebody who has signed in and calls a tool.
fn call(audit: &Arc<Audit>, tool: &str) -> Trail {
    let mut trail = Trail::open(audit, IpAddr::from([192, 0, 2, 1]), Some("ide/1.0"));
    trail.known(TENANT, &"default".parse::<Slug>().unwrap(), Actor::Key(KeyId::from_bits(9)));
    trail.method(&Method::ToolsCall);
    trail.bytes_in(100);
    trail.target("shop", tool, "shop_tool");
    trail
}

/// All records that are on the spool.
fn records(audit: &Audit) -> Vec<Row> {
    let mut reader = Reader::new(&audit.spool);
    let places = std::iter::from_fn(|| reader.next(&audit.spool));
    places.map(|(place, _)| row_at(&audit.spool, place).unwrap()).collect()
}

fn json(row: &Row) -> Value {
    serde_json::from_str(&row.json).unwrap()
}

/// The store as far as the audit knows it: keeps each id once; may be away.
#[derive(Clone, Default)]
struct Store {
    rows: Arc<Mutex<Vec<Row>>>,
    away: Arc<AtomicBool>,
    batches: Arc<AtomicU64>,
}

impl Sink for Store {
    async fn append(&self, rows: &[Row]) -> Result<(), String> {
        if self.away.load(Ordering::SeqCst) {
            return Err("the store is away".to_owned());
        }
        self.batches.fetch_add(1, Ordering::SeqCst);
        let mut kept = self.rows.lock().unwrap();
        for row in rows {
            if !kept.iter().any(|other| other.id() == row.id()) {
                kept.push(row.clone());
            }
        }
        Ok(())
    }
}

impl Store {
    fn rows(&self) -> Vec<Row> {
        self.rows.lock().unwrap().clone()
    }

    fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }
}

/// Waits until something is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    let waited = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap_or_else(|_| panic!("{what} did not come"));
}
