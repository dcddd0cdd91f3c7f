//! Reads `text/event-stream` as it comes, split at any byte (WHATWG HTML, section 9.2). An event whose data came in one piece
//! is handed on without a copy. What the events mean is not known here.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// One event that carries data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type; `None` is `message`.
    pub(crate) kind: Option<Bytes>,
    /// Its data, lines joined by line feeds.
    pub(crate) data: Bytes,
}

impl Event {
    /// Whether it is of the type that carries messages of the protocol.
    pub(crate) fn is_message(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == b"message")
    }
}

/// An event that is larger than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the server's stream is larger than {0} bytes")]
pub(crate) struct TooLarge(usize);

/// The state between two pieces of a stream.
pub(crate) struct Reader {
    event_bytes_max: usize,
    /// The beginning of a line whose end has not come yet.
    partial: BytesMut,
    /// The last piece ended with a carriage return: a line feed at the beginning of the next one belongs to it.
    after_return: bool,
    /// Nothing was read yet: a byte order mark may come.
    fresh: bool,
    data: Data,
    kind: Option<Bytes>,
    ready: VecDeque<Event>,
    last_id: Option<Bytes>,
    retry: Option<Duration>,
}

#[derive(Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(lines) => lines.len(),
        }
    }

    fn push(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + line.len() + 1);
                lines.extend_from_slice(&first);
                Self::joined(lines, &line)
            }
            Self::Many(lines) => Self::joined(lines, &line),
        };
    }

    fn joined(mut lines: BytesMut, line: &[u8]) -> Self {
        lines.extend_from_slice(b"\n");
        lines.extend_from_slice(line);
        Self::Many(lines)
    }

    fn take(&mut self) -> Bytes {
        match std::mem::take(self) {
            Self::None => Bytes::new(),
            Self::One(line) => line,
            Self::Many(lines) => lines.freeze(),
        }
    }
}

impl Reader {
    pub(crate) fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            partial: BytesMut::new(),
            after_return: false,
            fresh: true,
            data: Data::None,
            kind: None,
            ready: VecDeque::new(),
            last_id: None,
            retry: None,
        }
    }

    /// A reader for the stream that continues this one: it knows the last id and the delay.
    pub(crate) fn continued(&mut self) -> Self {
        Self { last_id: self.last_id.take(), retry: self.retry, ..Self::new(self.event_bytes_max) }
    }

    /// The next event that is complete.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// The id of the last event that had one.
    pub(crate) fn last_id(&self) -> Option<&Bytes> {
        self.last_id.as_ref()
    }

    /// How long the server wants a reader to wait before it comes back.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes the next piece of the stream.
    pub(crate) fn push(&mut self, mut piece: Bytes) -> Result<(), TooLarge> {
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_return) && piece[0] == b'\n' {
                let _ = piece.split_to(1);
                continue;
            }
            let Some(end) = memchr2(b'\r', b'\n', &piece) else {
                self.bound(piece.len())?;
                self.partial.extend_from_slice(&piece);
                return Ok(());
            };
            self.bound(end)?;
            let line = self.whole_line(piece.split_to(end));
            self.after_return = piece.split_to(1)[0] == b'\r';
            self.line(&line);
        }
        Ok(())
    }

    fn bound(&self, more: usize) -> Result<(), TooLarge> {
        let bytes = self.data.len() + self.partial.len() + more;
        if bytes > self.event_bytes_max { Err(TooLarge(self.event_bytes_max)) } else { Ok(()) }
    }

    fn whole_line(&mut self, end: Bytes) -> Bytes {
        let mut line = if self.partial.is_empty() {
            end
        } else {
            self.partial.extend_from_slice(&end);
            self.partial.split().freeze()
        };
        if std::mem::take(&mut self.fresh) && line.starts_with(b"\xef\xbb\xbf") {
            let _ = line.split_to(3);
        }
        line
    }

    fn line(&mut self, line: &Bytes) {
        if line.is_empty() {
            return self.end_of_event();
        }
        let colon = memchr::memchr(b':', line);
        let name = &line[..colon.unwrap_or(line.len())];
        let value_at = match colon {
            None => line.len(),
            Some(at) if line.get(at + 1) == Some(&b' ') => at + 2,
            Some(at) => at + 1,
        };
        match name {
            b"data" => self.data.push(line.slice(value_at..)),
            b"event" => self.kind = Some(line.slice(value_at..)).filter(|kind| !kind.is_empty()),
            b"id" if !line[value_at..].contains(&0) => self.last_id = Some(line.slice(value_at..)),
            b"retry" => self.retry = delay(&line[value_at..]).or(self.retry),
            // A comment, whose name is empty, or a field of the future.
            _ => {}
        }
    }

    fn end_of_event(&mut self) {
        let kind = self.kind.take();
        let data = self.data.take();
        // An event without data only sets the id: the priming event of 2025-11-25.
        if !data.is_empty() {
            self.ready.push_back(Event { kind, data });
        }
    }
}

fn delay(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\nid: 1\r\ndata:\r\n\r\nevent: message\nid: a:b\ndata: {\"a\":1}\n\n\
        retry: 250\rdata: x\rdata:y\rdata\r\revent: ping\ndata: z\n\nid\ndata: ü\n\nretry: soon\nfoo: bar\n\ndata: lost";

    fn event(kind: Option<&'static str>, data: &'static str) -> Event {
        Event { kind: kind.map(|kind| Bytes::from_static(kind.as_bytes())), data: Bytes::from_static(data.as_bytes()) }
    }

    fn read(pieces: &[&[u8]]) -> (Vec<Event>, Reader) {
        let mut reader = Reader::new(1000);
        let mut events = Vec::new();
        for piece in pieces {
            reader.push(Bytes::copy_from_slice(piece)).expect("within the bound");
            events.extend(std::iter::from_fn(|| reader.next()));
        }
        (events, reader)
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_split() {
        let stream = STREAM.as_bytes();
        let expected =
            [event(Some("message"), "{\"a\":1}"), event(None, "x\ny\n"), event(Some("ping"), "z"), event(None, "ü")];
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let (events, reader) = read(&[&stream[..first], &stream[first..second], &stream[second..]]);
                assert_eq!(events, expected, "split at {first} and {second}");
                assert_eq!(reader.last_id().map(|id| &id[..]), Some(&b""[..]));
                assert_eq!(reader.retry(), Some(Duration::from_millis(250)));
            }
        }
        let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&bytewise).0, expected);
    }

    #[test]
    fn an_event_over_the_bound_is_refused_before_it_is_whole() {
        let mut reader = Reader::new(100);
        reader.push(Bytes::from(format!("data: {}\n", "x".repeat(60)))).expect("within the bound");
        assert_eq!(reader.push(Bytes::from("data: ".to_owned() + &"y".repeat(50))), Err(TooLarge(100)));
        assert!(reader.next().is_none());
    }

    #[test]
    fn an_id_with_a_nul_and_a_retry_that_is_no_number_are_ignored() {
        let (_, reader) = read(&[b"id: 7\n\nid: a\0b\nretry: 99999999999999999999999\n\n"]);
        assert_eq!(reader.last_id().map(|id| &id[..]), Some(&b"7"[..]));
        assert_eq!(reader.retry(), None);
    }
}
