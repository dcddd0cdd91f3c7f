//! The audit's chains in the real embedded store: what gateways that were killed and copied have left there verifies, from the
//! first record to the last, by what is stored alone.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{path::Path, sync::Arc, time::Duration};

use patchbay::{
    app::StoreSink,
    audit::{Audit, Drain, DrainOptions, SEGMENT_BYTES_MIN, Signer, SpoolOptions, Trail, is_signed},
};
use patchbay_core::{
    TenantId,
    audit::{Actor, ChainFault, ChainId, Chained, Link, Verifier},
    method::Method,
};
use patchbay_store::{OpenOptions, Store, Vault};

const OPTIONS: SpoolOptions = SpoolOptions { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 20 };
const ACME: TenantId = TenantId::from_bits(1);
const UMBRELLA: TenantId = TenantId::from_bits(2);

async fn store(dir: &Path) -> Arc<dyn Store> {
    let url = format!("sqlite://{}", dir.join("patchbay.db").display());
    patchbay_store::open(&url, Vault::new(1, [1; 32]), OpenOptions::default()).await.unwrap()
}

fn signer() -> Arc<Signer> {
    Arc::new(Signer::new([1; 32]).unwrap())
}

fn drain(audit: &Arc<Audit>, store: &Arc<dyn Store>) -> Drain {
    let options = DrainOptions { gather: Duration::from_millis(1), batch_rows: 7, ..DrainOptions::default() };
    let runtime = tokio::runtime::Handle::current();
    Drain::start(audit.clone(), StoreSink(store.clone()), signer(), options, &runtime)
}

fn call(audit: &Arc<Audit>, tenant: TenantId, tool: &str) {
    let mut trail = Trail::open(audit, None, None);
    trail.known(tenant, &"default".parse().unwrap(), Actor::Anonymous);
    trail.method(&Method::ToolsCall);
    trail.target("shop", tool, tool);
    trail.intent().unwrap();
    trail.done(false, false, 1);
}

fn calls(audit: &Arc<Audit>, count: usize) {
    for number in 0..count {
        call(audit, if number % 3 == 0 { UMBRELLA } else { ACME }, &format!("tool{number}"));
    }
}

fn copied(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

async fn until_rows(store: &Arc<dyn Store>, rows: u64) {
    let come = async {
        while store.audit_count(None).await.unwrap() < rows {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), come).await.expect("so many rows come");
}

/// Verifies all chains with what is stored, and gives the number of records.
async fn verified(store: &Arc<dyn Store>) -> Result<u64, (ChainId, ChainFault)> {
    let public = signer().public();
    let mut records = 0;
    for head in store.audit_heads(None, None).await.unwrap() {
        let checkpoints = store.audit_checkpoint_list(head.chain, 0).await.unwrap();
        assert!(!checkpoints.is_empty() && checkpoints.iter().all(|checkpoint| is_signed(checkpoint, &public)));
        let places = checkpoints.iter().map(|checkpoint| checkpoint.link).collect();
        let mut verifier = Verifier::new(head.chain, Link::START, places);
        let mut after = 0;
        loop {
            let rows = store.audit_chain(head.chain, after, 5).await.unwrap();
            let Some(last) = rows.last() else { break };
            after = last.link.seq;
            for row in &rows {
                let (event_id, at_ms) = (row.event_id, row.at_ms);
                let record = Chained { link: row.link, event_id, at_ms, kind: &row.kind, json: &row.json };
                verifier.record(&record).map_err(|fault| (head.chain, fault))?;
                assert_eq!((&*row.facets.actor, row.facets.server.as_deref()), ("anonymous", Some("shop")));
                records += 1;
            }
        }
        assert_eq!(verifier.end().map_err(|fault| (head.chain, fault))?, head.last);
    }
    Ok(records)
}

#[tokio::test]
async fn chains_of_gateways_that_are_killed_and_copied_verify_by_what_is_stored() {
    let (dir, spool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = store(dir.path()).await;

    let first = Audit::open(spool.path(), OPTIONS).unwrap();
    let draining = drain(&first, &store);
    calls(&first, 40);
    until_rows(&store, 21).await;
    let left = copied(spool.path());
    drop(draining);

    // The one that starts again finds what the store has in part, and so does a copy of it at the same time.
    let copy = copied(left.path());
    let [second, other] = [&left, &copy].map(|dir| Audit::open(dir.path(), OPTIONS).unwrap());
    let drains = [drain(&second, &store), drain(&other, &store)];
    for audit in [&second, &other] {
        calls(audit, 30);
    }
    until_rows(&store, 100).await;
    for audit in [&other, &second] {
        calls(audit, 30);
    }
    for drain in drains {
        assert_eq!(drain.flush(Duration::from_secs(30)).await.left, 0);
    }
    assert_eq!(verified(&store).await, Ok(160));
    assert_eq!(store.audit_count(None).await.unwrap(), 160, "records are in no chain");
    store.close().await;
}
