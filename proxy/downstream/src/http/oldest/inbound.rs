//! The stream of one connection as lines: each event that carries a message is one.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use crate::http::{live::Body, sse::Reader};

/// See the module.
pub(super) struct Inbound {
    body: Body,
    reader: Reader,
    /// What is left of a line, and whether its end is still to come.
    line: Bytes,
    in_line: bool,
}

impl Inbound {
    pub(super) fn new(body: Body, event_bytes_max: usize) -> Self {
        Self { body, reader: Reader::new(event_bytes_max), line: Bytes::new(), in_line: false }
    }

    /// The data of the event that names the endpoint; what comes before it is nothing. `None` when the stream ends first.
    pub(super) async fn endpoint(&mut self) -> Option<Bytes> {
        loop {
            while let Some(event) = self.reader.next() {
                if event.kind.as_deref() == Some(b"endpoint") {
                    return Some(event.data);
                }
            }
            let bytes = self.body.bytes().await?.ok()?;
            self.reader.push(bytes).ok()?;
        }
    }
}

impl AsyncRead for Inbound {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if !this.line.is_empty() {
                let count = this.line.len().min(buf.remaining());
                buf.put_slice(&this.line.split_to(count));
                continue;
            }
            if std::mem::take(&mut this.in_line) {
                buf.put_slice(b"\n");
                return Poll::Ready(Ok(()));
            }
            match this.reader.next() {
                Some(event) if event.is_message() => (this.line, this.in_line) = (one_line(event.data), true),
                Some(_) => {}
                None => match ready!(this.body.poll_bytes(cx)) {
                    None => return Poll::Ready(Ok(())),
                    Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                    Some(Ok(bytes)) => this.reader.push(bytes).map_err(io::Error::other)?,
                },
            }
        }
    }
}

/// Data of several lines is one message all the same: JSON has line breaks between its tokens alone.
fn one_line(data: Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', &data).is_none() {
        return data;
    }
    let mut line = BytesMut::from(&data[..]);
    line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    line.freeze()
}
