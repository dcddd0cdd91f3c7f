//! The task behind a connection: writes what waits in the outbox, many lines at a time, and hands every line that comes in to
//! [`super::route`]. It ends when the peer's output does; waiting callers are told by the connection's owner.

use std::{pin::pin, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Duration, Instant, timeout},
};

use super::{
    End, Frame, Outlet, Pipe,
    lines::Lines,
    posts,
    route::{self, Routed},
};

/// Lines that are written at once.
const BATCH_MAX: usize = 64;
/// Lines up to this size are copied together into one write.
const JOIN_BYTES_MAX: usize = 32 * 1024;
/// Lines that are read before what waits to be written gets a turn, and the other tasks of the thread do.
const TURN_LINES_MAX: u32 = 64;
/// How long garbage is held against a peer.
const GARBAGE_WINDOW: Duration = Duration::from_secs(60);

pub(super) async fn drive(
    pipe: Arc<Pipe>,
    reader: impl AsyncRead + Send + Unpin,
    outlet: Outlet,
    frames: mpsc::Receiver<Frame>,
) -> End {
    let writing = async {
        let ended = match outlet {
            Outlet::Bytes(writer) => write(&pipe, writer, frames).await,
            Outlet::Posts(outlet) => {
                posts::post_all(&pipe, &*outlet, frames).await;
                None
            }
        };
        match ended {
            Some(end) => end,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        end = read(&pipe, reader) => end,
        end = writing => end,
    }
}

async fn read(pipe: &Arc<Pipe>, reader: impl AsyncRead + Unpin) -> End {
    let mut lines = Lines::new(reader, pipe.wiring.limits.line_bytes_max);
    let mut garbage = Garbage { since: Instant::now(), lines: 0 };
    let mut in_turn = 0;
    loop {
        in_turn += 1;
        if in_turn >= TURN_LINES_MAX {
            in_turn = 0;
            tokio::task::yield_now().await;
        }
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return End::Eof,
            Err(error) => return End::Read(error),
        };
        pipe.heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let lines_max = pipe.wiring.limits.garbage_lines_max;
        if route::line(pipe, &line) == Routed::Garbage && garbage.add() > lines_max {
            return End::Garbage(lines_max);
        }
    }
}

/// Counts lines that are no messages.
struct Garbage {
    since: Instant,
    lines: u32,
}

impl Garbage {
    fn add(&mut self) -> u32 {
        if self.since.elapsed() > GARBAGE_WINDOW {
            *self = Self { since: Instant::now(), lines: 0 };
        }
        self.lines += 1;
        self.lines
    }
}

/// Writes until the input is to be closed (`None`) or cannot be written.
async fn write(pipe: &Pipe, mut writer: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Frame>) -> Option<End> {
    let mut closed = pin!(pipe.input_closed.cancelled());
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut joined = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = &mut closed => return None,
            count = frames.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return None },
        }
        let patience = pipe.wiring.limits.write_stall;
        tokio::select! {
            biased;
            () = &mut closed => return None,
            written = write_batch(&mut writer, &mut batch, &mut joined, patience) => match written {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Some(End::Stalled),
                Err(error) => return Some(End::Write(error)),
            },
        }
    }
}

async fn write_batch(
    writer: &mut (impl AsyncWrite + Unpin),
    batch: &mut Vec<Frame>,
    joined: &mut Vec<u8>,
    patience: Duration,
) -> std::io::Result<()> {
    for frame in batch.drain(..) {
        if frame.slot.is_some_and(|slot| !slot.write()) {
            continue;
        }
        if frame.line.len() > JOIN_BYTES_MAX {
            write_all(writer, joined, patience).await?;
            timeout(patience, writer.write_all(&frame.line)).await??;
        } else {
            joined.extend_from_slice(&frame.line);
            if joined.len() > JOIN_BYTES_MAX {
                write_all(writer, joined, patience).await?;
            }
        }
    }
    write_all(writer, joined, patience).await?;
    timeout(patience, writer.flush()).await?
}

async fn write_all(
    writer: &mut (impl AsyncWrite + Unpin),
    joined: &mut Vec<u8>,
    patience: Duration,
) -> std::io::Result<()> {
    timeout(patience, writer.write_all(joined)).await??;
    joined.clear();
    Ok(())
}
