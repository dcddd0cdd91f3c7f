//! How many streams at servers tell of tasks: each holds a place among the calls of its server for as long as a client listens,
//! so that they must not take all of them. Entered by `dispatch` for its streams; nothing here knows what comes on one.

use std::sync::Arc;

use dashmap::DashMap;
use patchbay_core::ServerId;

use crate::app::App;

/// The most such streams at one server.
const FEEDS_PER_SERVER_MAX: usize = 8;
/// Of the calls that a server may have at once, they take one in so many at the most.
const SHARE: usize = 4;

/// The streams by their servers.
#[derive(Default)]
pub(crate) struct Feeds(DashMap<ServerId, usize>);

/// A place for one of them, given back on drop.
pub(crate) struct FeedPlace {
    app: Arc<App>,
    server: ServerId,
}

impl Feeds {
    /// A place at a server that may have so many calls at once; `None` when its places are taken.
    pub(crate) fn enter(app: &Arc<App>, server: ServerId, calls_max: usize) -> Option<FeedPlace> {
        let mut open = app.hub.feeds.0.entry(server).or_default();
        if *open >= FEEDS_PER_SERVER_MAX.min(calls_max / SHARE) {
            let is_unused = *open == 0;
            drop(open);
            if is_unused {
                app.hub.feeds.0.remove_if(&server, |_, open| *open == 0);
            }
            return None;
        }
        *open += 1;
        Some(FeedPlace { app: app.clone(), server })
    }
}

impl Drop for FeedPlace {
    fn drop(&mut self) {
        if let dashmap::Entry::Occupied(mut open) = self.app.hub.feeds.0.entry(self.server) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}
