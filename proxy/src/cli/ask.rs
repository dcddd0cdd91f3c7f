//! Asks the operations listener of a running gateway, for commands that tell how it is. One question, one bounded answer.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context;
use patchbay_config::GatewayConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long an answer is waited for.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// What is read of it, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What the gateway said.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body.
    pub(super) body: String,
}

/// Asks for a path of the operations listener that is configured.
pub(super) async fn ask(config: &GatewayConfig, path: &str) -> anyhow::Result<Answer> {
    ask_at(&reachable(config.listen_operations).to_string(), path).await
}

/// Asks for a path of the operations listener at `HOST:PORT`.
pub(super) async fn ask_at(address: &str, path: &str) -> anyhow::Result<Answer> {
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(ANSWER_PATIENCE, asked)
        .await
        .with_context(|| format!("no answer from {address} within {} s", ANSWER_PATIENCE.as_secs()))?
        .with_context(|| format!("nothing answers on {address} (listen.operations): is the gateway running?"))?;
    read(&String::from_utf8_lossy(&answer))
        .with_context(|| format!("{address} (listen.operations) does not answer like a gateway: what listens there?"))
}

/// Where a listener of this machine is found: one of all addresses (`0.0.0.0`, `[::]`) is no address to connect to, and is on
/// loopback too.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens {
        SocketAddr::V4(at) if at.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        at => at.ip(),
    };
    SocketAddr::new(ip, listens.port())
}

fn read(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_all_addresses_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.1.2.3:1", "10.1.2.3:1"),
            ("[fd00::1]:1", "[fd00::1]:1"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn only_what_is_an_answer_is_read_as_one() {
        let answer = read("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{}\n").unwrap();
        assert_eq!((answer.status, &*answer.body), (200, "{}\n"));
        for odd in ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 2\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            assert!(read(odd).is_none(), "{odd:?}");
        }
    }
}
