//! What is said about the numbers: one table per measurement, then each aim of the design and whether it is met.

use std::fmt;

use serde::Serialize;

use super::{
    fleet::Target,
    load::{Measure, median},
    neighbour::Neighbour,
    resident::Memory,
    scenario::{Aims, Scenario},
    streams::Streams,
};

const REST_KIB_MAX: f64 = 20.0 * 1024.0;
const SESSION_KIB_MAX: f64 = 8.0;
const START_MS_MAX: f64 = 25.0;
/// What the machine alone makes of the same build twice.
const SINCE_MAX: f64 = 1.05;
const NEIGHBOUR_MAX: f64 = 1.5;
/// A call to a server over standard streams has no row of nginx; it is held against nginx's row of the same width.
const STDIO_YARDSTICKS: [(&str, &str); 2] = [("stdio-1", "small-legacy-1"), ("stdio-64", "small-legacy-64")];

/// All numbers of a run.
#[derive(Default, Serialize)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) memory: Vec<Memory>,
    pub(super) streams: Vec<Streams>,
    pub(super) start_us: Vec<u64>,
    pub(super) neighbour: Vec<Neighbour>,
}

/// The medians of one measurement of one target.
#[derive(Serialize)]
pub(super) struct Row {
    scenario: &'static str,
    target: Target,
    #[serde(flatten)]
    measure: Measure,
    #[serde(skip)]
    aims: Aims,
}

/// One promise beside one number.
struct Verdict {
    what: String,
    found: f64,
    bound: f64,
    at_least: bool,
}

impl Row {
    pub(super) fn new(scenario: &Scenario, target: Target, measure: Measure) -> Self {
        Self { scenario: scenario.name, target, measure, aims: scenario.aims }
    }
}

impl Report {
    fn find(&self, scenario: &str, target: Target) -> Option<&Measure> {
        self.rows.iter().find(|row| row.scenario == scenario && row.target == target).map(|row| &row.measure)
    }

    fn yardstick(&self, scenario: &str) -> Option<&Measure> {
        let other = STDIO_YARDSTICKS.iter().find(|(name, _)| *name == scenario).map_or(scenario, |(_, other)| other);
        self.find(other, Target::Nginx)
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let patchbay = self.rows.iter().filter(|row| row.target == Target::Patchbay);
        let mut all: Vec<Verdict> = patchbay.flat_map(|row| self.verdicts_on(row)).collect();
        for memory in self.memory.iter().filter(|memory| memory.target == Target::Patchbay) {
            all.push(Verdict::at_most("KiB resident at rest", memory.rest_kib as f64, REST_KIB_MAX));
            for (sessions, kib) in &memory.with_sessions_kib {
                let each = kib.saturating_sub(memory.rest_kib) as f64 / *sessions as f64;
                let what = format!("KiB for each of {sessions} sessions, its connection included");
                all.push(Verdict::at_most(&what, each, SESSION_KIB_MAX));
            }
        }
        if !self.neighbour.is_empty() {
            let ratio = median(self.neighbour.iter().map(Neighbour::ratio).collect());
            all.push(Verdict::at_most(
                "p99 of a tenant beside a noisy one, times its quiet value",
                ratio,
                NEIGHBOUR_MAX,
            ));
        }
        if !self.start_us.is_empty() {
            let middle = median(self.start_us.iter().map(|us| *us as f64 / 1000.0).collect());
            all.push(Verdict::at_most("ms from start to the first answered list", middle, START_MS_MAX));
        }
        all
    }

    /// How this build stands to the one before, where both were measured.
    fn since(&self, row: &Row) -> Option<Verdict> {
        let before = self.find(row.scenario, Target::Before)?;
        let ratio = row.measure.cpu_us_per_request / before.cpu_us_per_request;
        let what = format!("{}: CPU per request, times that of the build before", row.scenario);
        Some(Verdict::at_most(&what, ratio, SINCE_MAX))
    }

    fn governed(&self, row: &Row) -> Vec<Verdict> {
        let find = |target| self.find(row.scenario, target);
        let (Some(bare), Some(governed)) = (find(Target::Bare), find(Target::Governed)) else { return Vec::new() };
        let name = row.scenario;
        let added = row.aims.governed_p50_us_max.map(|bound| {
            let what = format!("{name}: µs added to the median by limits in Redis and the audit");
            Verdict::at_most(&what, governed.p50_us - bare.p50_us, bound)
        });
        let cpu = row.aims.governed_cpu_max.map(|bound| {
            let ratio = governed.cpu_us_per_request / bare.cpu_us_per_request;
            Verdict::at_most(&format!("{name}: CPU per request, times that without"), ratio, bound)
        });
        added.into_iter().chain(cpu).collect()
    }

