//! Opens a connection: finds the era out and says hello. A modern server answers `server/discover`; whatever else comes back,
//! or nothing, means `initialize` (2026-07-28, versioning, stdio).

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use patchbay_core::{
    era::{Era, Version},
    json,
    model::EraPin,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Pipe,
    call::Waiter,
    hello::{self, Outcome},
    inbox::Item,
};
use crate::{DownstreamError, Fault, Hello, Outgoing, wire};

/// How long the answer to an earlier probe may lag behind a refused `initialize`.
const LATE_PROBE: Duration = Duration::from_secs(1);

/// How a connection is opened.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    /// What the configuration says.
    pub(crate) pin: EraPin,
    /// What was found the last time.
    pub(crate) remembered: Option<Era>,
    /// How long a probe may stay without answer: old servers are silent to what they do not know.
    pub(crate) probe_timeout: Duration,
    /// When all of it must be done.
    pub(crate) deadline: Instant,
}

/// Why a connection was not opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It ended after a probe: some old servers do not survive one. Without a probe it may go well.
    DiedOfProbe,
    /// It failed.
    Failed(DownstreamError),
}

impl From<DownstreamError> for OpenError {
    fn from(error: DownstreamError) -> Self {
        Self::Failed(error)
    }
}

/// What an attempt at one era found.
enum Found {
    Hello(Hello),
    /// The server answered and wants the other era; in words what it said.
    OtherEra(String),
}

/// Opens a fresh connection and remembers its era in it.
pub(crate) async fn open(pipe: &Arc<Pipe>, opening: &Opening) -> Result<Hello, OpenError> {
    let found = match (opening.pin, opening.remembered) {
        (EraPin::Modern, _) => discover(pipe, opening).await?,
        (EraPin::Legacy | EraPin::Sse, _) => initialize(pipe, opening).await?,
        (EraPin::Auto, Some(Era::Legacy)) => match initialize(pipe, opening).await? {
            Found::OtherEra(_) => discover(pipe, opening).await?,
            found => found,
        },
        (EraPin::Auto, _) => probe(pipe, opening).await?,
    };
    let hello = match found {
        Found::Hello(hello) => hello,
        Found::OtherEra(said) => return Err(protocol(format!("no handshake succeeded: {said}")).into()),
    };
    // The first to open decides; nobody else opens this connection.
    let _ = pipe.era.set(hello.era());
    if hello.era() == Era::Legacy {
        pipe.post(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec());
    }
    Ok(hello)
}

/// Asks for the modern era and falls back. The probe stays open meanwhile: a slow modern server answers it late.
async fn probe(pipe: &Arc<Pipe>, opening: &Opening) -> Result<Found, OpenError> {
    let patience = opening.deadline.min(Instant::now() + opening.probe_timeout);
    let mut probe = pipe.ask(&Outgoing::plain("server/discover", Vec::new()), Era::Modern, opening.deadline).await?;
    let silent = match timeout_at(patience, end(&mut probe)).await {
        Ok(Err(error)) if error.fault == Fault::Closed => return Err(OpenError::DiedOfProbe),
        Ok(answer) => match answer.and_then(|line| discovered(&line)) {
            Ok(Found::Hello(hello)) => return Ok(Found::Hello(hello)),
            _ => false,
        },
        Err(_) => true,
    };
    let said = match initialize(pipe, opening).await {
        Ok(Found::Hello(hello)) => return Ok(Found::Hello(hello)),
        Ok(Found::OtherEra(said)) => said,
        Err(error) if error.fault == Fault::Closed => return Err(OpenError::DiedOfProbe),
        Err(error) => return Err(error.into()),
    };
    if silent && let Ok(Ok(line)) = timeout(LATE_PROBE, end(&mut probe)).await {
        return Ok(discovered(&line)?);
    }
    Ok(Found::OtherEra(said))
}

async fn discover(pipe: &Arc<Pipe>, opening: &Opening) -> Result<Found, DownstreamError> {
    let request = Outgoing::plain("server/discover", Vec::new());
    let mut waiter = pipe.ask(&request, Era::Modern, opening.deadline).await?;
    discovered(&in_time(opening.deadline, &mut waiter).await?)
}

