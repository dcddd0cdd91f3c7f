//! Listening to a modern server: one stream for the changes of its lists and of the resources that are watched. When those
//! change, the next stream is open before the last one is closed, so that nothing is missed between them.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
};

use http::StatusCode;
use patchbay_core::era::Era;
use tokio::time::{Instant, sleep};

use super::{
    End, Listener, STREAM_LIFE_MAX, delay,
    open::{Open, is_stream},
};
use crate::{
    Outgoing,
    http::{client::Lane, peer::Peer},
    watched::{Uris, changed, filter, is_offered},
    wire,
};

/// What every server is asked to announce: one that does not do it leaves it out.
const LISTS: [&str; 3] = ["tools", "prompts", "resources"];

impl Listener<'_> {
    pub(super) async fn modern(&mut self) -> End {
        let peer = self.peer;
        let mut wanted = peer.watched.subscribe();
        let mut held: Option<Open> = None;
        let mut failures = 0;
        loop {
            let uris = Arc::clone(&wanted.borrow_and_update());
            let uris = if tells_of_resources(peer) { uris } else { Uris::default() };
            let begun = match &mut held {
                None => begin(peer, &uris).await,
                Some(held) => tokio::select! {
                    begun = begin(peer, &uris) => begun,
                    end = held.hear() => return end,
                },
            };
            match (begun, &mut held) {
                (Err(end), None) => return end,
                (Err(_), Some(last)) => {
                    // It does not take what is wanted now: the stream that is there goes on.
                    tokio::select! {
                        end = last.hear() => return end,
                        () = sleep(delay(failures)) => failures += 1,
                        () = changed(&mut wanted) => {}
                    }
                }
                (Ok(mut open), last) => {
                    if let Some(mut last) = last.take() {
                        last.hear_rest();
                    }
                    failures = 0;
                    self.is_open();
                    tokio::select! {
                        end = open.hear() => return end,
                        () = changed(&mut wanted) => held = Some(open),
                    }
                }
            }
        }
    }
}

fn tells_of_resources(peer: &Peer) -> bool {
    peer.known.load().as_ref().is_some_and(|known| is_offered(&known.hello.capabilities))
}

/// Opens a stream and waits for the server's word that it hears.
async fn begin(peer: &Arc<Peer>, uris: &BTreeSet<Arc<str>>) -> Result<Open, End> {
    let params = filter(&LISTS, uris).into_iter().collect();
    let request = Outgoing::plain("subscriptions/listen", params);
    let message = wire::request(peer.next_id(), &request, Era::Modern, "{}").into();
    let headers = peer.client.heads.modern(&request).unwrap_or_default();
    let patience = peer.patience(Instant::now() + STREAM_LIFE_MAX);
    let sent = AtomicBool::new(false);
    match peer.client.post(headers, message, Lane::Control, &patience, &sent).await {
        Err(_) => Err(End::Unreachable),
        Ok(response) if is_stream(&response) => {
            Open::new(peer, response, patience, None).acknowledged(uris.len()).await
        }
        Ok(response) => Err(match response.status() {
            StatusCode::OK | StatusCode::NOT_FOUND => End::NotOffered,
            status if status.is_server_error() => End::Unreachable,
            _ => End::Refused,
        }),
    }
}
