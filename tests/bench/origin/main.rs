//! The server that is measured behind nothing, behind nginx and behind Patchbay: small, fast, and the same for all three.
//!
//! `bench-origin --port N` answers MCP over HTTP, `bench-origin --stdio ERA` over its standard streams. `cargo xtask bench`
//! starts it. What it answers is in `answers.rs`.

mod answers;
mod http;
mod stdio;

use anyhow::{Context, Result, bail};

use crate::answers::{Answers, Era};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--port", port] => http::serve(port.parse().context("--port wants a number")?),
        ["--stdio", era] => {
            let era = Era::named(era).context("--stdio wants `legacy`, `modern` or `both`")?;
            stdio::serve(&Answers::new(), era)
        }
        _ => bail!("expected `--port NUMBER` or `--stdio legacy|modern|both`"),
    }
}