fn discovered(line: &Bytes) -> Result<Found, DownstreamError> {
    match hello::outcome(text(line)?) {
        Outcome::Result(result) => Ok(match hello::of_discover(result) {
            Some(hello) => Found::Hello(hello),
            None => Found::OtherEra("it supports no modern revision that is served".to_owned()),
        }),
        Outcome::Error(refusal) if refusal.is_modern() && refusal.code != -32022 => Ok(Found::Hello(hello::reticent())),
        Outcome::Error(refusal) => Ok(Found::OtherEra(format!("{} ({})", refusal.message, refusal.code))),
        Outcome::Broken => Err(protocol("its answer to `server/discover` is no response".to_owned())),
    }
}

async fn initialize(pipe: &Arc<Pipe>, opening: &Opening) -> Result<Found, DownstreamError> {
    let params = format!(
        r#""protocolVersion":"{}","capabilities":{},"clientInfo":{}"#,
        Version::NEWEST_LEGACY,
        pipe.wiring.capabilities,
        wire::client_info()
    );
    let request = Outgoing::plain("initialize", vec![Bytes::from(params)]);
    let mut waiter = pipe.ask(&request, Era::Legacy, opening.deadline).await?;
    let line = in_time(opening.deadline, &mut waiter).await?;
    match hello::outcome(text(&line)?) {
        Outcome::Result(result) => hello::of_initialize(result).map(Found::Hello).map_err(protocol),
        Outcome::Error(refusal) => Ok(Found::OtherEra(format!("{} ({})", refusal.message, refusal.code))),
        Outcome::Broken => Err(protocol("its answer to `initialize` is no response".to_owned())),
    }
}

async fn in_time(deadline: Instant, waiter: &mut Waiter) -> Result<Bytes, DownstreamError> {
    let late = || DownstreamError::not_sent(Fault::Unavailable, "it did not answer the handshake in time");
    timeout_at(deadline, end(waiter)).await.map_err(|_| late())?
}

/// The response; what comes before it says nothing to a handshake.
async fn end(waiter: &mut Waiter) -> Result<Bytes, DownstreamError> {
    loop {
        if let Item::End(end) = waiter.next().await {
            return end;
        }
    }
}

fn text(line: &[u8]) -> Result<&str, DownstreamError> {
    std::str::from_utf8(line).map_err(|_| protocol("its answer is not UTF-8".to_owned()))
}

fn protocol(detail: String) -> DownstreamError {
    DownstreamError::not_sent(Fault::Protocol, detail)
}

/// How listening for changes ended.
pub(crate) enum Heard {
    /// The server ended it; it may be asked again.
    Ended,
    /// The server does not do it.
    Refused,
}

impl Pipe {
    /// Asks a modern server to tell of changed lists and waits until it no longer does. What it tells goes to the events.
    pub(crate) async fn listen(self: &Arc<Self>, hello: &Hello) -> Heard {
        let wanted: Vec<String> = ["tools", "prompts", "resources"]
            .into_iter()
            .filter(|list| json::at_path(&hello.capabilities, &[list, "listChanged"]) == Some("true"))
            .map(|list| format!(r#""{list}ListChanged":true"#))
            .collect();
        if wanted.is_empty() {
            return Heard::Refused;
        }
        let params = format!(r#""notifications":{{{}}}"#, wanted.join(","));
        let request = Outgoing::plain("subscriptions/listen", vec![Bytes::from(params)]);
        let soon = Instant::now() + Duration::from_secs(10);
        let Ok(mut waiter) = self.ask(&request, Era::Modern, soon).await else { return Heard::Ended };
        match end(&mut waiter).await {
            Ok(line) if matches!(text(&line).map(hello::outcome), Ok(Outcome::Result(_))) => Heard::Ended,
            Ok(_) => Heard::Refused,
            Err(_) => Heard::Ended,
        }
    }

    /// Listens for as long as the connection lives; `again` is told after each gap.
    pub(crate) async fn keep_listening(self: &Arc<Self>, hello: &Hello, again: impl Fn()) -> Infallible {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.listen(hello).await {
                Heard::Refused => std::future::pending().await,
                Heard::Ended => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(60));
            again();
        }
    }
}
