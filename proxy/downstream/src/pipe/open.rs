//! Opens a connection: finds the era out and says hello. A modern server answers `server/discover`; whatever else comes back,
//! or nothing, means `initialize` (2026-07-28, versioning, stdio).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use patchbay_core::{
    era::{Era, Version},
    model::EraPin,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Pipe,
    call::{Waiter, response},
    hello::{self, Outcome},
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
    pipe.level.declare(&hello.capabilities);
    if hello.era() == Era::Legacy {
        pipe.say("notifications/initialized");
    }
    Ok(hello)
}

/// Asks for the modern era and falls back. The probe stays open meanwhile: a slow modern server answers it late.
async fn probe(pipe: &Arc<Pipe>, opening: &Opening) -> Result<Found, OpenError> {
    let patience = opening.deadline.min(Instant::now() + opening.probe_timeout);
    let mut probe = pipe.ask(&Outgoing::plain("server/discover", Vec::new()), Era::Modern, opening.deadline).await?;
    let silent = match timeout_at(patience, response(&mut probe)).await {
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
    if silent && let Ok(Ok(line)) = timeout(LATE_PROBE, response(&mut probe)).await {
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
    let version = match opening.pin {
        EraPin::Sse => hello::BEFORE_ALL,
        _ => Version::NEWEST_LEGACY.as_str(),
    };
    let params = format!(
        r#""protocolVersion":"{}","capabilities":{},"clientInfo":{}"#,
        version,
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
    timeout_at(deadline, response(waiter)).await.map_err(|_| late())?
}

pub(super) fn text(line: &[u8]) -> Result<&str, DownstreamError> {
    std::str::from_utf8(line).map_err(|_| protocol("its answer is not UTF-8".to_owned()))
}

fn protocol(detail: String) -> DownstreamError {
    DownstreamError::not_sent(Fault::Protocol, detail)
}
