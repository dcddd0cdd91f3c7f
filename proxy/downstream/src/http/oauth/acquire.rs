//! One token, got once for all replicas: the one in the vault when it does, else a new one from the authorization server, under
//! the lease. Who has not got the lease looks into the vault until the new token is there or the lease has run out.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use patchbay_core::model::ServerOauth;
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::{
    OauthOptions,
    authority::{Authority, Probe, Search},
    challenge::Challenge,
    client::Client,
    grant,
    paper::{Held, Paper},
    problem::{Problem, spread},
    vault::Vault,
};
use crate::fetch::Fetcher;

/// What finding the authorization server and asking it may take together, and how long the lease for that is.
const ASK_PATIENCE: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_secs(25);
/// How often who waits looks into the vault, and for how long at the most.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long it is believed who gives tokens.
const AUTHORITY_LIFE: Duration = Duration::from_secs(60 * 60);

/// What a token has to be.
#[derive(Default)]
pub(super) struct Need {
    /// Another one than this, which the server refused.
    pub(super) not: Option<Arc<Held>>,
    /// What it said then.
    pub(super) challenge: Option<Challenge>,
    /// With these scopes, besides those that are asked for anyway.
    pub(super) scopes: BTreeSet<String>,
    /// Whether that is the reason.
    pub(super) is_step_up: bool,
}

/// Where the tokens of one server come from.
pub(crate) struct Source {
    fetcher: Fetcher,
    server: Url,
    probe: Probe,
    spec: ServerOauth,
    client: Client,
    vault: Vault,
    learned: Mutex<Learned>,
}

#[derive(Default)]
struct Learned {
    authority: Option<(Arc<Authority>, Instant)>,
    /// The issuer that the client was shown to.
    issuer: Option<String>,
}

impl Source {
    /// The source that the options describe; an error in words when they do not make one.
    pub(crate) fn new(options: OauthOptions, fetcher: Fetcher, server: Url, probe: Probe) -> Result<Self, String> {
        let client = Client::new(&options)?;
        if options.spec.issuer.as_ref().is_some_and(|issuer| Url::parse(issuer).is_err()) {
            return Err("its issuer is no URL".to_owned());
        }
        let (spec, vault) = (options.spec, Vault::new(options.vault));
        Ok(Self { fetcher, server, probe, spec, client, vault, learned: Mutex::default() })
    }

    pub(super) const fn server(&self) -> &Url {
        &self.server
    }

    /// A text without the client's secret.
    pub(super) fn struck(&self, text: String) -> String {
        self.client.secrets().fold(text, |text, secret| text.replace(secret.expose_secret(), "***"))
    }

    /// Gets a token. `current` is the one that still serves, if any.
    pub(super) async fn acquire(&self, need: &Need, current: Option<&Arc<Held>>) -> Result<Held, Problem> {
        let until = Instant::now() + WAIT_MAX;
        loop {
            if let Some(held) = self.kept(need, current).await {
                return Ok(held);
            }
            if self.vault.lease(LEASE).await {
                break;
            }
            if Instant::now() >= until {
                return Err(Problem::passing("another replica gets the token, and does not end"));
            }
            sleep(spread(LOOK_AGAIN)).await;
        }
        // It may have come between the look and the lease.
        if let Some(held) = self.kept(need, current).await {
            self.vault.release().await;
            return Ok(held);
        }
        let asked = timeout(ASK_PATIENCE, self.ask(need)).await;
        match asked.unwrap_or_else(|_| Err(Problem::passing("the authorization server takes too long"))) {
            Ok(held) => {
                self.vault.save(&held.stored).await;
                Ok(held)
            }
            Err(problem) => {
                self.vault.release().await;
                Err(problem)
            }
        }
    }

    /// The token in the vault, when it is what is needed.
    async fn kept(&self, need: &Need, current: Option<&Arc<Held>>) -> Option<Held> {
        let paper = Paper::read(&self.vault.load().await?, &self.server, &self.spec)?;
        self.learned().issuer.get_or_insert_with(|| paper.issuer.clone());
        let is_enough = paper.covers(&self.spec.scopes) && paper.covers(&need.scopes);
        let held = paper.held()?;
        if need.not.as_ref().is_some_and(|refused| refused.is(&held)) {
            self.vault.forget(&held.stored).await;
            return None;
        }
        let is_better = match current {
            // Nothing serves: whatever is alive does.
            None => true,
            Some(current) if need.is_step_up => !held.is(current),
            Some(current) => held.is_later_than(current) && !held.is_due(),
        };
        (is_enough && is_better && held.is_alive()).then_some(held)
    }

    async fn ask(&self, need: &Need) -> Result<Held, Problem> {
        let authority = self.authority(need).await?;
        let mut scopes = need.scopes.clone();
        scopes.extend(authority.scopes.iter().cloned());
        let listed: Vec<String> = scopes.iter().cloned().collect();
        self.learned().issuer = Some(authority.issuer.clone());
        let granted = grant::ask(&self.fetcher, &self.client, &authority, &listed).await;
        let granted = granted.inspect_err(|_| self.learned().authority = None)?;
        let paper = Paper::new(granted, &self.server, &self.spec, &authority, scopes);
        paper.held().ok_or_else(|| Problem::lasting("the authorization server gave a token that cannot be used"))
    }

    /// Who gives tokens: as it was found of late, unless the server just refused one.
    async fn authority(&self, need: &Need) -> Result<Arc<Authority>, Problem> {
        let known_issuer = {
            let learned = self.learned();
            if let Some((authority, at)) = &learned.authority
                && need.not.is_none()
                && at.elapsed() < AUTHORITY_LIFE
            {
                return Ok(authority.clone());
            }
            learned.issuer.clone()
        };
        let search = Search {
            fetcher: &self.fetcher,
            server: &self.server,
            probe: &self.probe,
            spec: &self.spec,
            known_issuer: known_issuer.as_deref(),
        };
        let authority = Arc::new(search.run(need.challenge.clone()).await?);
        self.learned().authority = Some((authority.clone(), Instant::now()));
        Ok(authority)
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
