//! A tool server on stdin and stdout, until the client closes them.

use anyhow::Context as _;
use patchbay_builtin_tools::{Builtin, Given};
use rmcp::{ServiceExt as _, service::ServerInitializeError, transport::stdio_pipes};

/// Serves the built-in server of that kind. It is checked first: a client shows a person no more than that a server
/// does not start, so the reason has to be on stderr before the first message.
pub(crate) async fn serve(kind: &str, given: &Given) -> anyhow::Result<()> {
    let builtin = Builtin::find(kind).with_context(|| format!("There is no built-in tool server `{kind}`."))?;
    let server = builtin.build(given)?;
    server.check().await.map_err(anyhow::Error::msg)?;
    match server.handler().serve(stdio_pipes()).await {
        Ok(running) => {
            running.waiting().await.context("The MCP session broke off.")?;
            Ok(())
        }
        // Who opens and closes without a word wants nothing.
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(error).context("The client did not begin an MCP session."),
    }
}
