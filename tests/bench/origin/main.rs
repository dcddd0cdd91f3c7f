//! The server that is measured behind nothing, behind nginx and behind Patchbay: small, fast, and the same for all three.
//!
//! `bench-origin --port N` answers MCP over HTTP, `bench-origin --stdio ERA` over its standard streams; what it answers is in
//! `answers.rs`. `bench-origin --mint FOLDER ISSUER AUDIENCE FILES COUNT` makes access tokens, and `--port N FOLDER` serves their keys
//! too, at `/jwks`. `cargo xtask bench` starts it.

mod answers;
mod http;
mod mint;
mod stdio;

use anyhow::{Context, Result, bail};

use crate::answers::{Answers, Era};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--port", port] => http::serve(port.parse().context("--port wants a number")?, None),
        ["--port", port, folder] => http::serve(port.parse().context("--port wants a number")?, Some(folder.into())),
        ["--mint", folder, issuer, audience, files, count] => {
            let number = |text: &str| text.parse().context("--mint wants two numbers at its end");
            mint::mint(folder.as_ref(), issuer, audience, number(files)?, number(count)?)
        }
        ["--stdio", era] => {
            let era = Era::named(era).context("--stdio wants `legacy`, `modern` or `both`")?;
            stdio::serve(&Answers::new(), era)
        }
        _ => bail!(
            "expected `--port NUMBER [FOLDER]`, `--stdio legacy|modern|both` or `--mint FOLDER ISSUER AUDIENCE FILES COUNT`"
        ),
    }
}
