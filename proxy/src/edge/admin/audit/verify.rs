//! Whether the audit's chains are as they were written, in as many requests as it takes: each says where the next one goes on. What
//! is looked at is [`crate::ledger::verify`]'s.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, extract::State};
use patchbay_core::{
    admin::Need,
    audit::{Action, ChainId, Checkpoint, Link, WriterId},
};
use patchbay_store::StoreError;
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::{IntoParams, ToSchema};

use super::{
    super::{
        desk::Desk,
        input::{Body, NoQuery, Path, Query, name},
        keys::wrong,
        page::{PageQuery, cursor},
        problem::{FieldError, Problem},
        who::{Admin, Pass},
    },
    Of, publics, turn, whose,
};
use crate::ledger::{
    lines::{Line, hex, unhex},
    verify::{self, Found, Place, Verdict},
};

/// The longest time that one request verifies, in seconds.
const VERIFY_TIME_S_MAX: u16 = 50;
/// The same when nobody says so.
const VERIFY_TIME_S: u16 = 30;
/// Checkpoints of another place that a request may bring.
const CHECKPOINTS_GIVEN_MAX: usize = 10_000;
/// Public keys that a request may bring.
const PUBLIC_KEYS_GIVEN_MAX: usize = 16;

/// How to verify.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verification {
    /// Where to go on: `next` of the answer before.
    cursor: Option<String>,
    /// How many seconds it may take at the most, about; absent: 30.
    #[schema(maximum = 50)]
    max_s: Option<u16>,
    /// The public keys of the checkpoints, 64 hexadecimal digits each; absent: those of this gateway.
    #[schema(max_items = 16)]
    public_keys: Option<Vec<String>>,
    /// Checkpoints that were kept in another place, as lines of an export: the chains have to keep to them as well, so that even a
    /// whole chain that was removed is missed.
    #[serde(default)]
    #[schema(value_type = Vec<Object>, max_items = 10000)]
    checkpoints: Vec<serde_json::Value>,
}

/// Whose chains.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlatformChains {
    /// Those of this tenant.
    tenant: Option<String>,
    /// Those of the tenant with this id, which may be deleted.
    tenant_id: Option<String>,
    /// Those of no tenant: refused before anybody knew whose it was, and what the gateway did itself.
    no_tenant: Option<bool>,
}

/// What was found. Where `complete` is false, it is what was found so far, and the counts are those of this request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerificationReport {
    /// Whether nothing is wrong in what was looked at.
    ok: bool,
    /// Whether this request has looked at all that there was left.
    complete: bool,
    /// Where the next request goes on; absent when all is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Chains that were looked at to their end.
    chains: usize,
    /// Records that were looked at.
    records: u64,
    /// Signed checkpoints that were held against them.
    checkpoints: usize,
    /// Records from before there were chains: nobody can say whether they were changed.
    unchained: u64,
    /// What is wrong: of each chain the first, since what comes after it says nothing any more.
    problems: Vec<ChainProblem>,
    /// What was found of each chain.
    verdicts: Vec<ChainVerdict>,
}

/// Whose chain it is, and who writes it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AuditChain {
    /// The tenant's id; absent for the records of no tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// The writer, 16 hexadecimal digits: a gateway, or zeros for what admins do.
    writer: String,
}

/// What is wrong with a chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChainProblem {
    /// The chain.
    chain: AuditChain,
    /// The number of the record; absent when it is the chain as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    /// What is wrong.
    what: String,
}

/// What was found of a chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChainVerdict {
    /// The chain.
    chain: AuditChain,
    /// The number of the record before the first that was looked at.
    after: u64,
    /// Whether what came before it was removed because of its age, by the gateway's signed word.
    anchored: bool,
    /// Records that were looked at.
    records: u64,
    /// The number of the last of them.
    last: u64,
    /// Signed checkpoints that were held against it.
    checkpoints: usize,
    /// The last record that a signed checkpoint covers: what came after it could be cut off unseen.
    covered: u64,
}

