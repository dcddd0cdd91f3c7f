//! How much of what a server tells within a call passes on: progress only as far as it grows and at a pace that a reader can
//! take, log messages from the level that the caller wants and not without end. What is too much costs nobody memory: of
//! progress the newest waits its turn, log messages are counted. Called by the relay for each notification.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{bridge::notes, caller::LogLevel};

/// Steps of progress that pass in one second of a call.
const PROGRESS_PER_SECOND_MAX: u32 = 100;
/// Log messages that pass in one second of a call.
const LOGS_PER_SECOND_MAX: u32 = 100;

/// What a server has told within one call.
pub(super) struct Talk {
    last: f64,
    progress: Pace,
    /// The newest step of progress, when it came too soon.
    held: Option<Bytes>,
    logs: Pace,
    /// Log messages that were too many, and the least level that its reader takes.
    left_out: Option<(u64, LogLevel)>,
}

impl Talk {
    pub(super) const fn new() -> Self {
        Self { last: f64::NEG_INFINITY, progress: Pace::NEW, held: None, logs: Pace::NEW, left_out: None }
    }

    /// A step of progress under the caller's token, if it may pass now. One that comes too soon takes the place of the one
    /// before it and waits until [`Self::due`].
    pub(super) fn progress(&mut self, message: &Bytes, token: &str, now: Instant) -> Option<Bytes> {
        let step = notes::progress(message, token, &mut self.last)?;
        if self.progress.takes(PROGRESS_PER_SECOND_MAX, now) {
            self.held = None;
            return Some(step);
        }
        self.held = Some(step);
        None
    }

    /// A log message of this server, if its caller wants its level and it is not too many.
    pub(super) fn log(&mut self, message: &Bytes, wanted: LogLevel, server: &str, now: Instant) -> Option<Bytes> {
        if notes::log_level(message)? < wanted {
            return None;
        }
        if self.logs.takes(LOGS_PER_SECOND_MAX, now) {
            return notes::log(message, server);
        }
        let (count, level) = self.left_out.get_or_insert((0, wanted.max(LogLevel::Warning)));
        *count += 1;
        *level = wanted.max(LogLevel::Warning);
        None
    }

    /// When a step of progress that waits may pass.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.is_some().then(|| self.progress.next())
    }

    /// The step of progress that waits: nothing else may pass before it.
    pub(super) fn held(&mut self) -> Option<Bytes> {
        self.held.take()
    }

    /// What is still to be said before the response: the last step of progress, and how many log messages were left out.
    pub(super) fn last_words(&mut self, server: &str) -> impl Iterator<Item = Bytes> + use<> {
        let left_out = self.left_out.take().map(|(count, level)| notes::left_out(count, level, server));
        self.held.take().into_iter().chain(left_out)
    }
}

/// So many in each second.
struct Pace {
    since: Option<Instant>,
    count: u32,
}

impl Pace {
    const NEW: Self = Self { since: None, count: 0 };
    const SECOND: Duration = Duration::from_secs(1);

    fn takes(&mut self, count_max: u32, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= Self::SECOND) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        self.count <= count_max
    }

    fn next(&self) -> Instant {
        self.since.map_or_else(Instant::now, |since| since + Self::SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(at: u32) -> Bytes {
        format!(r#"{{"method":"notifications/progress","params":{{"progressToken":7,"progress":{at}}}}}"#).into()
    }

    fn said(level: &str) -> Bytes {
        format!(r#"{{"method":"notifications/message","params":{{"level":"{level}","data":"x"}}}}"#).into()
    }

    #[test]
    fn of_a_flood_of_progress_the_newest_waits_its_turn() {
        let (mut talk, now) = (Talk::new(), Instant::now());
        let passed = (0..100_000).filter_map(|at| talk.progress(&step(at), "1", now)).count();
        assert_eq!(passed, PROGRESS_PER_SECOND_MAX as usize);
        assert_eq!(talk.due(), Some(now + Duration::from_secs(1)));
        let held = talk.held().expect("the newest");
        assert!(std::str::from_utf8(&held).is_ok_and(|text| text.contains("99999")));
        assert!(talk.progress(&step(99_999), "1", now + Duration::from_secs(2)).is_none(), "it did not grow");
        assert!(talk.progress(&step(100_000), "1", now + Duration::from_secs(2)).is_some());
        assert_eq!(talk.due(), None);
    }

    #[test]
    fn a_later_step_that_passes_takes_the_place_of_the_one_that_waits() {
        let (mut talk, now) = (Talk::new(), Instant::now());
        (0..=PROGRESS_PER_SECOND_MAX).for_each(|at| drop(talk.progress(&step(at), "1", now)));
        assert!(talk.due().is_some());
        assert!(talk.progress(&step(500), "1", now + Duration::from_secs(1)).is_some());
        assert_eq!(talk.last_words("s").count(), 0);
    }

    #[test]
    fn log_messages_pass_from_the_level_on_and_those_left_out_are_counted_in_the_end() {
        let (mut talk, now) = (Talk::new(), Instant::now());
        assert!(talk.log(&said("info"), LogLevel::Warning, "s", now).is_none());
        assert!(talk.log(&said("loud"), LogLevel::Debug, "s", now).is_none());
        assert_eq!(talk.last_words("s").count(), 0);
        let passed = (0..1_000).filter_map(|_| talk.log(&said("error"), LogLevel::Error, "s", now)).count();
        assert_eq!(passed, LOGS_PER_SECOND_MAX as usize);
        let words: Vec<_> = talk.last_words("s").collect();
        let text = std::str::from_utf8(&words[0]).expect("text");
        assert!(words.len() == 1 && text.contains("900 log messages") && text.contains("\"error\""), "{text}");
        assert!(talk.log(&said("error"), LogLevel::Error, "s", now + Duration::from_secs(1)).is_some());
    }
}