    fn verdicts_on(&self, row: &Row) -> Vec<Verdict> {
        let name = row.scenario;
        let nginx = self.find(name, Target::Nginx);
        let direct = self.find(name, Target::Direct);
        let cpu = row.aims.cpu_of_nginx_max.zip(nginx).map(|(bound, nginx)| {
            let ratio = row.measure.cpu_us_per_request / nginx.cpu_us_per_request;
            Verdict::at_most(&format!("{name}: CPU per request, times nginx"), ratio, bound)
        });
        let rate = row.aims.rate_of_nginx_min.zip(nginx).map(|(bound, nginx)| {
            let ratio = row.measure.rps / nginx.rps;
            Verdict {
                what: format!("{name}: requests per second, share of nginx"),
                found: ratio,
                bound,
                at_least: true,
            }
        });
        let added = row.aims.added_p50_us_max.zip(direct).map(|(bound, direct)| {
            let added = row.measure.p50_us - direct.p50_us;
            Verdict::at_most(&format!("{name}: µs added to the median over direct"), added, bound)
        });
        let key = self.find(name, Target::Patchbay);
        let signed =
            row.aims.cpu_of_key_max.zip(self.find(name, Target::Token)).zip(key).map(|((bound, token), key)| {
                let ratio = token.cpu_us_per_request / key.cpu_us_per_request;
                Verdict::at_most(
                    &format!("{name}: CPU per request with a known token, times that with a key"),
                    ratio,
                    bound,
                )
            });
        [cpu, rate, added, signed].into_iter().flatten().chain(self.governed(row)).chain(self.since(row)).collect()
    }
}

impl Verdict {
    fn at_most(what: &str, found: f64, bound: f64) -> Self {
        Self { what: what.to_owned(), found, bound, at_least: false }
    }

    fn is_met(&self) -> bool {
        if self.at_least { self.found >= self.bound } else { self.found <= self.bound }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:18} {:8} {:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "measurement",
            "through",
            "per s",
            "p50 µs",
            "p95 µs",
            "p99 µs",
            "cpu µs",
            "cpu/nginx",
            "rps/nginx",
            "p50 added"
        )?;
        for row in &self.rows {
            let Measure { rps, p50_us, p95_us, p99_us, cpu_us_per_request: cpu, .. } = &row.measure;
            write!(f, "{:18} {:8} {rps:9.0} {p50_us:8.1} {p95_us:8.1} {p99_us:8.1}", row.scenario, row.target.name())?;
            if row.target == Target::Direct {
                writeln!(f)?;
                continue;
            }
            let nginx = self.yardstick(row.scenario);
            let ratio = |number: fn(&Measure) -> f64| nginx.map(|nginx| number(&row.measure) / number(nginx));
            let added = self.find(row.scenario, Target::Direct).map(|direct| p50_us - direct.p50_us);
            let (cpu_ratio, rate) = (ratio(|measure| measure.cpu_us_per_request), ratio(|measure| measure.rps));
            writeln!(f, " {cpu:9.2} {:>9} {:>9} {:>9}", two(cpu_ratio), two(rate), two(added))?;
        }
        for Memory { target, rest_kib, with_sessions_kib } in &self.memory {
            write!(f, "\nmemory of {}: {rest_kib} KiB at rest", target.name())?;
            for (sessions, kib) in with_sessions_kib {
                let each = kib.saturating_sub(*rest_kib) as f64 / *sessions as f64;
                write!(f, ", {kib} KiB with {sessions} sessions ({each:.2} each)")?;
            }
        }
        for streams in &self.streams {
            write!(f, "\n{streams}")?;
        }
        writeln!(f, "\n")?;
        for verdict in self.verdicts() {
            let Verdict { what, found, bound, at_least } = &verdict;
            let (met, side) =
                (if verdict.is_met() { "met    " } else { "NOT MET" }, if *at_least { ">=" } else { "<=" });
            writeln!(f, "{met} {what}: {found:.2} (aim {side} {bound})")?;
        }
        Ok(())
    }
}

fn two(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"))
}