/// Says whether the records of a tenant were changed, removed or moved.
#[utoipa::path(post, path = "/tenants/{tenant}/audit/verify", operation_id = "verify_tenant_audit", tag = "audit", request_body = Verification,
    params(("tenant" = String, Path, description = "The tenant's name.")),
    responses((status = 200, description = "What was found.", body = VerificationReport)))]
pub(in super::super) async fn of_tenant(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    Body(how): Body<Verification>,
) -> Result<Json<VerificationReport>, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::See(&tenant))?;
    let of = Some(Some(desk.tenant(&tenant).await?.id));
    run(&desk, &pass, of, how).await
}

/// Says whether any records were changed, removed or moved: those of all tenants and of none.
#[utoipa::path(post, path = "/audit/verify", operation_id = "verify_audit", tag = "audit", request_body = Verification, params(PlatformChains),
    responses(
        (status = 200, description = "What was found.", body = VerificationReport),
        (status = 404, description = "There is no tenant of the name in the query.")))]
pub(in super::super) async fn of_all(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Query(chains): Query<PlatformChains>,
    Body(how): Body<Verification>,
) -> Result<Json<VerificationReport>, Problem> {
    let pass = admin.may(Need::Platform)?;
    let PlatformChains { tenant, tenant_id, no_tenant } = chains;
    let of = whose(&desk, tenant.as_deref(), tenant_id.as_deref(), no_tenant).await?;
    run(&desk, &pass, of, how).await
}

async fn run(desk: &Desk, pass: &Pass, of: Of, how: Verification) -> Result<Json<VerificationReport>, Problem> {
    let Checked { from, time, keys, elsewhere } = how.check(of)?;
    let keys = keys.map_or_else(|| publics(desk), Ok)?;
    let _turn = turn().await?;
    let until = Instant::now() + time;
    let note = pass.note("verified the audit");
    desk.store().audit_note(of.flatten(), Action::AuditQuery, &note).await?;
    let found = verify::part(desk.store(), of, &keys, &elsewhere, from, until).await.map_err(told)?;
    let unchained = if from.is_none() { desk.store().audit_unchained(of.flatten()).await? } else { 0 };
    Ok(Json(VerificationReport::of(&found, unchained)))
}

/// The store's own words, where it is the store.
fn told(found: anyhow::Error) -> Problem {
    match found.downcast::<StoreError>() {
        Ok(store) => Problem::from(store),
        Err(other) => {
            error!(error = format!("{other:#}"), "the audit cannot be verified");
            Problem::internal()
        }
    }
}

/// A request that makes sense.
struct Checked {
    from: Option<Place>,
    time: Duration,
    keys: Option<Vec<[u8; 32]>>,
    elsewhere: Vec<Checkpoint>,
}

impl Verification {
    fn check(self, of: Of) -> Result<Checked, Problem> {
        let mut errors = Vec::new();
        let from = place(self.cursor, of);
        let from = from.unwrap_or_else(|()| {
            errors.push(wrong("/cursor", "expected `next` of an earlier answer to the same question, unchanged"));
            None
        });
        let max_s = self.max_s.unwrap_or(VERIFY_TIME_S);
        if max_s > VERIFY_TIME_S_MAX {
            errors.push(wrong("/max_s", format!("expected 0 to {VERIFY_TIME_S_MAX}")));
        }
        let keys = self.public_keys.map(|given| public_keys(&given, &mut errors));
        let elsewhere = checkpoints(&self.checkpoints, &mut errors);
        let time = Duration::from_secs(max_s.into());
        if errors.is_empty() { Ok(Checked { from, time, keys, elsewhere }) } else { Err(Problem::invalid(errors)) }
    }
}

