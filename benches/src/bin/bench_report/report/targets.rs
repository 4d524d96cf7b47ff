//! The targets: what the pool is to be, as bounds on medians of one run.
//!
//! A target that is missed says by how much, and one that was not measured says so. Neither changes
//! the bound.

use benches::case::Bench;
use benches::results::{Row, Scarce};
use pool::Builder;

use super::run::{Missing, Place, Run, distinct, threads_of};
use super::scale;
use super::subjects::{ARRAY_QUEUE, BARE_ARRAY, BARGING, BY_HANDLE, FAIR, MIMALLOC, OURS, is_ours, is_peer};
use super::verdict::{Case, Limit, Target};

const ONE_THREAD: Place<'static> = Place { bench: Bench::Uncontended, shape: "64 B", threads: 1 };

/// Threads and objects that `scarce` is about. Each is measured with and without work.
const SCARCE: [(usize, usize); 4] = [(4, 2), (8, 2), (8, 7), (64, 4)];

/// All of them, in the order of the report.
pub(crate) fn targets() -> Vec<Target> {
    use Limit::{AtLeast, AtMost};
    let bypass = AtMost(f64::from(Builder::DEFAULT_BYPASS));
    vec![
        Target {
            what: "pair by handle, one thread",
            limit: AtMost(0.65),
            unit: "x mimalloc",
            cases: |run| Case::only(over(run, ONE_THREAD, BY_HANDLE, MIMALLOC)),
        },
        Target {
            what: "pair by handle, one thread",
            limit: AtMost(2.5),
            unit: "x bare array",
            cases: |run| Case::only(over(run, ONE_THREAD, BY_HANDLE, BARE_ARRAY)),
        },
        Target {
            what: "pair by handle",
            limit: AtMost(40.0),
            unit: "instructions",
            cases: |run| Case::only(instructions(run, BY_HANDLE)),
        },
        Target {
            what: "pair through the thread-local, one thread",
            limit: AtMost(0.9),
            unit: "x mimalloc",
            cases: |run| Case::only(over(run, ONE_THREAD, OURS, MIMALLOC)),
        },
        Target {
            what: "pair, two threads on one pool",
            limit: AtMost(1.2),
            unit: "x its cost alone",
            cases: beside_alone,
        },
        Target {
            what: "throughput, two threads on one pool",
            limit: AtLeast(4.0),
            unit: "x ArrayQueue",
            // As one thread sees it: half the time a pair is twice the pairs.
            cases: |run| each(run, Bench::Contended, 2, |place| over(run, place, ARRAY_QUEUE, OURS)),
        },
        Target {
            what: "remote: one gets, another puts",
            limit: AtMost(1.0),
            unit: "x the fastest peer",
            cases: |run| over_fastest(run, Bench::Remote),
        },
        Target {
            what: "burst: 64 gets, 64 puts",
            limit: AtMost(1.0),
            unit: "x the fastest peer",
            cases: |run| over_fastest(run, Bench::Burst),
        },
        Target {
            what: "scarce: throughput",
            limit: AtLeast(1.0),
            unit: "x the best barging peer",
            cases: |run| {
                scarce(run, |shape| {
                    let best = best(shape, &BARGING, throughput, f64::max)?;
                    Ok(of(shape, OURS, throughput)? / best)
                })
            },
        },
        Target {
            what: "scarce: p99.99 wait",
            limit: AtMost(2.0),
            unit: "x the best fair peer",
            cases: |run| {
                scarce(run, |shape| {
                    let best = best(shape, &FAIR, tail, f64::min)?;
                    Ok(of(shape, OURS, tail)? / best)
                })
            },
        },
        Target {
            what: "scarce: largest bypass seen",
            limit: bypass,
            unit: "overtakes (K)",
            cases: |run| scarce(run, |shape| of(shape, OURS, overtakes)),
        },
        Target {
            what: "64 B to 256 KiB: slowest size",
            // The sizes differ in nothing that the pool does. What is left is noise.
            limit: AtMost(1.25),
            unit: "x the fastest",
            cases: sizes,
        },
        Target {
            what: "1 to 1,000,000 pages: slowest",
            limit: AtMost(1.5),
            unit: "x the smallest",
            cases: |run| flatness(run, "pages"),
        },
        Target {
            what: "1 to 10,000 waiters: slowest",
            limit: AtMost(1.5),
            unit: "x the smallest",
            cases: |run| flatness(run, "waiters"),
        },
        Target {
            what: "1 to 1,000 pools: slowest",
            limit: AtMost(1.5),
            unit: "x the smallest",
            cases: |run| flatness(run, "pools"),
        },
        Target {
            what: "memory, out of band",
            limit: AtMost(8.0),
            unit: "bytes an item",
            cases: |run| ours(run, Bench::Memory, |row| row.bytes_per_item),
        },
        Target {
            what: "a pool of a million items is made in",
            limit: AtMost(1.0),
            unit: "ms",
            cases: |run| ours(run, Bench::Create, |row| row.median_ns.map(|ns| ns / 1e6)),
        },
    ]
}

