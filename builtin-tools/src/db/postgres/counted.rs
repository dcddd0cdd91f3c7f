//! The socket to a PostgreSQL server, with a count of what comes in. When more comes than one use of the connection may
//! bring, reading fails and the connection ends: a cell of 64 MB is never held, whatever the layers above think of it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

#[cfg(unix)]
use tokio::net::UnixStream;

/// A socket of either sort.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Over the network.
    Tcp(TcpStream),
    /// On this machine.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// How many bytes may still come in; shared by a socket and whoever uses it.
#[derive(Debug, Clone)]
pub(crate) struct Count(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    left: AtomicUsize,
    exceeded: AtomicBool,
}

impl Count {
    /// With so many bytes allowed.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Counter { left: AtomicUsize::new(bytes_max), exceeded: AtomicBool::new(false) }))
    }

    /// From now on so many bytes may come in; what came before is forgotten.
    pub(crate) fn allow(&self, bytes_max: usize) {
        self.0.left.store(bytes_max, Ordering::Relaxed);
    }

    /// How many bytes may still come in.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.0.left.load(Ordering::Relaxed)
    }

    /// Whether more came than was allowed. It stays so: the connection is gone then.
    pub(crate) fn exceeded(&self) -> bool {
        self.0.exceeded.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.left.load(Ordering::Relaxed);
        match left.checked_sub(bytes) {
            Some(left) => {
                self.0.left.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => {
                self.0.exceeded.store(true, Ordering::Relaxed);
                Err(io::Error::other("more came from the database than one answer may bring"))
            }
        }
    }
}

/// A socket that counts what it reads.
#[derive(Debug)]
pub(crate) struct Counted {
    socket: Socket,
    count: Count,
}

impl Counted {
    /// Counts what `socket` reads.
    pub(crate) fn new(socket: Socket, count: Count) -> Self {
        Self { socket, count }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        Poll::Ready(self.count.take(buf.filled().len() - before))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_refuses_what_is_over_and_remembers_it() {
        let count = Count::new(10);
        assert!(count.take(10).is_ok() && !count.exceeded());
        assert!(count.take(1).is_err() && count.exceeded());
        count.allow(5);
        assert_eq!(count.left(), 5);
        assert!(count.exceeded(), "the connection broke off; nothing makes it whole again");
    }
}
