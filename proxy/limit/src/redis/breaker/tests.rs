//! The watcher hears of each change once, and a single success begins the count anew.

use std::sync::Arc;

use super::*;

type Heard = Arc<Mutex<Vec<(Mode, &'static str)>>>;

fn watched() -> (Breaker, Heard) {
    let heard = Heard::default();
    let ear = heard.clone();
    (Breaker::new(Arc::new(move |mode, why| ear.lock().unwrap().push((mode, why)))), heard)
}

#[test]
fn nobody_is_asked_before_the_first_probe() {
    let (breaker, heard) = watched();
    assert!(!breaker.is_shared());
    breaker.failed("timeout");
    assert!(heard.lock().unwrap().is_empty());
}

#[test]
fn the_watcher_hears_of_each_change_once() {
    let (breaker, heard) = watched();
    breaker.open("refused");
    breaker.open("timeout");
    breaker.close();
    breaker.close();
    for _ in 0..3 * FAILURES_MAX {
        breaker.failed("timeout");
    }
    breaker.close();
    let expected =
        [(Mode::Away, "refused"), (Mode::Shared, "recovered"), (Mode::Away, "timeout"), (Mode::Shared, "recovered")];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[test]
fn a_success_begins_the_count_anew() {
    let (breaker, heard) = watched();
    breaker.close();
    for _ in 0..10 {
        for _ in 1..FAILURES_MAX {
            breaker.failed("timeout");
        }
        breaker.succeeded();
    }
    assert!(breaker.is_shared());
    assert_eq!(*heard.lock().unwrap(), [(Mode::Shared, "connected")]);
    for _ in 0..FAILURES_MAX {
        breaker.failed("read_only");
    }
    assert!(!breaker.is_shared());
    assert_eq!(heard.lock().unwrap().last(), Some(&(Mode::Away, "read_only")));
}

#[test]
fn threads_that_fail_together_are_told_of_once() {
    let (breaker, heard) = watched();
    breaker.close();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|_| breaker.failed("timeout")));
        }
    });
    assert_eq!(*heard.lock().unwrap(), [(Mode::Shared, "connected"), (Mode::Away, "timeout")]);
}
