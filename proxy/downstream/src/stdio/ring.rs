//! The last lines that a server's children wrote to their standard error, for operators. Bounded in lines and bytes, without
//! control characters, and without the secrets that the children were given.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncRead;

use crate::{
    Mask,
    pipe::lines::{Line, Lines},
};

const LINES_MAX: usize = 200;
const BYTES_MAX: usize = 64 * 1024;
const LINE_BYTES_MAX: usize = 4 * 1024;

/// See the module.
pub(super) struct Ring {
    mask: Mask,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Ring {
    pub(super) fn new(env: &[(String, SecretString)]) -> Self {
        let mask = Mask::of(env.iter().map(|(_, value)| value.expose_secret()));
        Self { mask, kept: Mutex::default() }
    }

    /// Reads to the end, so that a child never hangs in a write, and keeps the last lines.
    pub(super) async fn fill(&self, stderr: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(stderr, LINE_BYTES_MAX);
        while let Ok(Some(line)) = lines.next().await {
            match line {
                Line::Whole(line) => self.push(&String::from_utf8_lossy(&line)),
                // Where it is cut there may be the beginning of a secret.
                Line::Oversized { head, .. } => {
                    self.push(&format!("{}…", self.mask.without_beginning(&String::from_utf8_lossy(&head))));
                }
            }
        }
    }

    /// The lines that are kept, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    fn push(&self, line: &str) {
        let text = self.mask.over(line).chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
        let text: String = text;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += text.len();
        kept.lines.push_back(text);
        while kept.lines.len() > LINES_MAX || kept.bytes > BYTES_MAX {
            let gone = kept.lines.pop_front().map_or(0, |line| line.len());
            kept.bytes -= gone;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_without_secrets_and_control_characters() {
        let ring = Ring::new(&[("T".to_owned(), "s3cr3t-value".into())]);
        let text: String = (0..500).map(|n| format!("{n} \u{1b}[31mtoken=s3cr3t-value\r\n")).collect();
        ring.fill(text.as_bytes()).await;
        let lines = ring.lines();
        assert_eq!((lines.len(), &*lines[199]), (LINES_MAX, "499  [31mtoken=[redacted]"));
        ring.fill(format!("{}\n", "x".repeat(100_000)).as_bytes()).await;
        assert!(ring.lines().last().is_some_and(|line| line.len() < 2 * LINE_BYTES_MAX));
        // A line is cut in the middle of the secret, wherever that is.
        for before in LINE_BYTES_MAX - 12..LINE_BYTES_MAX {
            ring.fill(format!("{}s3cr3t-value{}\n", "x".repeat(before), "y".repeat(100)).as_bytes()).await;
            let line = ring.lines().pop().expect("a line");
            assert!(!line.contains("s3cr"), "{}", &line[line.len() - 40..]);
        }
    }
}
