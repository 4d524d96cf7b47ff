//! The figures that targets are about, taken from the rows of a run.

use benches::case::Bench;
use benches::results::{Large, Row, Scarce};

use super::run::{Missing, Place, Run, distinct, threads_of};
use super::scale;
use super::scarce::Shape;
use super::spans::Filled;
use super::subjects::{BARGING, FAIR, OURS, is_ours, is_peer};
use super::verdict::Case;

/// One thread, and nobody else.
const ALONE: Place<'static> = Place { bench: Bench::Uncontended, shape: "64 B", threads: 1 };

/// Threads and objects that `scarce` is about. Each is measured with and without work.
const SCARCE: [(usize, usize); 4] = [(4, 2), (8, 2), (8, 7), (64, 4)];

/// The pair of one subject over that of another, on one thread.
pub(crate) fn alone(run: &Run, subject: &str, other: &str) -> Vec<Case> {
    Case::only(over(run, ALONE, subject, other))
}

/// The instructions of a pair.
pub(crate) fn instructions(run: &Run, subject: &str) -> Vec<Case> {
    let count = run.instructions.iter().find(|count| count.subject == subject);
    let missing = || Missing(format!("no count of `{subject}` under callgrind"));
    Case::only(count.map(|count| count.pair).ok_or_else(missing))
}

/// A pair of ours with two threads on one pool, over one with one thread.
pub(crate) fn beside_another(run: &Run) -> Vec<Case> {
    of_two_threads(run, |place| {
        let alone = Place { threads: 1, ..place };
        Ok(run.ns(place, OURS)? / run.ns(alone, OURS)?)
    })
}

/// How many pairs two threads of ours do while two of `other` do one.
pub(crate) fn throughput(run: &Run, other: &str) -> Vec<Case> {
    // Costs are as one thread sees them: half the time a pair is twice the pairs.
    of_two_threads(run, |place| over(run, place, other, OURS))
}

/// Ours over the fastest of the peers, in each place of a bench.
pub(crate) fn over_fastest(run: &Run, bench: Bench) -> Vec<Case> {
    let case = |place: Place<'_>| {
        let peers = run.at(place).filter(|row| is_peer(&row.subject)).filter_map(|row| row.median_ns);
        let fastest = peers.reduce(f64::min).ok_or_else(|| Missing(format!("no peer in {place}")));
        let figure = fastest.and_then(|fastest| Ok(run.ns(place, OURS)? / fastest));
        Case { name: format!("{}, {}", place.shape, threads_of(place.threads)), figure }
    };
    let cases = run.places(bench).into_iter().map(case).collect();
    or_missing(cases, || format!("no rows of {bench}"))
}

/// Ours with the most spans out over ours with the fewest, for each mix of shapes and each fill.
pub(crate) fn live(run: &Run) -> Vec<Case> {
    let case = |filled: &Filled<'_>| Case {
        name: filled.name(),
        figure: match filled.places[..] {
            [(_, fewest), .., (_, most)] => ratio(run.ns(most, OURS), run.ns(fewest, OURS)),
            _ => Err(Missing(format!("fewer than two numbers of spans in spans, {}", filled.name()))),
        },
    };
    or_missing(Filled::all(run).iter().map(case).collect(), || "no rows of spans".to_owned())
}

/// How many spans of memory ours gives and takes back while `other` does one.
pub(crate) fn committed(run: &Run, other: &str) -> Vec<Case> {
    let case =
        |place: Place<'_>| Case { name: place.shape.to_owned(), figure: over(run, place, other, OURS) };
    let cases = run.places(Bench::Committed).into_iter().map(case).collect();
    or_missing(cases, || "no rows of committed".to_owned())
}

/// What it costs ours to move a page, over `other`.
pub(crate) fn moving(run: &Run, other: &str) -> Vec<Case> {
    let case =
        |place: Place<'_>| Case { name: place.shape.to_owned(), figure: over(run, place, OURS, other) };
    let cases = run.places(Bench::Moving).into_iter().map(case).collect();
    or_missing(cases, || "no rows of moving".to_owned())
}

/// What there is to say of each large span of ours.
pub(crate) fn large(run: &Run, figure: fn(&Large) -> f64) -> Vec<Case> {
    let rows = run.of(Bench::Large).filter(|row| row.subject == OURS);
    let cases = rows.filter_map(|row| {
        let figure = Ok(figure(row.large.as_ref()?));
        Some(Case { name: row.shape.clone(), figure })
    });
    or_missing(cases.collect(), || format!("no `{OURS}` in large"))
}

/// How many gets a second ours serves, over the best that barges.
pub(crate) fn scarce_throughput(run: &Run) -> Vec<Case> {
    scarce(run, |shape| {
        let best = best(shape, &BARGING, |scarce| scarce.ops_per_s, f64::max)?;
        Ok(shape.by(OURS)?.ops_per_s / best)
    })
}

/// How long the unluckiest of 10,000 gets of ours waits, over the best that is fair.
pub(crate) fn scarce_tail(run: &Run) -> Vec<Case> {
    scarce(run, |shape| Ok(tail(shape.by(OURS)?) / best(shape, &FAIR, tail, f64::min)?))
}

