//! `sealing-key status` and `sealing-key reseal`: which keys are known, by their numbers, and sealing everything anew with the
//! current one. Nothing of a key is ever shown.

use clap::Subcommand;
use serde::Deserialize;

use super::{
    Desk,
    api::{Api, Ask},
    say,
};

/// The sealing key.
#[derive(Debug, Subcommand)]
pub(super) enum Sealing {
    /// Say which keys are known: the one that seals, and those that only open what was sealed before.
    Status {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Seal everything anew that was sealed with an old key. Do it when all replicas have the new key as the current one. The exit
    /// code is 0 when no secret needs an old key any more.
    Reseal {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Deserialize)]
struct Keys {
    current: Key,
    old: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    id: u8,
    source: String,
}

/// What sealing anew did.
#[derive(Debug, Deserialize)]
struct Done {
    key: u8,
    current: u64,
    resealed: u64,
    closed: u64,
}

impl Sealing {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let api = Api::open(desk).await?;
        let done = match self {
            Self::Status { json } => status(&api, json).await,
            Self::Reseal { json } => reseal(&api, json).await,
        };
        api.close().await;
        done
    }
}

async fn status(api: &Api, json: bool) -> anyhow::Result<()> {
    let answer = api.ask(Ask::get("/sealing-key")).await?;
    if json {
        say(&serde_json::to_string_pretty(&answer.json()?)?);
        return Ok(());
    }
    let Keys { current, old } = answer.read()?;
    say(&format!("key {} ({}) seals", current.id, current.source));
    for key in &old {
        say(&format!("key {} ({}) only opens what was sealed before", key.id, key.source));
    }
    Ok(())
}

async fn reseal(api: &Api, json: bool) -> anyhow::Result<()> {
    let answer = api.ask(Ask::act("/sealing-key/reseal")).await?;
    let done: Done = answer.read()?;
    if json {
        say(&serde_json::to_string_pretty(&answer.json()?)?);
    } else {
        say(&done.sentence());
    }
    anyhow::ensure!(
        done.closed == 0,
        "{} secrets are opened by no known key and stay as they are: add the key that sealed them to sealing_keys_old, or give them \
         anew",
        done.closed
    );
    Ok(())
}

impl Done {
    fn sentence(&self) -> String {
        let Self { key, current, resealed, .. } = self;
        format!("{resealed} secrets were sealed anew with key {key}, and {current} were sealed with it before")
    }
}
