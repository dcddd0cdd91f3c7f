//! How somebody's limits stand, for operators: looks and takes nothing. The operations listener answers with it, and
//! `patchbay limits show` prints it. Each limit says what else must be named for it to be a number.

use std::{sync::Arc, time::Duration};

use patchbay_core::{
    KeyId, ServerId, Slug,
    limits::{Dimension, Met, Planned, PlannedAmount, RuleSet, WhenAway},
    model::DEFAULT_TOOLSET,
    snapshot::View,
};
use patchbay_limit::{Ask, Charge, Place, Standing};
use serde::{Deserialize, Serialize};

use crate::{app::App, tenancy::TenantState};

/// Whose limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// The tenant's name.
    pub(crate) tenant: String,
    /// The toolset; without one, the default.
    pub(crate) toolset: Option<String>,
    /// The id of an API key, or a person as `issuer:subject`.
    pub(crate) principal: Option<String>,
    /// A server, for limits that are counted by servers.
    pub(crate) server: Option<String>,
    /// A tool as `server/native`, for limits that are counted by tools.
    pub(crate) tool: Option<String>,
}

/// How they stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The tenant.
    pub(crate) tenant: String,
    /// The toolset.
    pub(crate) toolset: String,
    /// Whose counts these are.
    pub(crate) principal: Option<String>,
    /// How limits are counted now: `memory`, `shared`, `away`.
    pub(crate) mode: String,
    /// The limits that requests through this toolset can meet, in their order.
    pub(crate) limits: Vec<Row>,
}

/// How one limit stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// What it is counted by; nothing means by the tenant.
    pub(crate) by: Vec<Dimension>,
    /// What it lets through.
    #[serde(flatten)]
    pub(crate) amount: Amount,
    /// What is left; absent where something has to be named for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<u32>,
    /// In how many milliseconds all of it is there again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) full_in_ms: Option<u64>,
    /// What has to be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) needs: Option<Dimension>,
    /// What becomes of it while nobody counts for all replicas.
    pub(crate) away: WhenAway,
    /// Whether it refuses nobody.
    pub(crate) dry_run: bool,
}

/// What a limit lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Amount {
    /// A rate.
    Rate {
        /// How many.
        count: u32,
        /// In how many seconds.
        per_s: u64,
        /// How many at once after a pause.
        burst: u32,
    },
    /// Calls at once.
    Concurrent {
        /// How many.
        concurrent: u32,
    },
}

/// A question about something that is not there. The words are the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookError {
    /// No such tenant.
    #[error("there is no tenant `{0}` here: `patchbay tenant list` names those there are")]
    Tenant(String),
    /// No such toolset.
    #[error("the tenant has no toolset `{0}`; it has: {1}")]
    Toolset(String, String),
    /// No such key.
    #[error("the tenant has no key {0} that opens anything: `patchbay key list` shows the ids and which are active")]
    Key(KeyId),
    /// Not a principal.
    #[error("`{0}` is no principal: expected the id of an API key, as `patchbay key list` shows it, or issuer:subject")]
    Principal(String),
    /// No such issuer.
    #[error("the tenant has no issuer `{0}`; it has: {1}")]
    Issuer(String, String),
    /// No such server.
    #[error("the toolset has no server `{0}`; it has: {1}")]
    Server(String, String),
    /// No such tool.
    #[error("the toolset has no tool `{0}`: expected server/native, the tool's own name at its server")]
    Tool(String),
}

/// Who is asked about.
struct Who {
    digest: [u8; 16],
    key: Option<KeyId>,
}

/// Answers the question.
///
/// # Errors
/// [`LookError`].
pub(crate) async fn look(app: &App, question: &Question) -> Result<Report, LookError> {
    let state = app.tenants.state(&question.tenant).ok_or_else(|| LookError::Tenant(question.tenant.clone()))?;
    let view = view(&state, question.toolset.as_deref().unwrap_or(DEFAULT_TOOLSET))?;
    let who = question.principal.as_deref().map(|text| who(app, &state, text)).transpose()?;
    let aim = aim(&state, view, question)?;
    let snapshot = &state.snapshot;
    let met = Met {
        tenant: snapshot.tenant,
        principal: who.as_ref().map_or([0; 16], |who| who.digest),
        key: who.as_ref().and_then(|who| who.key),
        toolset: &view.toolset,
        server: aim.server,
        tool: aim.tool.as_deref(),
    };
    let mut rows = Vec::new();
    let (mut charges, mut places) = (Vec::new(), Vec::new());
    for at in aim.rules.places() {
        let Some(rule) = snapshot.limits.rules().get(at) else { continue };
        let needs = needs(rule, who.as_ref(), &aim);
        let key = if needs.is_none() { snapshot.limits.key(at, &met) } else { None };
        if needs.is_none() && key.is_none() {
            // Counted by something that this principal has not: it never meets it.
            continue;
        }
        let (away, dry_run) = (rule.away, rule.dry_run);
        match (key, rule.amount) {
            (Some(key), PlannedAmount::Rate(_, gcra)) => {
                charges.push((rows.len(), Charge { key, gcra, cost: 0, away, dry_run }));
            }
            (Some(key), PlannedAmount::Concurrent(max)) => places.push((rows.len(), Place { key, max, away, dry_run })),
            (None, _) => {}
        }
        rows.push(row(rule, needs));
    }
    let (of_charges, charges): (Vec<_>, Vec<_>) = charges.into_iter().unzip();
    let (of_places, places): (Vec<_>, Vec<_>) = places.into_iter().unzip();
    let ask = Ask { tenant: snapshot.tenant, charges: &charges, places: &places, hold: Duration::ZERO };
    let standings = app.limits.tenants.look(&ask, app.limits.clock.now_us()).await;
    for (row, standing) in of_charges.into_iter().chain(of_places).zip(standings) {
        rows[row].stands(&standing);
    }
    Ok(Report {
        tenant: question.tenant.clone(),
        toolset: view.toolset.to_string(),
        principal: question.principal.clone(),
        mode: app.limits.tenants.mode().as_str().to_owned(),
        limits: rows,
    })
}

