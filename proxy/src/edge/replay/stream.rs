//! A stream that can be continued, from both of its ends: the call writes into a [`Feed`] and goes on whether somebody reads or
//! not; a client reads by a [`Reader`], and a later one takes the place of an earlier. The two may be on different threads.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Entry, answer_lost, ending,
    kept::{End, Kept, Missing},
};
use crate::{
    app::App,
    edge::{
        body::Broken,
        reply,
        sse::{self, OpenStream},
        watch,
    },
};

/// How long a stream is kept whose client has not had all of it, from its end on.
const UNREAD_LIFE: Duration = Duration::from_secs(300);
/// How long one is kept that was wholly written to its client: the last bytes may have been lost on the way.
const READ_LIFE: Duration = Duration::from_secs(5);
/// What a client that loses its stream waits before it comes back.
const RETRY_MS: u32 = 2000;

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    token: Box<str>,
    /// The id of the request that it answers.
    request: Bytes,
    /// Whether its client understands events without data.
    primes: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    kept: Kept,
    /// Whose turn it is to read: counts those who have read.
    turn: u64,
    /// Its reader should get a sign of life.
    is_quiet: bool,
    reading: Option<Waker>,
    writing: Option<Waker>,
}

impl State {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reading.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writing.take() {
            waker.wake();
        }
    }
}

impl Stream {
    pub(super) fn new(token: Box<str>, request: Bytes, primes: bool, kept: Kept) -> Self {
        let state = State { kept, turn: 0, is_quiet: false, reading: None, writing: None };
        Self { token, request, primes, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it holds; who writes waits, and nobody else.
    async fn until(&self, holds: fn(&Kept) -> bool) {
        poll_fn(|cx| {
            let mut state = self.state();
            if holds(&state.kept) {
                return Poll::Ready(());
            }
            state.writing = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The end that the call writes to. Dropped before it is finished, it ends the stream, and nobody can come back to it.
pub(crate) struct Feed {
    entry: Option<Entry>,
    stream: Arc<Stream>,
}

impl Feed {
    pub(super) const fn new(entry: Entry, stream: Arc<Stream>) -> Self {
        Self { entry: Some(entry), stream }
    }

    /// Adds a message. Waits while somebody reads who is slow.
    pub(crate) async fn message(&self, message: Bytes) {
        self.stream.until(Kept::has_room).await;
        let mut state = self.stream.state();
        let id = format!("id: p{}.{}\n", self.stream.token, state.kept.next());
        state.kept.push(sse::event(id.as_bytes(), &[message]));
        state.wake_reader();
    }

    /// A sign of life for who reads.
    pub(crate) fn alive(&self) {
        let mut state = self.stream.state();
        state.is_quiet = true;
        state.wake_reader();
    }

    /// Ends it with the response.
    pub(crate) fn answered(self, response: &[Bytes]) {
        let event = sse::event(&ending(&self.stream.token), response);
        self.finish(Some(event));
    }

    /// Ends it with the word that the response is lost.
    pub(crate) fn lost(self) {
        match answer_lost(&self.stream.request) {
            Some(response) => self.answered(&[response]),
            None => self.silent(),
        }
    }

    /// Ends it without a response: the client took its request back.
    pub(crate) fn silent(self) {
        self.finish(None);
    }

    fn finish(mut self, response: Option<Bytes>) {
        let mut state = self.stream.state();
        state.kept.finish(response);
        state.wake_reader();
        drop(state);
        if let Some(entry) = self.entry.take() {
            tokio::task::spawn_local(linger(entry, self.stream.clone()));
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.stream.state();
        if state.kept.end().is_none() {
            state.kept.finish(None);
            state.wake_reader();
        }
    }
}

/// Keeps an ended stream for as long as its client may come back.
async fn linger(entry: Entry, stream: Arc<Stream>) {
    if tokio::time::timeout(UNREAD_LIFE, stream.until(Kept::is_done)).await.is_ok() {
        tokio::time::sleep(READ_LIFE).await;
    }
    drop(entry);
}

/// The end that a client reads: the body of a response.
pub(crate) struct Reader {
    stream: Arc<Stream>,
    turn: u64,
    /// What it begins with.
    first: Option<Bytes>,
    is_over: bool,
    _open: OpenStream,
}

impl Reader {
    /// Reads a new stream from its beginning on.
    pub(super) fn first(app: &Arc<App>, stream: &Arc<Stream>) -> Self {
        let first = stream.primes.then(|| priming(&format!("p{}.0", stream.token)));
        Self { stream: stream.clone(), turn: 0, first, is_over: false, _open: OpenStream::enter(app) }
    }

    /// Reads on after the event with this number and id. Who has read before reads no more. Gives also how many events are there
    /// already.
    pub(super) fn again(app: &Arc<App>, stream: &Arc<Stream>, number: u64, id: &str) -> Result<(Self, u64), Missing> {
        let mut state = stream.state();
        let replayed = state.kept.read_after(number)?;
        state.turn += 1;
        state.is_quiet = false;
        let turn = state.turn;
        state.wake_reader();
        state.wake_writer();
        drop(state);
        // Clients forget what they came with: one whose connection breaks again before the next event has to know where it was.
        let first = stream.primes.then(|| priming(id));
        Ok((Self { stream: stream.clone(), turn, first, is_over: false, _open: OpenStream::enter(app) }, replayed))
    }

    fn poll_event(&self, cx: &Context<'_>) -> Poll<Step> {
        let mut state = self.stream.state();
        if state.turn != self.turn {
            return Poll::Ready(Step::End);
        }
        if let Some(event) = state.kept.take() {
            state.is_quiet = false;
            state.wake_writer();
            return Poll::Ready(Step::Event(event));
        }
        match state.kept.end() {
            Some(End::Answered) => return Poll::Ready(Step::End),
            // With the last id, its client does not ask for more.
            Some(End::Silent) if self.stream.primes => return Poll::Ready(Step::Last(self.nothing_more())),
            Some(End::Silent) => return Poll::Ready(Step::End),
            None => {}
        }
        if watch::is_breaking() {
            let said = reply::broken_off(&self.stream.request);
            return Poll::Ready(Step::Last(sse::event(&ending(&self.stream.token), &[said])));
        }
        if std::mem::take(&mut state.is_quiet) {
            return Poll::Ready(Step::Event(sse::STILL_WORKING));
        }
        state.reading = Some(cx.waker().clone());
        Poll::Pending
    }

    fn nothing_more(&self) -> Bytes {
        let mut event = ending(&self.stream.token);
        event.extend_from_slice(b"data: \n\n");
        event.into()
    }
}

/// What comes next for a reader.
enum Step {
    Event(Bytes),
    /// An event, and nothing after it.
    Last(Bytes),
    End,
}

impl futures_util::Stream for Reader {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Poll::Ready(step) = self.poll_event(cx) else { return Poll::Pending };
        self.is_over = !matches!(step, Step::Event(_));
        Poll::Ready(match step {
            Step::Event(event) | Step::Last(event) => Some(Ok(event)),
            Step::End => None,
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.stream.state();
        if state.turn == self.turn && state.kept.is_read() {
            state.kept.leave();
            state.wake_writer();
        }
    }
}

/// An event that says nothing but where the stream is, and when to come back to it (2025-11-25, transports).
fn priming(id: &str) -> Bytes {
    format!("id: {id}\nretry: {RETRY_MS}\ndata: \n\n").into()
}
