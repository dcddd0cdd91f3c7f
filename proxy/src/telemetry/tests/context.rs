//! Whose context counts, and what is recorded.

use http::{HeaderMap, HeaderValue};

use super::*;

const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-01";

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

#[test]
fn headers_that_are_not_to_the_letter_say_nothing() {
    for bad in [
        &[("traceparent", "garbage")][..],
        &[("traceparent", SAMPLED), ("traceparent", SAMPLED)],
        &[("traceparent", "\u{e9}")],
        &[("tracestate", "a=1")],
        &[],
    ] {
        assert_eq!(of_headers(&headers(bad)), None, "{bad:?}");
    }
}

#[test]
fn several_tracestates_are_one_list_within_its_bound() {
    let state = |all: &[(&'static str, &str)]| {
        let context = of_headers(&headers(&[&[("traceparent", SAMPLED)], all].concat())).expect("the parent counts");
        context.state.map(|state| state.as_str().to_owned())
    };
    assert_eq!(state(&[("tracestate", "a=1"), ("tracestate", "b=2")]).as_deref(), Some("a=1,b=2"));
    let long = format!("a={}", "x".repeat(255));
    let longer = format!("b={}", "x".repeat(255));
    assert_eq!(state(&[("tracestate", &long), ("tracestate", &longer)]), None);
    assert_eq!(state(&[("tracestate", "a=1"), ("tracestate", "a=2")]), None);
    assert_eq!(state(&[("tracestate", "\u{e9}=1"), ("tracestate", "a=2")]), None);
}

#[test]
fn what_the_message_says_comes_before_what_the_headers_say() {
    let http = TraceContext::parse(OTHER, Some("a=1"));
    let meta = format!(r#"{{"traceparent":"{SAMPLED}"}}"#);
    let both = Came::of(http.as_ref(), Some(&meta));
    assert_eq!(both.context, TraceContext::parse(SAMPLED, None), "the state of the other context stays out");
    assert_eq!(both.link, http.as_ref().map(|context| context.parent));

    let same = Came::of(TraceContext::parse(SAMPLED, None).as_ref(), Some(&meta));
    assert_eq!(same.link, None);
    for absent in [None, Some("{}"), Some(r#"{"traceparent":"garbage"}"#), Some("[")] {
        let came = Came::of(http.as_ref(), absent);
        assert_eq!((came.context, came.link), (http.clone(), None), "{absent:?}");
    }
    assert_eq!(Came::of(None, None), Came::default());
}

fn sampler(sample: f64, trust_callers: bool) -> Sampler {
    Sampler::new(&TracesConfig { sample, trust_callers, ..config("http://127.0.0.1:1") })
}

fn parent(text: &str) -> Option<TraceParent> {
    TraceParent::parse(text)
}

#[test]
fn a_callers_decision_counts_where_callers_are_trusted_and_only_there() {
    let trace = parent(SAMPLED).unwrap().trace;
    for sample in [0.0, 1.0] {
        let trusting = sampler(sample, true);
        assert!(trusting.samples(parent(SAMPLED), trace) && !trusting.samples(parent(UNSAMPLED), trace));
        let wary = sampler(sample, false);
        assert_eq!(wary.samples(parent(SAMPLED), trace), sample > 0.5);
        assert_eq!(wary.samples(parent(UNSAMPLED), trace), sample > 0.5);
    }
}

#[test]
fn about_the_configured_part_is_recorded_and_one_trace_whole_or_not_at_all() {
    let quarter = sampler(0.25, false);
    let traces: Vec<_> = (0..20_000).map(|_| ids::trace()).collect();
    let taken: Vec<_> = traces.iter().map(|trace| quarter.samples(None, *trace)).collect();
    let count = taken.iter().filter(|taken| **taken).count();
    assert!((4_500..5_500).contains(&count), "{count} of 20,000");
    for (trace, taken) in traces.iter().zip(&taken) {
        assert_eq!(quarter.samples(None, *trace), *taken);
    }
    assert!(traces.iter().all(|trace| sampler(1.0, true).samples(None, *trace)));
    assert!(!traces.iter().any(|trace| sampler(0.0, true).samples(None, *trace)));
    assert!(!sampler(f64::NAN, true).samples(None, traces[0]), "what is no number records nothing");
}

#[test]
fn ids_do_not_repeat_on_any_thread() {
    let draw = || (0..10_000).map(|_| ids::span()).collect::<Vec<_>>();
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
    let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let different: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}