/// How often one waiter of ours was overtaken.
pub(crate) fn overtakes(run: &Run) -> Vec<Case> {
    scarce(run, |shape| {
        let overtakes = shape.by(OURS)?.largest_bypass.map(|overtakes| overtakes as f64);
        overtakes.ok_or_else(|| Missing(format!("no count of overtakes in scarce, {}", shape.name())))
    })
}

/// The slowest size over the fastest, for each way to call ours.
pub(crate) fn sizes(run: &Run) -> Vec<Case> {
    let subjects = distinct(run.of(Bench::Bytes).map(|row| &*row.subject).filter(|name| is_ours(name)));
    let case = |subject: &str| {
        let rows = run.of(Bench::Bytes).filter(|row| row.subject == subject);
        let costs: Vec<f64> = rows.filter_map(|row| row.median_ns).collect();
        let slowest = costs.iter().copied().fold(0.0, f64::max);
        let fastest = costs.iter().copied().fold(f64::MAX, f64::min);
        let missing = || Missing(format!("fewer than two sizes of `{subject}` in bytes"));
        let figure = (costs.len() > 1).then(|| slowest / fastest).ok_or_else(missing);
        Case { name: subject.to_owned(), figure }
    };
    or_missing(subjects.into_iter().map(case).collect(), || format!("no `{OURS}` in bytes"))
}

/// The slowest over the smallest, for each line of `scale` through numbers of `of`.
pub(crate) fn flatness(run: &Run, of: &str) -> Vec<Case> {
    let lines = scale::lines(run, Some(of));
    let case = |line: &scale::Line| Case {
        name: if lines.len() == 1 { String::new() } else { line.name.clone() },
        figure: match line.points[..] {
            [(_, smallest), .., _] => Ok(line.points.iter().map(|(_, ns)| ns / smallest).fold(0.0, f64::max)),
            _ => Err(Missing(format!("fewer than two numbers of {}", line.name))),
        },
    };
    or_missing(lines.iter().map(case).collect(), || format!("no {of} in scale"))
}

/// A figure of each row of ours in a bench that nobody else is in.
pub(crate) fn ours(run: &Run, bench: Bench, figure: fn(&Row) -> Option<f64>) -> Vec<Case> {
    let rows: Vec<&Row> = run.of(bench).filter(|row| row.subject == OURS).collect();
    let case = |row: &&Row| Case {
        name: if rows.len() == 1 { String::new() } else { row.shape.clone() },
        figure: figure(row).ok_or_else(|| Missing(format!("no figure of `{OURS}` in {}", Place::of(row)))),
    };
    or_missing(rows.iter().map(case).collect(), || format!("no `{OURS}` in {bench}"))
}

/// The cost of one subject over that of another in one place.
fn over(run: &Run, place: Place<'_>, subject: &str, other: &str) -> Result<f64, Missing> {
    ratio(run.ns(place, subject), run.ns(place, other))
}

fn ratio(these: Result<f64, Missing>, those: Result<f64, Missing>) -> Result<f64, Missing> {
    Ok(these? / those?)
}

/// A case for each shape of `contended`, with two threads.
fn of_two_threads(run: &Run, figure: impl Fn(Place<'_>) -> Result<f64, Missing>) -> Vec<Case> {
    let places = run.places(Bench::Contended).into_iter().filter(|place| place.threads == 2);
    let cases = places.map(|place| Case { name: place.shape.to_owned(), figure: figure(place) }).collect();
    or_missing(cases, || "no rows of contended with 2 threads".to_owned())
}

/// A case for each of the shapes that `scarce` is about.
fn scarce(run: &Run, figure: impl Fn(&Shape<'_>) -> Result<f64, Missing>) -> Vec<Case> {
    if run.of(Bench::Scarce).next().is_none() {
        return Case::only(Err(Missing("no rows of scarce".to_owned())));
    }
    let shapes = SCARCE.into_iter().flat_map(|shape| [(shape, false), (shape, true)]);
    let case = |((threads, objects), work)| {
        let shape = Shape::of(run, threads, objects, work);
        Case { name: shape.name(), figure: figure(&shape) }
    };
    shapes.map(case).collect()
}

/// The best of the figures of `peers`, all of which have to be there.
fn best(
    shape: &Shape<'_>,
    peers: &[&str],
    figure: fn(&Scarce) -> f64,
    better: fn(f64, f64) -> f64,
) -> Result<f64, Missing> {
    let figures = peers.iter().map(|peer| shape.by(peer).map(figure)).collect::<Result<Vec<_>, _>>()?;
    Ok(figures.into_iter().reduce(better).expect("each kind has a peer"))
}

fn tail(scarce: &Scarce) -> f64 {
    scarce.wait_ns.p99_99 as f64
}

fn or_missing(cases: Vec<Case>, missing: impl FnOnce() -> String) -> Vec<Case> {
    if cases.is_empty() { Case::only(Err(Missing(missing()))) } else { cases }
}
