//! What a server tells outside of any call: a task that holds one stream open — GET with a legacy server,
//! `subscriptions/listen` with a modern one — and opens it again when it ends. It runs only while somebody listens. The
//! resources that somebody watches are part of it.

mod modern;
mod open;
mod subscribe;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use patchbay_core::{era::Era, json::MessageHead};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use self::open::{Open, is_stream};
use super::{
    heads::LAST_EVENT_ID,
    peer::Peer,
    session::{Session, base_key},
};
use crate::{Event, List, watched};

/// The first wait after a stream ended, and the longest.
const DELAY: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A stream that lived for so long was a good one: the waits begin anew.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// What opening a session may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);
/// A day: how long a stream is held before it is opened anew, since every wait has an end.
const STREAM_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Refusals in a row before the server counts as one that offers no stream.
const REFUSALS_MAX: u32 = 5;

/// The event that a notification stands for; `None` for those that belong to a call.
pub(crate) fn event_of(head: &MessageHead<'_>) -> Option<Event> {
    match &*head.method_name()? {
        "notifications/tools/list_changed" => Some(Event::ListChanged(List::Tools)),
        "notifications/prompts/list_changed" => Some(Event::ListChanged(List::Prompts)),
        "notifications/resources/list_changed" => Some(Event::ListChanged(List::Resources)),
        "notifications/resources/updated" => watched::updated(head.params?).map(Event::ResourceUpdated),
        _ => None,
    }
}

/// How one stream ended.
enum End {
    /// The server has no such stream.
    NotOffered,
    /// It refused, maybe only this time.
    Refused,
    /// There was no connection.
    Unreachable,
    /// The stream was open.
    Broken,
    /// Nobody listens any more.
    Unheard,
}

/// Marks the listener as stopped when its task ends in any way, also with its runtime.
struct Running(Arc<Peer>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.listening.store(false, Ordering::Release);
    }
}

impl Peer {
    /// Starts the task, when somebody listens, it is known how the server speaks, and none runs.
    pub(crate) fn listen_if_wanted(self: &Arc<Self>) {
        let confirmed = self.known.load().as_ref().is_some_and(|known| known.confirmed);
        let silent = self.silent.load(Ordering::Acquire);
        if !confirmed || silent || self.events.receiver_count() == 0 || self.closing.is_closed() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.listening.swap(true, Ordering::AcqRel) {
            let running = Running(self.clone());
            runtime.spawn(async move {
                let listening = Listener::new(&running.0);
                let offered = tokio::select! {
                    () = running.0.closing.closed() => return,
                    offered = listening.run() => offered,
                };
                running.0.silent.store(!offered, Ordering::Release);
                let peer = running.0.clone();
                drop(running);
                // For who began to listen while this was ending.
                peer.listen_if_wanted();
            });
        }
    }
}

struct Listener<'a> {
    peer: &'a Arc<Peer>,
    last_id: Option<Bytes>,
    /// Whether something may have been missed since the last stream.
    gap: bool,
    waits: u32,
    refusals: u32,
    /// The legacy session of the last stream, and the resources that the server was asked for in it.
    session: Option<Arc<Session>>,
    asked: BTreeSet<Arc<str>>,
}

impl<'a> Listener<'a> {
    fn new(peer: &'a Arc<Peer>) -> Self {
        Self { peer, last_id: None, gap: false, waits: 0, refusals: 0, session: None, asked: BTreeSet::new() }
    }

    /// Holds streams open until nobody listens (true) or the server turns out to offer none (false).
    async fn run(mut self) -> bool {
        loop {
            let began = Instant::now();
            match self.stream().await {
                End::NotOffered => return false,
                End::Unheard => return true,
                End::Refused if self.refusals >= REFUSALS_MAX => return false,
                End::Refused => self.refusals += 1,
                End::Unreachable => self.gap = true,
                End::Broken => {
                    self.refusals = 0;
                    self.gap |= self.last_id.is_none();
                    if began.elapsed() >= GOOD_LIFE {
                        self.waits = 0;
                    }
                }
            }
            sleep(delay(self.waits)).await;
            self.waits = self.waits.saturating_add(1);
            if self.peer.events.receiver_count() == 0 {
                return true;
            }
        }
    }

    async fn stream(&mut self) -> End {
        let era = self.peer.known.load().as_ref().map(|known| known.hello.era());
        match era {
            Some(Era::Legacy) => self.legacy().await,
            Some(Era::Modern) => self.modern().await,
            None => End::Unreachable,
        }
    }

    async fn legacy(&mut self) -> End {
        let opening = self.peer.patience(Instant::now() + OPEN_PATIENCE);
        let Ok((slot, session)) = self.peer.session(&base_key(), &opening).await else {
            return End::Unreachable;
        };
        let mut headers = session.headers.clone();
        if let Some(id) = self.last_id.as_ref().and_then(|id| HeaderValue::from_bytes(id).ok()) {
            headers.insert(LAST_EVENT_ID, id);
        }
        let patience = self.peer.patience(Instant::now() + STREAM_LIFE_MAX);
        match self.peer.client.bare(Method::GET, headers, &patience).await {
            Err(_) => End::Unreachable,
            Ok(response) if is_stream(&response) => {
                let mut open = Open::new(self.peer, response, patience, Some(session.headers.clone()));
                self.is_open();
                if self.session.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &session)) {
                    self.asked.clear();
                    self.session = Some(session.clone());
                }
                let end = tokio::select! {
                    end = open.hear() => end,
                    () = self.peer.keep_subscribed(&session, &mut self.asked) => {
                        slot.forget(&session);
                        (self.last_id, self.gap) = (None, true);
                        return End::Broken;
                    }
                };
                if let Some(id) = open.last_id() {
                    self.last_id = Some(id.clone()).filter(|id| !id.is_empty());
                }
                end
            }
            Ok(response) => match response.status() {
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => End::NotOffered,
                StatusCode::NOT_FOUND if session.id.is_some() => {
                    slot.forget(&session);
                    (self.last_id, self.gap) = (None, true);
                    End::Refused
                }
                status if status.is_server_error() => End::Unreachable,
                _ => End::Refused,
            },
        }
    }

    /// A stream is open: whoever missed something is told.
    fn is_open(&mut self) {
        if std::mem::take(&mut self.gap) {
            self.peer.tell(Event::Reconnected);
        }
    }
}

/// Doubles with each wait, and spreads those who wait for the same server.
fn delay(waits: u32) -> Duration {
    let full = DELAY.saturating_mul(1 << waits.min(16)).min(DELAY_MAX);
    let [spread] = patchbay_core::random_bytes::<1>();
    full / 2 + full.mul_f32(f32::from(spread) / 512.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end_at_the_longest() {
        assert!(delay(0) >= DELAY / 2 && delay(0) <= DELAY);
        assert!(delay(40) >= DELAY_MAX / 2 && delay(40) <= DELAY_MAX);
    }

    #[test]
    fn only_what_belongs_to_no_call_becomes_an_event() {
        let event = |text| event_of(&MessageHead::read(text).expect("a message"));
        assert_eq!(event(r#"{"method":"notifications/tools/list_changed"}"#), Some(Event::ListChanged(List::Tools)));
        assert_eq!(
            event(r#"{"method":"notifications/resources/updated","params":{"uri":"a\u002fb"}}"#),
            Some(Event::ResourceUpdated("a/b".into()))
        );
        assert_eq!(event(r#"{"method":"notifications/progress"}"#), None);
        assert_eq!(event(r#"{"method":"notifications/resources/updated"}"#), None);
    }
}
