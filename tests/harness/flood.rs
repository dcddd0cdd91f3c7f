//! Many requests as fast as they are answered, over connections that are kept, each with its times: what a limit has to stand.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::http::Ask;

/// One request and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Shot {
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was there.
    pub answered: Instant,
    /// The status; 0 when the connection broke off.
    pub status: u16,
    /// Which of the requests it was.
    pub of: usize,
}

/// Sends each of these requests again and again over `lanes` connections of its own, until `until`.
pub async fn flood(asks: &[(SocketAddr, Ask)], lanes: usize, until: Instant) -> Vec<Shot> {
    let mut running = JoinSet::new();
    for (of, (address, ask)) in asks.iter().enumerate() {
        for _ in 0..lanes {
            running.spawn(lane(of, *address, ask.clone(), until));
        }
    }
    running.join_all().await.into_iter().flatten().collect()
}

async fn lane(of: usize, address: SocketAddr, ask: Ask, until: Instant) -> Vec<Shot> {
    let mut shots = Vec::new();
    while Instant::now() < until {
        let Ok(stream) = TcpStream::connect(address).await else {
            // Who is killed takes no connections any more.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let Ok((mut sender, connection)) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await else {
            continue;
        };
        let connection = tokio::spawn(connection);
        while Instant::now() < until {
            let sent = Instant::now();
            let answer = async {
                let response = sender.send_request(ask.request(address)).await.ok()?;
                let status = response.status().as_u16();
                response.into_body().collect().await.ok()?;
                Some(status)
            };
            let status = answer.await.unwrap_or(0);
            shots.push(Shot { sent, answered: Instant::now(), status, of });
            if status == 0 {
                break;
            }
        }
        connection.abort();
    }
    shots
}

/// The most that was let through in any span of time, over what `burst` and `per_s` allow there; never above 0 when the limit holds.
/// Each admission was decided between its request and its answer, so a span from one request to an answer holds at least all that
/// were sent and answered within it. `cost` says what a request takes.
pub fn worst_excess(shots: &[Shot], burst: f64, per_s: f64, cost: impl Fn(&Shot) -> f64) -> f64 {
    let mut admitted: Vec<&Shot> = shots.iter().filter(|shot| shot.status == 200).collect();
    admitted.sort_by_key(|shot| shot.answered);
    let mut worst = f64::NEG_INFINITY;
    for first in &admitted {
        let mut sum = 0.0;
        for shot in admitted.iter().filter(|shot| shot.sent >= first.sent) {
            sum += cost(shot);
            let span = (shot.answered - first.sent).as_secs_f64();
            worst = worst.max(sum - burst - per_s * span);
        }
    }
    worst
}
