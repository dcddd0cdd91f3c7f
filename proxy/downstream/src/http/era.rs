//! Which era a server speaks, found out by asking (`server/discover`, then `initialize`), remembered, and asked again when
//! calls show that it is wrong. One asks, the others wait for what it finds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use patchbay_core::{
    era::{Era, META_SERVER_INFO, Version},
    json,
    model::EraPin,
};
use tokio::time::Instant;

use super::{
    client::Lane,
    heads::era_word,
    patience::Patience,
    peer::Peer,
    refusal::{Refusal, read_refusal},
    reply::single,
    session::{Unopened, base_key},
};
use crate::{Delivery, DownstreamError, Event, Fault, Hello, Outgoing, wire};

/// How long a server may think about `server/discover`, before it is taken for an old one that stays silent.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// What a server said of itself, and whether it did so in this process.
pub(crate) struct Known {
    pub(crate) hello: Arc<Hello>,
    pub(crate) confirmed: bool,
}

/// What came back for a request of the handshake.
pub(crate) enum Asked {
    /// A response, and the headers that it came with.
    Answer(HeaderMap, Bytes),
    /// Something that a server of another era would say.
    Misfit(String),
    /// That it does not take the version that it names itself among those that it takes: worth another try.
    Again(String),
}

impl Peer {
    /// What the server says of itself.
    pub(crate) async fn hello(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Hello>, DownstreamError> {
        self.refuse_when_closed()?;
        match self.known.load_full() {
            Some(known) if known.confirmed => Ok(known.hello.clone()),
            known => self.ask_again(known, false, deadline).await,
        }
    }

    /// The era for the next call, and what it is based on. The operator's word and what is remembered are taken without
    /// asking: they cost no probe, and a call that shows them wrong asks again.
    pub(crate) async fn era(self: &Arc<Self>, deadline: Instant) -> Result<(Era, Option<Arc<Known>>), DownstreamError> {
        let known = self.known.load_full();
        let era = match (self.pin, &known) {
            (EraPin::Modern, _) => Era::Modern,
            (EraPin::Legacy | EraPin::Sse, _) => Era::Legacy,
            (EraPin::Auto, Some(known)) => known.hello.era(),
            (EraPin::Auto, None) => {
                self.ask_again(None, false, deadline).await?;
                let known = self.known.load_full();
                return Ok((known.as_ref().map_or(Era::Legacy, |known| known.hello.era()), known));
            }
        };
        Ok((era, known))
    }

    /// Asks the server what it is. `seen` is what the caller went by: when something newer is known by now, that is taken.
    /// With `doubt` what is remembered gives no order.
    pub(crate) async fn ask_again(
        self: &Arc<Self>,
        seen: Option<Arc<Known>>,
        doubt: bool,
        deadline: Instant,
    ) -> Result<Arc<Hello>, DownstreamError> {
        let patience = self.patience(deadline);
        let turn = self.asking.turn(&patience).await.map_err(|cut| cut.not_sent())??;
        let known = self.known.load_full();
        if let Some(known) = &known
            && known.confirmed
            && !seen.is_some_and(|seen| Arc::ptr_eq(&seen, known))
        {
            return Ok(known.hello.clone());
        }
        let remembered = known.filter(|_| !doubt).map(|known| known.hello.era());
        let asked = Box::pin(self.ask_in_order(order(self.pin, remembered), &patience)).await;
        if let Err(error) = &asked {
            self.status.failed(error);
            // Impatience is the asker's own.
            if error.fault != Fault::Timeout {
                turn.failed(error);
            }
        }
        asked
    }

    async fn ask_in_order(self: &Arc<Self>, eras: &[Era], patience: &Patience) -> Result<Arc<Hello>, DownstreamError> {
        let mut reasons = Vec::new();
        for era in eras {
            let found = match era {
                Era::Modern => self.discover(patience).await,
                Era::Legacy => self.handshake(patience).await,
            };
            match found {
                Ok(hello) => return Ok(hello),
                Err(Unopened::Misfit(why)) => reasons.push(format!("{}: {why}", era_word(*era))),
                Err(failed) => return Err(failed.into_error()),
            }
        }
        let detail = format!(
            "the server did not answer as an MCP server; expected a Streamable HTTP endpoint ({})",
            reasons.join("; ")
        );
        Err(DownstreamError::not_sent(Fault::Protocol, detail))
    }

    /// `initialize`, in the session that all share.
    async fn handshake(self: &Arc<Self>, patience: &Patience) -> Result<Arc<Hello>, Unopened> {
        let key = base_key();
        let (slot, session) = self.session(&key, patience).await?;
        if let Some(known) = self.known.load_full().filter(|known| known.confirmed && known.hello.era() == Era::Legacy)
        {
            return Ok(known.hello.clone());
        }
        // The session was open already while the server was taken for a modern one: ask once more.
        slot.forget(&session);
        self.session(&key, patience).await?;
        let known = self.known.load_full();
        known.map(|known| known.hello.clone()).ok_or_else(|| Unopened::Misfit("initialize gave nothing".into()))
    }

    /// `server/discover`, once more where the server refuses the version and names it (2026-07-28, versioning).
    async fn discover(self: &Arc<Self>, patience: &Patience) -> Result<Arc<Hello>, Unopened> {
        match self.discover_once(patience).await? {
            Some(hello) => Ok(hello),
            None => self
                .discover_once(patience)
                .await?
                .ok_or_else(|| Unopened::Misfit(format!("it refuses revision {}, and names it", Version::NEWEST))),
        }
    }

    /// `None` when it is worth another try.
    async fn discover_once(self: &Arc<Self>, patience: &Patience) -> Result<Option<Arc<Hello>>, Unopened> {
        let id = self.next_id();
        let request = Outgoing::plain("server/discover", Vec::new());
        let headers = self.client.heads.modern(&request).unwrap_or_default();
        let message = wire::request(id, &request, Era::Modern, "{}").into();
        let probing = patience.until(Instant::now() + PROBE_PATIENCE);
        match self.ask(headers, id, message, Era::Modern, &probing).await {
            Ok(Asked::Answer(_, message)) => match hello_of_discover(&message) {
                Ok(hello) => Ok(Some(self.learn(hello))),
                Err(why) => Err(Unopened::Misfit(format!("{why}: {}", self.client.excerpt(&message)))),
            },
            Ok(Asked::Misfit(why)) => Err(Unopened::Misfit(why)),
            Ok(Asked::Again(_)) => Ok(None),
            Err(error) if error.fault == Fault::Timeout && error.delivery == Delivery::MayHaveRun => {
                Err(Unopened::Misfit("no answer to server/discover".into()))
            }
            Err(error) => Err(Unopened::Failed(error)),
        }
    }

    /// Sends a request of the handshake and reads the one response.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        headers: HeaderMap,
        id: u64,
        message: Bytes,
        era: Era,
        patience: &Patience,
    ) -> Result<Asked, DownstreamError> {
        let sent = AtomicBool::new(false);
        let response = self.client.post(headers, message, Lane::Call, patience, &sent).await?;
        if response.status() == StatusCode::OK {
            let headers = response.headers().clone();
            return Ok(match single(self, response, id, patience).await? {
                Some(message) => Asked::Answer(headers, message),
                None => Asked::Misfit("an answer that is neither JSON nor a stream of events".into()),
            });
        }
        let refusal = read_refusal(&self.client, response, patience).await?;
        if era == Era::Modern && refusal.code() == Some(-32022) && refusal.names(Version::NEWEST) {
            return Ok(Asked::Again(refusal.error().detail));
        }
        match misfit(&refusal, era) {
            Some(why) => Ok(Asked::Misfit(why)),
            None => Err(refusal.error()),
        }
    }

