//! The ids on the lines of the log.

use std::{
    io,
    pin::pin,
    sync::{Arc, Mutex},
};

use patchbay_core::audit::EventId;
use serde_json::Value;
use tracing::{info, subscriber::with_default};
use tracing_subscriber::fmt;

use super::{super::log::*, *};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn taken(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn one(&self) -> Value {
        let lines = self.taken();
        assert_eq!(lines.len(), 1, "{lines:?}");
        serde_json::from_str(&lines[0]).unwrap_or_else(|error| panic!("{error}: {}", lines[0]))
    }
}

fn ids(count: u64) -> LogIds {
    LogIds { request: EventId::compose(1_700_000_000_000, count, 7), trace: None }
}

fn as_json(lines: &Lines, run: impl FnOnce()) {
    let lines = lines.clone();
    let builder = fmt().with_writer(Mutex::new(lines)).with_ansi(false).json().flatten_event(true);
    with_default(builder.map_event_format(WithIds::json).finish(), run);
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_line_of_a_request_names_it_and_a_line_of_nobody_does_not() {
    let lines = Lines::default();
    as_json(&lines, || {
        info!(server = "shop", "before \"it\" {}", "}");
        assert!(lines.one().get("request").is_none());
        block(within(Some(ids(1)), pin!(async { info!(server = "shop", "within \"it\" {}", "}") })));
        let line = lines.one();
        assert_eq!(line["request"], uuid(ids(1).request).to_string());
        assert_eq!((&line["server"], &line["message"]), (&"shop".into(), &"within \"it\" }".into()));
        assert!(line.get("trace").is_none());
        info!("after");
        assert!(lines.one().get("request").is_none());
    });
}

#[test]
fn the_trace_is_on_the_lines_from_when_it_is_known() {
    let lines = Lines::default();
    let trace = TraceParent::parse(SAMPLED).unwrap().trace;
    as_json(&lines, || {
        block(within(
            Some(ids(1)),
            pin!(async {
                info!("before");
                note_trace(trace);
                tokio::task::yield_now().await;
                info!("after");
            }),
        ));
        let said: Vec<Value> = lines.taken().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(said[0].get("trace").is_none());
        assert_eq!(said[1]["trace"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(said[0]["request"], said[1]["request"]);
    });
}

#[test]
fn requests_that_take_turns_on_a_thread_do_not_mix() {
    let lines = Lines::default();
    as_json(&lines, || {
        let one = |count| {
            within(
                Some(ids(count)),
                Box::pin(async move {
                    for _ in 0..3 {
                        info!(count);
                        tokio::task::yield_now().await;
                    }
                }),
            )
        };
        block(async { tokio::join!(one(1), one(2), within(None, Box::pin(async { info!(count = 0) }))) });
        for line in lines.taken() {
            let line: Value = serde_json::from_str(&line).unwrap();
            let count = line["count"].as_u64().unwrap();
            let named = line.get("request").map(|request| request.as_str().unwrap().to_owned());
            assert_eq!(named, (count > 0).then(|| uuid(ids(count).request).to_string()));
        }
    });
    assert_eq!(current(), None);
}

#[test]
fn a_panic_leaves_no_ids_behind() {
    let fell = std::panic::catch_unwind(|| {
        block(within(Some(ids(1)), Box::pin(async { panic!("expected by the test") })));
    });
    assert!(fell.is_err());
    assert_eq!(current(), None);
}

#[test]
fn text_lines_end_with_the_ids() {
    let lines = Lines::default();
    let trace = TraceParent::parse(SAMPLED).unwrap().trace;
    let builder = fmt().with_writer(Mutex::new(lines.clone())).with_ansi(false).with_target(false).compact();
    with_default(builder.map_event_format(|format| WithIds::text(format.with_ansi(false))).finish(), || {
        let _entered = enter(Some(LogIds { trace: Some(trace), ..ids(1) }));
        info!(server = "shop", "said");
    });
    let said = lines.taken();
    let end = format!("request={} trace={trace}", uuid(ids(1).request));
    assert!(said.len() == 1 && said[0].ends_with(&end) && said[0].contains("said server=\"shop\""), "{said:?}");
}