impl Row {
    fn stands(&mut self, standing: &Standing) {
        self.left = Some(standing.remaining);
        if matches!(self.amount, Amount::Rate { .. }) {
            self.full_in_ms = Some(u64::try_from(standing.reset_after.as_micros().div_ceil(1000)).unwrap_or(u64::MAX));
        }
    }
}

fn row(rule: &Planned, needs: Option<Dimension>) -> Row {
    let amount = match rule.amount {
        PlannedAmount::Rate(rate, _) => {
            Amount::Rate { count: rate.count, per_s: rate.period.as_secs(), burst: rate.burst }
        }
        PlannedAmount::Concurrent(max) => Amount::Concurrent { concurrent: max },
    };
    Row {
        name: rule.name.to_string(),
        by: rule.by.clone(),
        amount,
        left: None,
        full_in_ms: None,
        needs,
        away: rule.away,
        dry_run: rule.dry_run,
    }
}

/// The first thing that the rule is counted by and that the question does not name.
fn needs(rule: &Planned, who: Option<&Who>, aim: &Aim) -> Option<Dimension> {
    rule.by.iter().copied().find(|by| match by {
        Dimension::Tenant | Dimension::Toolset => false,
        Dimension::Principal | Dimension::Key => who.is_none(),
        Dimension::Server => aim.server.is_none(),
        Dimension::Tool => aim.tool.is_none(),
    })
}

fn view<'a>(state: &'a TenantState, toolset: &str) -> Result<&'a View, LookError> {
    let views = &state.snapshot.views;
    views
        .get(toolset)
        .map(|view| &**view)
        .ok_or_else(|| LookError::Toolset(toolset.to_owned(), names(views.keys().map(Slug::as_str))))
}

fn who(app: &App, state: &TenantState, text: &str) -> Result<Who, LookError> {
    if let Ok(id) = text.parse::<KeyId>() {
        let known = app.keys.has(state.snapshot.tenant, id);
        let who = Who { digest: id.bits().to_be_bytes(), key: Some(id) };
        return known.then_some(who).ok_or(LookError::Key(id));
    }
    let (issuer, subject) = text.split_once(':').ok_or_else(|| LookError::Principal(text.to_owned()))?;
    let digest = issuer.parse().ok().and_then(|name: Slug| state.issuers.digest_of(&name, subject));
    let digest = digest.ok_or_else(|| {
        LookError::Issuer(issuer.to_owned(), names(state.issuers.hints().map(|hint| hint.name.as_str())))
    })?;
    Ok(Who { digest, key: None })
}

/// What the question is about besides who asks, and the rules that requests to it can meet.
struct Aim {
    server: Option<ServerId>,
    tool: Option<Arc<str>>,
    rules: RuleSet,
}

fn aim(state: &TenantState, view: &View, question: &Question) -> Result<Aim, LookError> {
    let servers = &state.snapshot.servers;
    let server = |name: &str| {
        let found = view.servers.iter().copied().find(|at| servers[*at].slug.as_str() == name);
        found.ok_or_else(|| {
            LookError::Server(name.to_owned(), names(view.servers.iter().map(|at| servers[*at].slug.as_str())))
        })
    };
    if let Some(tool) = &question.tool {
        let (name, native) = tool.split_once('/').ok_or_else(|| LookError::Tool(tool.clone()))?;
        let at = server(name)?;
        let route = view.tools.values().find(|route| route.server == at && *route.native == *native);
        let route = route.ok_or_else(|| LookError::Tool(tool.clone()))?;
        let rules = RuleSet(view.limits.0 | route.limits.0);
        return Ok(Aim { server: Some(servers[at].id), tool: Some(route.native.clone()), rules });
    }
    let only = question.server.as_deref().map(server).transpose()?;
    let counts = |at: usize| only.is_none_or(|only| only == at);
    let of_servers = view.servers.iter().filter(|at| counts(**at)).filter_map(|at| view.server_limits.get(*at));
    let of_tools = view.tools.values().filter(|route| counts(route.server)).map(|route| &route.limits);
    let rules = of_servers.chain(of_tools).fold(view.limits.0, |all, rules| all | rules.0);
    Ok(Aim { server: only.map(|at| servers[at].id), tool: None, rules: RuleSet(rules) })
}

/// Names that an error lists.
const LISTED_MAX: usize = 24;

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    let more = all.len().saturating_sub(LISTED_MAX);
    all.truncate(LISTED_MAX);
    match (all.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => all.join(", "),
        (false, more) => format!("{} and {more} more", all.join(", ")),
    }
}
