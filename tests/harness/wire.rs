//! A TCP wire that can be cut: stands before a database or a server, hands bytes on while it is whole, and refuses or swallows
//! them when told. The address stays the same all the while.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// See the module.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: watch::Sender<State>,
    target: Arc<Mutex<SocketAddr>>,
    tapped: Tap,
    acceptor: JoinHandle<()>,
}

/// What went towards the target.
type Tap = Arc<Mutex<Vec<u8>>>;

/// How much of it is kept.
const TAP_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
    Silent,
}

impl Wire {
    /// A whole wire to this address.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let state = watch::Sender::new(State::Whole);
        let target = Arc::new(Mutex::new(target));
        let tapped = Tap::default();
        let acceptor = tokio::spawn(accept(listener, state.clone(), target.clone(), tapped.clone()));
        Self { address, state, target, tapped, acceptor }
    }

    /// A cut wire that leads nowhere yet.
    pub async fn nowhere() -> Self {
        let wire = Self::to(([127, 0, 0, 1], 9).into()).await;
        wire.cut();
        wire
    }

    /// The end that clients connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What went towards the target until now, byte for byte, of all connections.
    pub fn tapped(&self) -> String {
        String::from_utf8_lossy(&self.tapped.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Breaks all connections; new ones are broken at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Keeps all connections, and hands nothing on any more.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }

    /// Lets new connections through, to this address.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        self.mend();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.acceptor.abort();
        if !std::thread::panicking() {
            crate::canary::expect_none(self.tapped(), "what went over a wire");
        }
    }
}

async fn accept(listener: TcpListener, state: watch::Sender<State>, target: Arc<Mutex<SocketAddr>>, tapped: Tap) {
    while let Ok((near, _)) = listener.accept().await {
        let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::spawn(carry(near, target, state.subscribe(), tapped.clone()));
    }
}

fn keep(tapped: &Tap, bytes: &[u8]) {
    let mut tapped = tapped.lock().unwrap_or_else(PoisonError::into_inner);
    let left = TAP_BYTES_MAX.saturating_sub(tapped.len());
    tapped.extend_from_slice(&bytes[..bytes.len().min(left)]);
}

/// Hands on until one side has said its last.
async fn copy(near: &mut TcpStream, far: &mut TcpStream, tapped: &Tap) -> std::io::Result<()> {
    let ((mut near_reads, mut near_writes), (mut far_reads, mut far_writes)) = (near.split(), far.split());
    let out = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let bytes = near_reads.read(&mut buffer).await?;
            if bytes == 0 {
                return far_writes.shutdown().await;
            }
            keep(tapped, &buffer[..bytes]);
            far_writes.write_all(&buffer[..bytes]).await?;
        }
    };
    let back = async {
        tokio::io::copy(&mut far_reads, &mut near_writes).await?;
        near_writes.shutdown().await
    };
    tokio::try_join!(out, back).map(drop)
}

async fn carry(mut near: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>, tapped: Tap) {
    let changed = |wanted: State| move |now: &State| *now == wanted;
    let now = *state.borrow();
    let far = match now {
        State::Whole => TcpStream::connect(target).await.ok(),
        State::Cut => None,
        State::Silent => {
            let _ = state.wait_for(|now| *now != State::Silent).await;
            None
        }
    };
    if let Some(mut far) = far {
        let mut ends = state.clone();
        let silent = {
            let copied = copy(&mut near, &mut far, &tapped);
            tokio::select! {
                _ = copied => return,
                _ = ends.wait_for(changed(State::Cut)) => false,
                _ = state.wait_for(changed(State::Silent)) => true,
            }
        };
        if silent {
            // What was underway stays lost when the wire is mended, as with a router that was switched off.
            let _ = state.wait_for(changed(State::Cut)).await;
        }
        reset(&far);
    }
    reset(&near);
}

/// Has the connection end in a reset and not in an orderly goodbye.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}