    /// Keeps what the server said of itself, and tells when it is something new.
    pub(crate) fn learn(self: &Arc<Self>, hello: Hello) -> Arc<Hello> {
        let hello = Arc::new(hello);
        let before = self.known.swap(Some(Arc::new(Known { hello: hello.clone(), confirmed: true })));
        self.status.up();
        if before.is_some_and(|before| before.hello != hello) {
            self.silent.store(false, Ordering::Release);
            self.tell(Event::HelloChanged(hello.clone()));
        }
        self.listen_if_wanted();
        hello
    }
}

/// The eras to ask for, in this order.
const fn order(pin: EraPin, remembered: Option<Era>) -> &'static [Era] {
    match (pin, remembered) {
        (EraPin::Modern, _) => &[Era::Modern],
        (EraPin::Legacy | EraPin::Sse, _) => &[Era::Legacy],
        (EraPin::Auto, Some(Era::Legacy)) => &[Era::Legacy, Era::Modern],
        (EraPin::Auto, _) => &[Era::Modern, Era::Legacy],
    }
}

/// Whether a server refused a request of the handshake as one of another era would. What has another reason — no access, too
/// many requests, a gateway that cannot reach it — is none.
fn misfit(refusal: &Refusal, era: Era) -> Option<String> {
    let code = refusal.code();
    if era == Era::Modern && matches!(code, Some(-32020 | -32021)) {
        return None;
    }
    match refusal.status.as_u16() {
        401 | 403 | 407 | 408 | 429 => None,
        202 | 204 | 400..=499 | 500 | 501 => Some(refusal.error().detail),
        _ => None,
    }
}