/// The cost of one subject over that of another in one place.
fn over(run: &Run, place: Place<'_>, subject: &str, other: &str) -> Result<f64, Missing> {
    Ok(run.ns(place, subject)? / run.ns(place, other)?)
}

fn instructions(run: &Run, subject: &str) -> Result<f64, Missing> {
    let count = run.instructions.iter().find(|count| count.subject == subject);
    let count = count.ok_or_else(|| Missing(format!("no count of `{subject}` under callgrind")))?;
    Ok(count.pair)
}

/// A case for each place of a bench with so many threads.
fn each(
    run: &Run,
    bench: Bench,
    threads: usize,
    figure: impl Fn(Place<'_>) -> Result<f64, Missing>,
) -> Vec<Case> {
    let places = run.places(bench).into_iter().filter(|place| place.threads == threads);
    let cases = places.map(|place| Case { name: place.shape.to_owned(), figure: figure(place) });
    or_nothing(cases.collect(), || format!("no rows of {bench} with {threads} threads"))
}

fn or_nothing(cases: Vec<Case>, missing: impl FnOnce() -> String) -> Vec<Case> {
    if cases.is_empty() { Case::only(Err(Missing(missing()))) } else { cases }
}

fn beside_alone(run: &Run) -> Vec<Case> {
    each(run, Bench::Contended, 2, |place| {
        let alone = Place { threads: 1, ..place };
        Ok(run.ns(place, OURS)? / run.ns(alone, OURS)?)
    })
}

/// Ours over the fastest of the peers, in each place of a bench.
fn over_fastest(run: &Run, bench: Bench) -> Vec<Case> {
    let case = |place: Place<'_>| {
        let peers = run.at(place).filter(|row| is_peer(&row.subject)).filter_map(|row| row.median_ns);
        let fastest = peers.reduce(f64::min).ok_or_else(|| Missing(format!("no peer in {place}")));
        let figure = fastest.and_then(|fastest| Ok(run.ns(place, OURS)? / fastest));
        Case { name: format!("{}, {}", place.shape, threads_of(place.threads)), figure }
    };
    let cases = run.places(bench).into_iter().map(case).collect();
    or_nothing(cases, || format!("no rows of {bench}"))
}

/// One shape of `scarce`, and what each subject did in it.
struct Shape<'a> {
    name: String,
    subjects: Vec<(&'a str, &'a Scarce)>,
}

