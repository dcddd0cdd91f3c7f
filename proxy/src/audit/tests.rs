//! What the audit promises: whole records or none, none lost, each request closed once. The tests of each part are beside.

mod crashes;
mod drain;
mod policy;
mod spool;
mod store;
mod trail;

use std::{net::IpAddr, path::Path, sync::Arc};

use patchbay_core::{
    KeyId, Slug, TenantId,
    audit::{Action, Actor},
    method::Method,
};
use serde_json::Value;
use store::Store;

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

fn signer() -> Arc<Signer> {
    Arc::new(Signer::new([7; 32]).unwrap())
}

fn quick() -> DrainOptions {
    DrainOptions {
        batch_rows: 50,
        gather: Duration::from_millis(1),
        patience: Duration::from_secs(60),
        append_timeout: Duration::from_secs(5),
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(20),
        ..DrainOptions::default()
    }
}

fn start(audit: &Arc<Audit>, store: &Store, options: DrainOptions) -> Drain {
    Drain::start(audit.clone(), store.clone(), signer(), options, &tokio::runtime::Handle::current())
}

fn whole_call(audit: &Arc<Audit>, name: &str) {
    let mut trail = call(audit, name);
    trail.intent().unwrap();
    trail.done(false, false, 10);
}

/// The folder as a process that is killed now would leave it; or a copy of it, under the feet of one that runs.
fn copied(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
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
