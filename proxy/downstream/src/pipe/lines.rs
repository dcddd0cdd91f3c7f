//! Cuts a byte stream into lines without copying them. A line over the bound is skipped as it comes: only its beginning and
//! end are kept, to find out whose it was.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room for one read.
const READ_BYTES: usize = 64 * 1024;
/// With less room than this, new room is made before reading.
const ROOM_BYTES_MIN: usize = 4 * 1024;
/// What is kept of the beginning of a skipped line.
const HEAD_BYTES: usize = 1024;
/// What is kept of its end.
const TAIL_BYTES: usize = 256;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Whole(Bytes),
    Oversized { head: Bytes, tail: Vec<u8> },
}

/// See the module.
pub(crate) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    searched: usize,
    line_bytes_max: usize,
    skipping: Option<Skipped>,
}

struct Skipped {
    head: Bytes,
    tail: Vec<u8>,
}

impl Skipped {
    fn add(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
    }
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, line_bytes_max: usize) -> Self {
        Self { reader, buffer: BytesMut::new(), searched: 0, line_bytes_max, skipping: None }
    }

    /// The next line; `None` at the end. What stands behind the last newline is half a message and no line.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if self.buffer.capacity() - self.buffer.len() < ROOM_BYTES_MIN {
                self.buffer.reserve(READ_BYTES);
            }
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn take(&mut self) -> Option<Line> {
        let found = memchr(b'\n', &self.buffer[self.searched..]).map(|at| self.searched + at);
        match (self.skipping.take(), found) {
            (Some(mut skipped), Some(end)) => {
                skipped.add(&self.buffer[..end]);
                self.buffer.advance(end + 1);
                self.searched = 0;
                Some(Line::Oversized { head: skipped.head, tail: skipped.tail })
            }
            (Some(mut skipped), None) => {
                skipped.add(&self.buffer);
                self.buffer.clear();
                self.skipping = Some(skipped);
                None
            }
            (None, Some(end)) => {
                let mut line = self.buffer.split_to(end);
                self.buffer.advance(1);
                self.searched = 0;
                if line.len() > self.line_bytes_max {
                    let Skipped { head, tail } = skip(&line);
                    return Some(Line::Oversized { head, tail });
                }
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                Some(Line::Whole(line.freeze()))
            }
            (None, None) => {
                self.searched = self.buffer.len();
                if self.buffer.len() > self.line_bytes_max {
                    self.skipping = Some(skip(&self.buffer));
                    self.buffer = BytesMut::new();
                    self.searched = 0;
                }
                None
            }
        }
    }
}

fn skip(start: &[u8]) -> Skipped {
    let mut skipped = Skipped { head: Bytes::copy_from_slice(&start[..start.len().min(HEAD_BYTES)]), tail: Vec::new() };
    skipped.add(start);
    skipped
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(text: &'static [u8], chunk: usize, line_bytes_max: usize) -> Vec<Line> {
        let (mut writer, reader) = tokio::io::duplex(chunk);
        let writing = tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut writer, text).await });
        let mut lines = Lines::new(reader, line_bytes_max);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.expect("memory does not fail") {
            found.push(line);
        }
        writing.await.expect("joined").expect("written");
        found
    }

    #[tokio::test]
    async fn lines_are_the_same_however_the_bytes_arrive() {
        let text = b"{\"a\":1}\r\n\n{\"b\":2}\n{\"half\":";
        let whole: Vec<Line> =
            [&b"{\"a\":1}"[..], b"", b"{\"b\":2}"].map(|line| Line::Whole(Bytes::from_static(line))).into();
        for chunk in [1, 2, 7, 1000] {
            assert_eq!(lines_of(text, chunk, 100).await, whole, "in chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn a_line_over_the_bound_is_skipped_and_the_next_one_is_whole() {
        for chunk in [1, 5, 1000] {
            let found = lines_of(b"0123456789abcdef\nok\n", chunk, 8).await;
            assert_eq!(found[1], Line::Whole(Bytes::from_static(b"ok")));
            let Line::Oversized { head, tail } = &found[0] else { panic!("taken whole in chunks of {chunk}") };
            assert!(head.starts_with(b"01234567") && tail.ends_with(b"cdef"));
        }
    }
}