fn public_keys(given: &[String], errors: &mut Vec<FieldError>) -> Vec<[u8; 32]> {
    if !(1..=PUBLIC_KEYS_GIVEN_MAX).contains(&given.len()) {
        errors.push(wrong("/public_keys", format!("expected 1 to {PUBLIC_KEYS_GIVEN_MAX} keys")));
        return Vec::new();
    }
    let mut keys = Vec::with_capacity(given.len());
    for (number, text) in given.iter().enumerate() {
        match unhex(text) {
            Some(key) => keys.push(key),
            None => errors.push(wrong(&format!("/public_keys/{number}"), "expected 64 hexadecimal digits")),
        }
    }
    keys
}

fn checkpoints(given: &[serde_json::Value], errors: &mut Vec<FieldError>) -> Vec<Checkpoint> {
    if given.len() > CHECKPOINTS_GIVEN_MAX {
        errors.push(wrong("/checkpoints", format!("expected {CHECKPOINTS_GIVEN_MAX} at the most")));
        return Vec::new();
    }
    let mut checkpoints = Vec::with_capacity(given.len());
    for (number, line) in given.iter().enumerate() {
        match Line::read(&line.to_string()).and_then(|line| line.as_checkpoint()) {
            Ok(checkpoint) => checkpoints.push(checkpoint),
            Err(told) => errors.push(wrong(&format!("/checkpoints/{number}"), told.to_string())),
        }
    }
    checkpoints
}

/// The cursor of a place.
fn cursor_of(place: &Place) -> String {
    let tenant = place.chain.tenant.map_or_else(|| "-".to_owned(), |tenant| tenant.to_string());
    let Link { seq, hash } = &place.after;
    cursor(&format!("{tenant} {:016x} {seq} {}", place.chain.writer.0, hex(hash)))
}

/// The place of a cursor, if it is one of those that are asked about.
fn place(cursor: Option<String>, of: Of) -> Result<Option<Place>, ()> {
    let Some(text) = (PageQuery { limit: None, cursor }).after().map_err(drop)? else { return Ok(None) };
    let parts: Vec<_> = text.split(' ').collect();
    let [tenant, writer, seq, hash] = parts[..] else { return Err(()) };
    let tenant = if tenant == "-" { None } else { Some(tenant.parse().map_err(drop)?) };
    if of.is_some_and(|of| of != tenant) {
        return Err(());
    }
    let writer = WriterId(u64::from_str_radix(writer, 16).map_err(drop)?);
    let after = Link { seq: seq.parse().map_err(drop)?, hash: unhex(hash).ok_or(())? };
    Ok(Some(Place { chain: ChainId { tenant, writer }, after }))
}

impl VerificationReport {
    fn of(found: &Found, unchained: u64) -> Self {
        let Found { verdicts, next } = found;
        let problems: Vec<_> = verdicts.iter().filter_map(ChainProblem::of).collect();
        // The chain that goes on is not looked at to its end.
        let open = next.is_some_and(|next| verdicts.last().is_some_and(|last| last.chain == next.chain));
        Self {
            ok: problems.is_empty(),
            complete: next.is_none(),
            next: next.as_ref().map(cursor_of),
            chains: verdicts.len() - usize::from(open),
            records: verdicts.iter().map(|verdict| verdict.records).sum(),
            checkpoints: verdicts.iter().map(|verdict| verdict.checkpoints).sum(),
            unchained,
            problems,
            verdicts: verdicts.iter().map(ChainVerdict::of).collect(),
        }
    }
}

impl AuditChain {
    fn of(chain: ChainId) -> Self {
        Self { tenant: chain.tenant.map(|tenant| tenant.to_string()), writer: format!("{:016x}", chain.writer.0) }
    }
}

impl ChainProblem {
    fn of(verdict: &Verdict) -> Option<Self> {
        let fault = verdict.fault.as_ref()?;
        Some(Self { chain: AuditChain::of(verdict.chain), at: fault.seq(), what: fault.to_string() })
    }
}

impl ChainVerdict {
    fn of(verdict: &Verdict) -> Self {
        let Verdict { chain, begin, is_anchored, records, last, checkpoints, covered, fault: _ } = *verdict;
        Self { chain: AuditChain::of(chain), after: begin, anchored: is_anchored, records, last, checkpoints, covered }
    }
}
