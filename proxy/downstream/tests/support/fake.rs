//! A server that answers as a closure says, for tests of what stands before servers.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use patchbay_core::era::{Era, Version};
use patchbay_downstream::{Answer, CallCx, Downstream, DownstreamError, Event, Health, Hello, Outgoing, Reply};
use tokio::{sync::broadcast, time::Instant};

type Script = Box<dyn Fn(CallCx, Outgoing) -> BoxFuture<'static, Result<Reply, DownstreamError>> + Send + Sync>;

pub(crate) struct Fake {
    script: Mutex<Arc<Script>>,
    capabilities: String,
}

impl Fake {
    pub(crate) fn new<F>(script: impl Fn(CallCx, Outgoing) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<Reply, DownstreamError>> + Send + 'static,
    {
        let script: Script = Box::new(move |cx, request| Box::pin(script(cx, request)));
        let capabilities = r#"{"tools":{},"prompts":{},"resources":{}}"#.to_owned();
        Arc::new(Self { script: Mutex::new(Arc::new(script)), capabilities })
    }
}

pub(crate) fn one(text: impl Into<bytes::Bytes>) -> Reply {
    Reply::One(Answer { head: text.into(), rest: None, era: Era::Legacy })
}

impl Downstream for Fake {
    fn hello(&self, _deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        let hello = Hello {
            version: Version::V2025_11_25,
            capabilities: self.capabilities.clone(),
            server_info: "{}".to_owned(),
            instructions: None,
        };
        Box::pin(async move { Ok(Arc::new(hello)) })
    }

    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        let script = Arc::clone(&self.script.lock().expect("no test panics in here"));
        script(cx, request)
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        broadcast::Sender::new(1).subscribe()
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
