//! An open stream of changes as its reader sees it: messages as they come, a sign of life after silence, the end. It is polled and
//! has no task of its own; between two messages it holds its place in the hub and one timer, and what brings it news of tasks.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use patchbay_core::{era::META_SERVER_INFO, json, snapshot::SERVER_INFO};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Hub, admitted,
    post::{Digests, END, News, PROMPTS, Post, TOOLS},
    room::Room,
};
use crate::{app::App, audit};

/// The `_meta` member by which a message names the stream that it belongs to.
const META_SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// In whose words the messages are.
#[derive(Debug, Clone)]
pub(crate) enum Voice {
    /// Of a modern client, which knows the stream by the id of its request.
    Modern {
        /// That id, as it was written.
        id: Bytes,
    },
    /// Of a legacy client.
    Legacy,
}

/// What comes on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A whole message.
    Message(Bytes),
    /// Nothing came for a while.
    Alive,
}

/// Where news of tasks are left for a stream. Only the newest of each task waits there.
pub(crate) struct Teller(Arc<Post>);

impl Teller {
    /// A task, by the id that the client has for it, is so now. `members` are those of the notification's `params`, without
    /// braces, `taskId` and `_meta`, on one line.
    pub(crate) fn task(&self, exposed: Arc<str>, members: Bytes) {
        self.0.task(exposed, members);
    }
}

/// What brings a stream news while it is open.
type Feed = Pin<Box<dyn Future<Output = ()>>>;

/// See the module.
pub struct Listening {
    app: Arc<App>,
    room: Arc<Room>,
    post: Arc<Post>,
    voice: Voice,
    /// What is said before anything else.
    first: Option<Bytes>,
    /// What of the post is taken and not told yet.
    todo: u8,
    is_over: bool,
    /// The next sign of life.
    timer: Pin<Box<Sleep>>,
    ends_at: Instant,
    /// Polled with the stream, and dropped with it.
    feed: Option<Feed>,
}

impl Listening {
    pub(super) fn new(app: Arc<App>, room: Arc<Room>, post: Arc<Post>, voice: Voice) -> Self {
        let now = Instant::now();
        let life = jittered(app.config.limits.stream_life);
        let left_ms = post.principal.until_ms().map(|until_ms| until_ms.saturating_sub(audit::now_ms()).max(0));
        let left = left_ms.map_or(life, |left_ms| Duration::from_millis(left_ms.unsigned_abs()).min(life));
        let ends_at = now + left;
        let timer = Box::pin(sleep_until(ends_at.min(now + app.config.limits.keepalive)));
        Self { app, room, post, voice, first: None, todo: 0, is_over: false, timer, ends_at, feed: None }
    }

    /// Says this before anything else.
    pub(crate) fn begin_with(&mut self, message: Bytes) {
        self.first = Some(message);
    }

    /// Has this bring news for as long as the stream is open: it is given where to leave them, and when the stream ends at the
    /// latest.
    pub(crate) fn fed_by<F: Future<Output = ()> + 'static>(&mut self, feed: impl FnOnce(Teller, Instant) -> F) {
        self.feed = Some(Box::pin(feed(Teller(self.post.clone()), self.ends_at)));
    }

    /// The message by which a modern stream begins: what it will tell, the members of `params.notifications`.
    pub(crate) fn acknowledged(id: &[u8], accepted: &str) -> Bytes {
        let id = String::from_utf8_lossy(id);
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"{META_SUBSCRIPTION_ID}":{id}}},"notifications":{{{accepted}}}}}}}"#
        )
        .into()
    }

    /// What the lists were when they were told last.
    pub(crate) fn told(&self) -> Digests {
        self.post.told()
    }

    fn message(&self, news: News) -> Bytes {
        let (method, members) = match news {
            News::List(TOOLS) => ("notifications/tools/list_changed", String::new()),
            News::List(PROMPTS) => ("notifications/prompts/list_changed", String::new()),
            News::List(_) => ("notifications/resources/list_changed", String::new()),
            News::Resource(uri) => ("notifications/resources/updated", format!(r#""uri":{}"#, json::quote(&uri))),
            News::Task(task, members) => {
                let members = String::from_utf8_lossy(&members);
                let comma = if members.is_empty() { "" } else { "," };
                ("notifications/tasks", format!(r#""taskId":{}{comma}{members}"#, json::quote(&task)))
            }
        };
        let params = match &self.voice {
            Voice::Legacy if members.is_empty() => String::new(),
            Voice::Legacy => format!(r#","params":{{{members}}}"#),
            Voice::Modern { id } => {
                let (id, comma) = (String::from_utf8_lossy(id), if members.is_empty() { "" } else { "," });
                format!(r#","params":{{{members}{comma}"_meta":{{"{META_SUBSCRIPTION_ID}":{id}}}}}"#)
            }
        };
        format!(r#"{{"jsonrpc":"2.0","method":"{method}"{params}}}"#).into()
    }

    /// The end in order: a modern stream is a request, and gets its response.
    fn last(&self) -> Option<Bytes> {
        let Voice::Modern { id } = &self.voice else { return None };
        let id = String::from_utf8_lossy(id);
        let last = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{"{META_SUBSCRIPTION_ID}":{id},"{META_SERVER_INFO}":{SERVER_INFO}}}}}}}"#
        );
        Some(last.into())
    }

    fn end(&mut self) -> Poll<Option<Said>> {
        self.is_over = true;
        self.feed = None;
        Poll::Ready(self.last().map(Said::Message))
    }

    fn wait_anew(&mut self) {
        let next = Instant::now() + self.app.config.limits.keepalive;
        self.timer.as_mut().reset(next.min(self.ends_at));
    }
}

impl Stream for Listening {
    type Item = Said;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Said::Message(first)));
        }
        if let Some(feed) = &mut self.feed
            && feed.as_mut().poll(cx).is_ready()
        {
            self.feed = None;
        }
        let new = self.post.take(cx.waker());
        self.todo |= new;
        if self.todo & END != 0 {
            return self.end();
        }
        let mut todo = self.todo;
        let news = self.post.next(&mut todo);
        self.todo = todo;
        if let Some(news) = news {
            self.wait_anew();
            return Poll::Ready(Some(Said::Message(self.message(news))));
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // A key of an issuer is withdrawn, and an API key expires, without a new snapshot.
        if Instant::now() >= self.ends_at || admitted(&self.app, &self.post).is_none() {
            return self.end();
        }
        self.wait_anew();
        Poll::Ready(Some(Said::Alive))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        Hub::close(&self.app, &self.room, &self.post);
    }
}

/// Up to a tenth less, so that streams that began together do not end together.
fn jittered(life: Duration) -> Duration {
    let random = u32::from(u16::from_ne_bytes(patchbay_core::random_bytes()));
    life - life / 10 * random / u32::from(u16::MAX)
}
