//! Which resources of a server somebody wants to hear updates of, and how a server is brought to tell of them: a legacy one by a
//! request for each resource that is new or gone, a modern one by the filter of its listen request. How either is sent is the
//! transports'.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use patchbay_core::json;
use tokio::{sync::watch, time::sleep};

/// Resources of one server that are watched; further ones are not.
const WATCHED_MAX: usize = 4096;
/// Bytes of the URI of an update; nobody watches a resource whose URI is longer.
const URI_BYTES_MAX: usize = 8 * 1024;
/// Requests to subscribe or unsubscribe that are under way at once.
const AT_ONCE_MAX: usize = 8;
/// How long changes are gathered before the server hears of them.
const GATHER: Duration = Duration::from_millis(100);
/// The first wait before a request is made again that did not come through, and the longest.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The watched resources of one server.
pub(crate) type Uris = Arc<BTreeSet<Arc<str>>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Watched(watch::Sender<Uris>);

impl Default for Watched {
    fn default() -> Self {
        Self(watch::Sender::new(Uris::default()))
    }
}

impl Watched {
    /// From now on these, as many as there may be.
    pub(crate) fn set(&self, mut uris: Uris) {
        if uris.len() > WATCHED_MAX {
            tracing::warn!(
                count = uris.len(),
                "more than {WATCHED_MAX} resources of one server are watched; the rest is not"
            );
            uris = Arc::new(uris.iter().take(WATCHED_MAX).cloned().collect());
        }
        self.0.send_if_modified(|known| {
            let changed = **known != *uris;
            *known = uris;
            changed
        });
    }

    /// Follows the set.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Uris> {
        self.0.subscribe()
    }

    /// Whether anything is watched.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// Whether a server tells of updates, by its capabilities.
pub(crate) fn is_offered(capabilities: &str) -> bool {
    json::at_path(capabilities, &["resources", "subscribe"]) == Some("true")
}

/// The URI of an update, when it is one that somebody may have asked for.
pub(crate) fn updated(params: &str) -> Option<Arc<str>> {
    let uri = json::at_path(params, &["uri"]).filter(|raw| raw.len() <= URI_BYTES_MAX).and_then(json::unquote)?;
    Some(uri.as_ref().into())
}

/// The parameter that names a resource.
pub(crate) fn uri_param(uri: &str) -> Bytes {
    format!("\"uri\":{}", json::quote(uri)).into()
}

