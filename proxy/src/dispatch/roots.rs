//! News of a legacy client that its roots changed: told on to the servers of its view that were offered them in its name. Off
//! the path of requests; of many in a short time the first and the last are told.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use futures_util::future::join_all;
use patchbay_core::era::Era;
use patchbay_downstream::{CallCx, Downstream};
use tokio::time::{Instant, sleep, timeout};

use super::{Cx, call};

/// The most sessions whose news are told at once; those of others are dropped.
const TELLING_MAX: usize = 10_000;
/// The shortest time between two pieces of news of one session.
const PAUSE: Duration = Duration::from_secs(1);
/// What telling one server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sessions whose servers are being told, and whether there is newer news.
#[derive(Default)]
pub struct Roots {
    telling: Arc<DashMap<[u8; 16], bool>>,
}

/// A server and in whose name it is told.
type Told = (Arc<dyn Downstream>, CallCx);

impl Roots {
    /// The roots of the caller's session changed.
    pub fn changed(&self, cx: &Cx) {
        let session = cx.caller.share;
        if let Some(mut again) = self.telling.get_mut(&session) {
            *again = true;
            return;
        }
        let whom = offered(cx);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if whom.is_empty() || self.telling.len() >= TELLING_MAX || self.telling.insert(session, false).is_some() {
            return;
        }
        runtime.spawn(tell(Telling { telling: self.telling.clone(), session }, whom));
    }
}

/// The servers of the view that were offered this caller's roots and news of them.
fn offered(cx: &Cx) -> Vec<Told> {
    let snapshot = cx.tenant.snapshot();
    let servers = cx.tenant.view().servers.iter().filter_map(|&index| {
        let entry = &snapshot.servers[index];
        let offered = cx.caller.can.offered(call::leg(cx, entry));
        let call_cx = CallCx {
            deadline: Instant::now() + PATIENCE,
            extension: None,
            share: call::share(cx, entry.sharing),
            capabilities: offered.written(entry.era.unwrap_or(Era::Legacy)),
        };
        offered.roots_changed.then(|| (cx.tenant.server(index).downstream.clone(), call_cx))
    });
    servers.collect()
}

/// A session's place among those whose servers are told; given up on drop.
struct Telling {
    telling: Arc<DashMap<[u8; 16], bool>>,
    session: [u8; 16],
}

impl Telling {
    /// Whether something came since the last time this was asked. If not, the place is given up.
    fn again(&self) -> bool {
        self.telling.remove_if(&self.session, |_, again| !*again).is_none()
            && self.telling.get_mut(&self.session).is_some_and(|mut again| std::mem::take(&mut *again))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.telling.remove(&self.session);
    }
}

async fn tell(telling: Telling, whom: Vec<Told>) {
    loop {
        let all = whom.iter().map(|(server, cx)| {
            let cx = CallCx { deadline: Instant::now() + PATIENCE, ..cx.clone() };
            timeout(PATIENCE, server.roots_changed(cx))
        });
        join_all(all).await;
        sleep(PAUSE).await;
        if !telling.again() {
            return;
        }
    }
}
