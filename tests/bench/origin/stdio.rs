//! The origin over its standard streams: one message per line, answers flushed when no further line waits.

use std::io::{BufRead, BufReader, BufWriter, Write};

use anyhow::Result;

use crate::answers::{Answer, Answers, Catalog, Era};

/// Serves until standard input ends.
pub(crate) fn serve(answers: &Answers, era: Era) -> Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if let Some(Answer::Message { head, tail, .. }) = answers.answer(era, Catalog::Calls, &line) {
            output.write_all(&head)?;
            output.write_all(&tail)?;
            output.write_all(b"\n")?;
        }
        if input.buffer().is_empty() {
            output.flush()?;
        }
        line.clear();
    }
    Ok(())
}