/// What an `initialize` result says.
pub(crate) fn hello_of_initialize(message: &[u8]) -> Result<Hello, String> {
    let (version, mut hello) = hello_of(message, "initialize", "serverInfo")?;
    let version = version.ok_or("expected protocolVersion in the result of initialize")?;
    // 2024-11-05 over Streamable HTTP is what 2025-03-26 became; a server that says so speaks that.
    hello.version = match &*version {
        "2024-11-05" => Version::V2025_03_26,
        text => Version::parse(text).filter(|version| version.era() == Era::Legacy).ok_or_else(|| {
            let text: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
            format!("the server wants revision {text} of the protocol; expected 2025-03-26 to 2025-11-25")
        })?,
    };
    Ok(hello)
}

/// What a `server/discover` result says.
fn hello_of_discover(message: &[u8]) -> Result<Hello, String> {
    let (_, hello) = hello_of(message, "server/discover", "")?;
    let text = std::str::from_utf8(message).map_err(|error| error.to_string())?;
    let supported = json::at_path(text, &["result", "supportedVersions"]).unwrap_or("[]");
    let listed = json::elements(supported).map_err(|error| error.to_string())?;
    if listed.iter().any(|version| json::unquote(version).as_deref() == Some(Version::NEWEST.as_str())) {
        Ok(hello)
    } else {
        Err(format!("server/discover does not list revision {}", Version::NEWEST))
    }
}

/// The members that both have; the version, if any, as it is written.
fn hello_of(message: &[u8], method: &str, info: &str) -> Result<(Option<String>, Hello), String> {
    let text = std::str::from_utf8(message).map_err(|_| format!("the answer to {method} is not UTF-8"))?;
    let result = json::unique(text, "result").map_err(|error| format!("the answer to {method} is broken: {error}"))?;
    let result = result.ok_or_else(|| format!("expected a result of {method}"))?;
    let member =
        |name| json::unique(result, name).map_err(|error| format!("the result of {method} is broken: {error}"));
    let object = |text: Option<&str>| text.filter(|text| text.starts_with('{')).unwrap_or("{}").to_owned();
    let server_info = match member(info)? {
        Some(info) => Some(info),
        None => json::at_path(result, &["_meta", META_SERVER_INFO]),
    };
    let hello = Hello {
        version: Version::NEWEST,
        capabilities: object(member("capabilities")?),
        server_info: object(server_info),
        instructions: member("instructions")?.and_then(json::unquote).map(|text| text.into_owned()),
    };
    Ok((member("protocolVersion")?.and_then(json::unquote).map(|text| text.into_owned()), hello))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn initialized(version: &str) -> String {
        format!(
            r#"{{"result":{{"protocolVersion":"{version}","capabilities":{{"tools":{{"x":1e400}}}},"serverInfo":{{"name":"a"}},"instructions":"b\n"}},"jsonrpc":"2.0","id":1}}"#
        )
    }

    #[test]
    fn what_a_server_says_of_itself_is_kept_as_it_is_written() {
        let hello = hello_of_initialize(initialized("2025-06-18").as_bytes()).expect("a hello");
        assert_eq!(hello.version, Version::V2025_06_18);
        assert_eq!(hello.capabilities, r#"{"tools":{"x":1e400}}"#);
        assert_eq!((&*hello.server_info, hello.instructions.as_deref()), (r#"{"name":"a"}"#, Some("b\n")));
    }

    #[test]
    fn only_legacy_revisions_come_out_of_a_handshake() {
        let version = |text: &str| hello_of_initialize(initialized(text).as_bytes()).map(|hello| hello.version);
        assert_eq!(version("2024-11-05"), Ok(Version::V2025_03_26));
        for odd in ["2026-07-28", "2099-01-01", "", "\\u0007"] {
            assert!(version(odd).is_err_and(|why| !why.contains('\u{7}')), "{odd} was taken");
        }
    }

    #[test]
    fn a_discovery_without_the_modern_revision_is_none() {
        let discovered = |versions: &str| {
            let text = format!(
                r#"{{"id":1,"result":{{"supportedVersions":{versions},"capabilities":{{}},"_meta":{{"{META_SERVER_INFO}":{{"name":"m"}}}}}}}}"#
            );
            hello_of_discover(text.as_bytes())
        };
        assert_eq!(
            discovered(r#"["2025-11-25","2026-07-28"]"#).map(|hello| hello.server_info),
            Ok(r#"{"name":"m"}"#.into())
        );
        assert!(discovered(r#"["2025-11-25"]"#).is_err() && discovered("7").is_err());
    }

    #[test]
    fn what_is_remembered_is_asked_first_and_a_pin_is_asked_alone() {
        assert_eq!(order(EraPin::Auto, Some(Era::Legacy)), [Era::Legacy, Era::Modern]);
        assert_eq!(order(EraPin::Auto, None), [Era::Modern, Era::Legacy]);
        assert_eq!(order(EraPin::Modern, Some(Era::Legacy)), [Era::Modern]);
    }
}