/// A case for each of the shapes, with and without work.
fn scarce(run: &Run, figure: impl Fn(&Shape<'_>) -> Result<f64, Missing>) -> Vec<Case> {
    if run.of(Bench::Scarce).next().is_none() {
        return Case::only(Err(Missing("no rows of scarce".to_owned())));
    }
    let shapes = SCARCE.into_iter().flat_map(|shape| [(shape, false), (shape, true)]);
    let case = |((threads, objects), work)| {
        let rows = run.of(Bench::Scarce).filter(|row| row.threads == threads);
        let subjects = rows.filter_map(|row| Some((&*row.subject, row.scarce.as_ref()?)));
        let shape = Shape {
            subjects: subjects
                .filter(|(_, scarce)| (scarce.objects, scarce.work) == (objects, work))
                .collect(),
            name: format!("{threads} threads, {objects} objects{}", if work { ", with work" } else { "" }),
        };
        let figure = figure(&shape);
        Case { name: shape.name, figure }
    };
    shapes.map(case).collect()
}

fn throughput(scarce: &Scarce) -> Option<f64> {
    Some(scarce.ops_per_s)
}

fn tail(scarce: &Scarce) -> Option<f64> {
    Some(scarce.wait_ns.p99_99 as f64)
}

fn overtakes(scarce: &Scarce) -> Option<f64> {
    scarce.largest_bypass.map(|overtakes| overtakes as f64)
}

fn of(shape: &Shape<'_>, subject: &str, figure: fn(&Scarce) -> Option<f64>) -> Result<f64, Missing> {
    let found = shape.subjects.iter().find(|(name, _)| *name == subject);
    found
        .and_then(|(_, scarce)| figure(scarce))
        .ok_or_else(|| Missing(format!("no `{subject}` in scarce, {}", shape.name)))
}

/// The best of the figures of `peers`, all of which have to be there.
fn best(
    shape: &Shape<'_>,
    peers: &[&str],
    figure: fn(&Scarce) -> Option<f64>,
    better: fn(f64, f64) -> f64,
) -> Result<f64, Missing> {
    let figures = peers.iter().map(|peer| of(shape, peer, figure)).collect::<Result<Vec<_>, _>>()?;
    Ok(figures.into_iter().reduce(better).expect("each kind has a peer"))
}

/// The slowest size over the fastest, for each way to call ours.
fn sizes(run: &Run) -> Vec<Case> {
    let subjects = distinct(run.of(Bench::Bytes).map(|row| &*row.subject).filter(|name| is_ours(name)));
    let case = |subject: &str| {
        let of_it = run.of(Bench::Bytes).filter(|row| row.subject == subject).filter_map(|row| row.median_ns);
        let costs: Vec<f64> = of_it.collect();
        let figure = match costs[..] {
            [] | [_] => Err(Missing(format!("fewer than two sizes of `{subject}` in bytes"))),
            _ => {
                Ok(costs.iter().copied().fold(0.0, f64::max) / costs.iter().copied().fold(f64::MAX, f64::min))
            }
        };
        Case { name: subject.to_owned(), figure }
    };
    or_nothing(subjects.into_iter().map(case).collect(), || format!("no `{OURS}` in bytes"))
}

/// The slowest over the smallest, for each line through numbers of `of`.
fn flatness(run: &Run, of: &str) -> Vec<Case> {
    let lines = scale::lines(run, Some(of));
    let alone = lines.len() == 1;
    let case = |line: &scale::Line| Case {
        name: if alone { String::new() } else { line.name.clone() },
        figure: match line.points[..] {
            [(_, smallest), .., _] => Ok(line.points.iter().map(|(_, ns)| ns / smallest).fold(0.0, f64::max)),
            _ => Err(Missing(format!("fewer than two numbers of {}", line.name))),
        },
    };
    or_nothing(lines.iter().map(case).collect(), || format!("no {of} in scale"))
}

/// A case for each shape of a bench that only ours is in.
fn ours(run: &Run, bench: Bench, figure: fn(&Row) -> Option<f64>) -> Vec<Case> {
    let rows: Vec<&Row> = run.of(bench).filter(|row| row.subject == OURS).collect();
    let alone = rows.len() == 1;
    let case = |row: &&Row| Case {
        name: if alone { String::new() } else { row.shape.clone() },
        figure: figure(row).ok_or_else(|| Missing(format!("no figure of `{OURS}` in {}", Place::of(row)))),
    };
    or_nothing(rows.iter().map(case).collect(), || format!("no `{OURS}` in {bench}"))
}