/// The filter of a listen request: these lists (`tools`, …) and resources. `None` when nothing is wanted.
pub(crate) fn filter(lists: &[&str], uris: &BTreeSet<Arc<str>>) -> Option<Bytes> {
    let mut wanted: Vec<String> = lists.iter().map(|list| format!(r#""{list}ListChanged":true"#)).collect();
    if !uris.is_empty() {
        let uris: Vec<_> = uris.iter().map(|uri| json::quote(uri)).collect();
        wanted.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
    }
    let wanted = wanted.join(",");
    (!wanted.is_empty()).then(|| format!(r#""notifications":{{{wanted}}}"#).into())
}

/// Says in the log when a server took on less than it was asked for.
pub(crate) fn note_accepted(server: &str, params: &str, wanted: usize) {
    let taken = json::at_path(params, &["notifications", "resourceSubscriptions"]);
    let taken = taken.and_then(|list| json::elements(list).ok()).map_or(0, |list| list.len());
    if taken < wanted {
        tracing::warn!(server.name = %server, wanted, taken, "a server tells of fewer resources than it was asked to");
    }
}

/// What became of one request to subscribe or unsubscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The server did it.
    Taken,
    /// It refused, and would do so again.
    Refused,
    /// There was no answer.
    Failed,
    /// The session is gone, and with it all subscriptions.
    Lost,
}

/// Waits until the set changed and a moment has passed; forever when it cannot change any more.
pub(crate) async fn changed(wanted: &mut watch::Receiver<Uris>) {
    if wanted.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(GATHER).await;
}

/// Keeps the subscriptions of a legacy session as they are wanted; `asked` is what the session was asked for so far. Returns
/// when the session is gone.
pub(crate) async fn keep<F>(
    asked: &mut BTreeSet<Arc<str>>,
    wanted: &mut watch::Receiver<Uris>,
    tell: impl Fn(&'static str, Arc<str>) -> F,
) where
    F: Future<Output = Told>,
{
    let mut pause = RETRY;
    loop {
        let target = Arc::clone(&wanted.borrow_and_update());
        let gone = asked.difference(&target).map(|uri| (false, Arc::clone(uri)));
        let new = target.difference(asked).map(|uri| (true, Arc::clone(uri)));
        let all: Vec<_> = gone.chain(new).collect();
        let mut telling = stream::iter(all)
            .map(|(is_new, uri)| {
                let method = if is_new { "resources/subscribe" } else { "resources/unsubscribe" };
                let told = tell(method, Arc::clone(&uri));
                async move { (is_new, uri, told.await) }
            })
            .buffer_unordered(AT_ONCE_MAX);
        let mut has_failed = false;
        while let Some((is_new, uri, told)) = telling.next().await {
            match told {
                Told::Lost => return,
                Told::Failed => has_failed = true,
                Told::Taken | Told::Refused if is_new => drop(asked.insert(uri)),
                Told::Taken | Told::Refused => drop(asked.remove(&uri)),
            }
        }
        if has_failed {
            tokio::select! {
                () = sleep(pause) => {}
                () = changed(wanted) => {}
            }
            pause = (pause * 2).min(RETRY_MAX);
        } else {
            pause = RETRY;
            changed(wanted).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn set(uris: &[&str]) -> Uris {
        Arc::new(uris.iter().map(|uri| Arc::from(*uri)).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_new_or_gone_is_told_and_what_failed_is_told_again() {
        let watched = Watched::default();
        watched.set(set(&["a", "b"]));
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let mut wanted = watched.subscribe();
        let keeping = tokio::spawn(async move {
            let mut asked = BTreeSet::new();
            keep(&mut asked, &mut wanted, |method, uri| {
                let mut log = log.lock().expect("no test panics in here");
                let again = log.iter().any(|(_, known): &(&str, Arc<str>)| *known == uri);
                log.push((method, Arc::clone(&uri)));
                let told = if &*uri == "b" && !again { Told::Failed } else { Told::Taken };
                let told = if &*uri == "lost" { Told::Lost } else { told };
                async move { told }
            })
            .await;
            asked
        });
        sleep(RETRY * 2).await;
        watched.set(set(&["b", "c"]));
        sleep(RETRY * 2).await;
        watched.set(set(&["b", "c", "lost"]));
        assert_eq!(keeping.await.expect("joined"), *set(&["b", "c"]));
        let said = |method, uri: &str| (method, Arc::from(uri));
        let (on, off) = ("resources/subscribe", "resources/unsubscribe");
        let expected = [said(on, "a"), said(on, "b"), said(on, "b"), said(off, "a"), said(on, "c"), said(on, "lost")];
        assert_eq!(*told.lock().expect("no test panics in here"), expected);
    }

    #[test]
    fn a_set_over_the_bound_is_cut_and_an_equal_one_is_no_change() {
        let watched = Watched::default();
        let many: BTreeSet<Arc<str>> = (0..WATCHED_MAX + 5).map(|n| n.to_string().into()).collect();
        watched.set(Arc::new(many));
        let mut wanted = watched.subscribe();
        assert_eq!(wanted.borrow_and_update().len(), WATCHED_MAX);
        let same = Arc::new((**wanted.borrow()).clone());
        watched.set(same);
        assert!(!wanted.has_changed().expect("open"));
    }

    #[test]
    fn a_filter_names_lists_and_resources_and_nothing_makes_none() {
        let text = |lists: &[&str], uris: &[&str]| {
            filter(lists, &set(uris)).map(|text| String::from_utf8(text.to_vec()).expect("UTF-8"))
        };
        assert_eq!(text(&[], &[]), None);
        assert_eq!(
            text(&["tools"], &["a\"b"]).as_deref(),
            Some(r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["a\"b"]}"#)
        );
    }

    #[test]
    fn an_update_of_a_resource_with_an_endless_uri_is_none() {
        assert_eq!(updated(r#"{"uri":"a\u002fb"}"#).as_deref(), Some("a/b"));
        assert_eq!(updated(&format!(r#"{{"uri":"{}"}}"#, "x".repeat(URI_BYTES_MAX))), None);
        assert_eq!(updated("{}"), None);
    }
}
