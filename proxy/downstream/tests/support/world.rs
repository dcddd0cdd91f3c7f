//! What the tests of this crate share: a runtime of its own for children, calls in one line, and looks at processes.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use patchbay_downstream::{Answer, CallCx, Downstream, DownstreamError, Message, Outgoing, Reply, ShareKey};
use serde_json::Value;
use tokio::{runtime::Handle, time::Instant};

/// A single-threaded runtime on a thread of its own, as the gateway has one for its children.
pub(crate) fn control() -> Handle {
    static CONTROL: OnceLock<Handle> = OnceLock::new();
    let start = || {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            sender.send(runtime.handle().clone()).expect("the test waits");
            runtime.block_on(std::future::pending::<()>());
        });
        receiver.recv().expect("the runtime's handle")
    };
    CONTROL.get_or_init(start).clone()
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub(crate) fn tool(name: &str, arguments: &Value) -> Outgoing {
    let params = format!(r#""name":"{name}","arguments":{arguments}"#);
    Outgoing::plain("tools/call", vec![Bytes::from(params)])
}

pub(crate) fn cx(share: ShareKey, capabilities: &str) -> CallCx {
    CallCx { deadline: soon(), extension: None, share, capabilities: Arc::from(capabilities) }
}

/// Calls a tool as any caller of the tenant and gives the result.
pub(crate) async fn call(server: &dyn Downstream, name: &str, arguments: &Value) -> Result<Value, DownstreamError> {
    let reply = server.call(cx(ShareKey::Tenant, "{}"), tool(name, arguments)).await?;
    Ok(result(&finish(reply).await?))
}

/// The response at the end of a reply, whatever comes before it.
pub(crate) async fn finish(reply: Reply) -> Result<Answer, DownstreamError> {
    let mut stream = match reply {
        Reply::One(answer) => return Ok(answer),
        Reply::Stream(stream) => stream,
    };
    loop {
        if let Message::Response(answer) = stream.next().await? {
            return Ok(answer);
        }
    }
}

pub(crate) fn result(answer: &Answer) -> Value {
    let value: Value = serde_json::from_slice(&answer.head).expect("a whole JSON message");
    value["result"].clone()
}

/// Waits for a condition; fails when it does not come true.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < end, "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
