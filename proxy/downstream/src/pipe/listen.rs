//! What a peer tells outside of calls, and how it is brought to: a modern one by a listen request, a legacy one by a request for
//! each resource. It goes on for as long as the connection lives; what is told arrives at [`super::route`].

use std::{collections::BTreeSet, convert::Infallible, future::pending, sync::Arc, time::Duration};

use patchbay_core::{
    era::Era,
    json::{self, MessageHead},
};
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Pipe,
    call::{Waiter, response},
    hello::{self, Outcome},
    inbox::{Early, Item},
    open::text,
};
use crate::{
    DownstreamError, Hello, Outgoing,
    watched::{Told, Uris, changed, filter, is_offered, keep, note_accepted, uri_param},
};

/// The request that listens.
pub(super) const LISTEN: &str = "subscriptions/listen";
/// How long a listen request may stay without acknowledgement before the server is taken to do it without a word.
const ACK_PATIENCE: Duration = Duration::from_secs(10);
/// What the answer to a request to subscribe may take.
const TELL_PATIENCE: Duration = Duration::from_secs(10);
/// The first wait before the server is asked again, and the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How listening for changes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// The server ended it; it may be asked again.
    Ended,
    /// The server does not do it.
    Refused,
}

impl Pipe {
    /// Listens for as long as the connection lives; `again` is told after each gap.
    pub(crate) async fn keep_listening(
        self: &Arc<Self>,
        hello: &Hello,
        wanted: &mut Receiver<Uris>,
        again: impl Fn(),
    ) -> Infallible {
        if hello.era() == Era::Modern {
            return self.keep_asking(hello, wanted, again).await;
        }
        if is_offered(&hello.capabilities) {
            keep(&mut BTreeSet::new(), wanted, |method, uri| self.tell(method, uri)).await;
        }
        pending().await
    }

    /// One request to subscribe or unsubscribe.
    async fn tell(self: &Arc<Self>, method: &'static str, uri: Arc<str>) -> Told {
        let deadline = Instant::now() + TELL_PATIENCE;
        let answered = timeout_at(deadline, async {
            let request = Outgoing::plain(method, vec![uri_param(&uri)]);
            response(&mut self.ask(&request, Era::Legacy, deadline).await?).await
        });
        let Ok(Ok(line)) = answered.await else { return Told::Failed };
        match text(&line).map(hello::outcome) {
            Ok(Outcome::Result(_)) => Told::Taken,
            _ => {
                tracing::debug!(server.name = %self.wiring.name, "the server refused {method}");
                Told::Refused
            }
        }
    }

    /// Holds one listen request of a modern server, for what is wanted. When that changes, the next one begins before the last
    /// one ends.
    async fn keep_asking(self: &Arc<Self>, hello: &Hello, wanted: &mut Receiver<Uris>, again: impl Fn()) -> Infallible {
        let announces = |list: &&str| json::at_path(&hello.capabilities, &[list, "listChanged"]) == Some("true");
        let lists: Vec<&str> = ["tools", "prompts", "resources"].into_iter().filter(announces).collect();
        let nothing = Uris::default();
        let mut held: Option<Waiter> = None;
        let mut pause = PAUSE;
        loop {
            let uris = Arc::clone(&wanted.borrow_and_update());
            let uris = if is_offered(&hello.capabilities) { &uris } else { &nothing };
            let Some(params) = filter(&lists, uris) else {
                // Dropping it tells the server.
                held = None;
                changed(wanted).await;
                continue;
            };
            let began = Instant::now();
            let request = Outgoing::plain(LISTEN, vec![params]);
            let heard = match self.begin(&request, uris.len()).await {
                Err(heard) => heard,
                Ok(begun) => {
                    let mut begun = begun;
                    drop(held.take());
                    tokio::select! {
                        end = response(&mut begun) => heard(end),
                        () = changed(wanted) => {
                            held = Some(begun);
                            continue;
                        }
                    }
                }
            };
            if heard == Heard::Refused {
                changed(wanted).await;
                continue;
            }
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            again();
        }
    }

    /// Sends a listen request and waits until the server says that it hears.
    async fn begin(self: &Arc<Self>, request: &Outgoing, uris: usize) -> Result<Waiter, Heard> {
        let deadline = Instant::now() + ACK_PATIENCE;
        let mut waiter = self.ask(request, Era::Modern, deadline).await.map_err(|_| Heard::Ended)?;
        match timeout_at(deadline, waiter.next()).await {
            Ok(Item::End(end)) => return Err(heard(end)),
            Ok(Item::Early(Early::Notification(message))) => {
                let head = std::str::from_utf8(&message).ok().and_then(|text| MessageHead::read(text).ok());
                let params = head.and_then(|head| head.params).unwrap_or("{}");
                note_accepted(&self.wiring.name, params, uris);
            }
            // Without a word in time, it is taken to hear all the same.
            Ok(Item::Early(Early::Question(_))) | Err(_) => {}
        }
        Ok(waiter)
    }
}

fn heard(end: Result<bytes::Bytes, DownstreamError>) -> Heard {
    match end {
        Ok(line) if matches!(text(&line).map(hello::outcome), Ok(Outcome::Result(_))) => Heard::Ended,
        Ok(_) => Heard::Refused,
        Err(_) => Heard::Ended,
    }
}
