//! A gateway that is killed with -9 while it writes its audit: everything that it said it had written is there afterwards. The
//! test runs itself a second time as the process that is killed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use patchbay::audit::{
    Audit, Drain, DrainOptions, LinkedRow, Row, SEGMENT_BYTES_MIN, Signer, Sink, SinkError, SpoolOptions, Stage, Trail,
};
use patchbay_core::{
    TenantId,
    audit::{Actor, ChainId, Checkpoint, Link, WriterId},
    method::Method,
};

const VICTIM: &str = "PATCHBAY_TEST_SPOOL";
const OPTIONS: SpoolOptions = SpoolOptions { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 2000 };

/// Writes calls from two threads until it is killed, and says after each which it was.
fn write_until_killed(dir: &Path) -> ! {
    let audit = Audit::open(dir, OPTIONS).unwrap();
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let audit = audit.clone();
            std::thread::spawn(move || {
                for call in 0u64.. {
                    write_call(&audit, &format!("{thread}-{call}"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    unreachable!("the threads write until they are killed");
}

fn write_call(audit: &Arc<Audit>, name: &str) {
    let mut trail = Trail::open(audit, None, None);
    trail.known(TenantId::from_bits(1), &"default".parse().unwrap(), Actor::Anonymous);
    trail.method(&Method::ToolsCall);
    trail.target("server", name, name);
    trail.intent().unwrap();
    said(&format!("sent {name}"));
    trail.done(false, false, 1);
    said(&format!("done {name}"));
}

fn said(line: &str) {
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Row>>>);

impl Sink for Kept {
    async fn append(&self, rows: &[LinkedRow]) -> Result<u64, SinkError> {
        self.0.lock().unwrap().extend(rows.iter().map(|linked| linked.row.clone()));
        Ok(rows.len() as u64)
    }

    async fn known(&self, _: &[u128]) -> Result<HashSet<u128>, SinkError> {
        Ok(HashSet::new())
    }

    async fn heads(&self, _: WriterId) -> Result<Vec<(ChainId, Link)>, SinkError> {
        Ok(Vec::new())
    }

    async fn checkpoint(&self, _: &[Checkpoint]) -> Result<(), SinkError> {
        Ok(())
    }
}

/// What a start after the crash brings to the store: the last known stage of each call.
async fn recovered(dir: &Path) -> HashMap<String, Stage> {
    let kept = Kept::default();
    let audit = Audit::open(dir, OPTIONS).unwrap();
    let runtime = tokio::runtime::Handle::current();
    let signer = Arc::new(Signer::new([1; 32]).unwrap());
    let drain = Drain::start(audit, kept.clone(), signer, DrainOptions::default(), &runtime);
    assert_eq!(drain.flush(Duration::from_secs(60)).await.left, 0);
    let rows = kept.0.lock().unwrap();
    rows.iter().map(|row| (native(row), row.stage)).collect()
}

fn native(row: &Row) -> String {
    let record: serde_json::Value = serde_json::from_str(&row.json).unwrap();
    record["native"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_never_missing() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        write_until_killed(Path::new(&dir));
    }
    // Each round kills at another moment; the numbers of lines are far apart from the sizes of files.
    for lines in [1, 1000, 7919] {
        let dir = tempfile::tempdir().unwrap();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_a_killed_process_acknowledged_is_never_missing", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(victim.stdout.take().unwrap());
        let mut acknowledged = Vec::new();
        let mut line = String::new();
        while acknowledged.len() < lines && output.read_line(&mut line).unwrap() > 0 {
            acknowledged.extend(acknowledgement(&line));
            line.clear();
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        acknowledged.extend(output.lines().map_while(Result::ok).filter_map(|line| acknowledgement(&line)));
        assert!(acknowledged.len() >= lines, "the process fell over by itself");

        let found = recovered(dir.path()).await;
        for (stage, name) in acknowledged {
            let kept = found.get(&name);
            assert!(
                kept == Some(&Stage::Closed) || kept == Some(&stage),
                "call {name} was {stage:?}, found is {kept:?}"
            );
        }
    }
}

fn acknowledgement(line: &str) -> Option<(Stage, String)> {
    let (stage, name) = line.trim().split_once(' ')?;
    let stage = match stage {
        "sent" => Stage::Sent,
        "done" => Stage::Closed,
        _ => return None,
    };
    // A number that the kill has cut short is that of an earlier call, which was acknowledged too.
    let (_, call) = name.split_once('-')?;
    (!call.is_empty()).then(|| (stage, name.to_owned()))
}
