//! The tables: the targets, a bench, the scales, the waits of one scarce shape or for one large span, the
//! memory, the counts.

use benches::case::Bench;
use benches::results::{Large, Row, Scarce};

use super::grid::Grid;
use super::number::{duration, figure, percent, plain, short};
use super::run::{Place, Run, distinct, threads_of};
use super::scale;
use super::verdict::{Outcome, Verdict};

/// What a cell says where there is nothing to say.
const NONE: &str = "-";

/// The targets beside the figures. What was missed is emphasised.
pub(crate) fn targets(verdicts: &[Verdict], emphasised: fn(&str) -> String) -> Grid {
    let mut grid = Grid::new(["what", "target", "figure", ""]);
    for verdict in verdicts {
        let words = match verdict.outcome {
            Outcome::Missed => emphasised(&verdict.words),
            Outcome::Met | Outcome::NotMeasured => verdict.words.clone(),
        };
        let figure = verdict.figure.clone().unwrap_or_else(|| NONE.to_owned());
        grid.row(vec![verdict.what.to_owned(), verdict.target.clone(), figure, words]);
    }
    grid
}

/// A row a subject, a column a place: nanoseconds, and how many times ours that is. The fastest of
/// the last column come first; those who are not in it come last.
pub(crate) fn bench(run: &Run, bench: Bench) -> Grid {
    let places = run.places(bench);
    let names = place_names(&places);
    in_places(run, &places, names)
}

/// As [`bench()`], of some places.
pub(crate) fn in_places(run: &Run, places: &[Place<'_>], names: Vec<String>) -> Grid {
    let rows = run.results.rows.iter().filter(|row| places.contains(&Place::of(row)));
    let mut subjects = distinct(rows.map(|row| &*row.subject));
    if let Some(&last) = places.last() {
        let cost = |subject: &&str| run.ns(last, subject).unwrap_or(f64::INFINITY);
        subjects.sort_by(|one, other| cost(one).total_cmp(&cost(other)));
    }
    let alone = subjects.len() == 1;
    let mut grid = Grid::new([String::new()].into_iter().chain(names));
    for subject in subjects {
        let cell = |place: &Place<'_>| {
            let row = run.at(*place).find(|row| row.subject == subject);
            row.and_then(|row| cost(row, alone)).unwrap_or_else(|| NONE.to_owned())
        };
        grid.row([subject.to_owned()].into_iter().chain(places.iter().map(cell)).collect());
    }
    grid
}

/// A ratio says nothing of who is alone.
fn cost(row: &Row, alone: bool) -> Option<String> {
    let ns = row.median_ns?;
    let cost = match row.ratio_to_ours {
        Some(ratio) if !alone => times(ns, ratio),
        _ => figure(ns),
    };
    Some(match row.failed {
        Some(share) if share > 0.0 => format!("{cost}, {} failed", percent(share)),
        _ => cost,
    })
}

fn times(ns: f64, ratio: f64) -> String {
    format!("{} ({} x)", figure(ns), figure(ratio))
}

/// A row for each something, a column for each number of it: nanoseconds, and how many times those of
/// the smallest number that is.
pub(crate) fn scales(run: &Run) -> Grid {
    let lines = scale::lines(run, None);
    let mut numbers = distinct(lines.iter().flat_map(|line| &line.points).map(|(number, _)| *number));
    numbers.sort_unstable();
    let mut grid =
        Grid::new([String::new()].into_iter().chain(numbers.iter().map(|number| short(f64::from(*number)))));
    for line in &lines {
        let cell = |number: &u32| {
            let ns = line.points.iter().find(|point| point.0 == *number).map(|point| point.1);
            ns.map_or_else(|| NONE.to_owned(), |ns| times(ns, ns / line.points[0].1))
        };
        grid.row([line.name.clone()].into_iter().chain(numbers.iter().map(cell)).collect());
    }
    grid
}

/// What tells the places of one bench from each other: shapes, numbers of threads, or both.
pub(crate) fn place_names(places: &[Place<'_>]) -> Vec<String> {
    let one_shape = places.iter().all(|place| place.shape == places[0].shape);
    let one_number = places.iter().all(|place| place.threads == places[0].threads);
    let name = |place: &Place<'_>| match (one_shape, one_number) {
        (_, true) => place.shape.to_owned(),
        (true, false) => threads_of(place.threads),
        (false, false) => format!("{}, {}", place.shape, threads_of(place.threads)),
    };
    places.iter().map(name).collect()
}

/// One shape of `scarce`: who serves most, who makes wait longest. The most gets come first.
pub(crate) fn waits(subjects: &[(&str, &Scarce)]) -> Grid {
    let mut subjects = subjects.to_vec();
    subjects.sort_by(|(_, one), (_, other)| other.ops_per_s.total_cmp(&one.ops_per_s));
    let mut grid =
        Grid::new(["", "million gets/s", "p50", "p99", "p99.99", "longest", "fairness", "overtakes"]);
    for (subject, Scarce { ops_per_s, wait_ns, fairness, largest_bypass, .. }) in subjects {
        let waits = [wait_ns.p50, wait_ns.p99, wait_ns.p99_99, wait_ns.max].map(|ns| duration(ns as f64));
        let mut cells = vec![subject.to_owned(), figure(ops_per_s / 1e6)];
        cells.extend(waits);
        cells.push(fairness.map_or_else(|| NONE.to_owned(), figure));
        cells.push(largest_bypass.map_or_else(|| NONE.to_owned(), |overtakes| plain(overtakes as f64)));
        grid.row(cells);
    }
    grid
}

/// One shape of `large`: who serves it, how late, and what it costs the others. Those who serve most come
/// first, and of these the fastest. A time with `>` is that of one that was given up.
pub(crate) fn large(run: &Run, place: Place<'_>) -> Grid {
    let mut rows: Vec<(&Row, &Large)> =
        run.at(place).filter_map(|row| Some((row, row.large.as_ref()?))).collect();
    let share = |large: &Large| large.served as f64 / large.asked as f64;
    rows.sort_by(|(_, one), (_, other)| {
        share(other).total_cmp(&share(one)).then(one.wait_ns.p50.cmp(&other.wait_ns.p50))
    });
    let mut grid = Grid::new(["", "served", "p50", "p99", "longest", "overtaken", "million singles/s"]);
    for (row, large) in rows {
        let mut cells = vec![row.subject.clone(), format!("{} of {}", large.served, large.asked)];
        let waits = [(0.5, large.wait_ns.p50), (0.99, large.wait_ns.p99), (1.0, large.wait_ns.max)];
        cells.extend(waits.map(|(quantile, ns)| {
            let given_up = large.served < large.asked && quantile > share(large);
            format!("{}{}", if given_up { "> " } else { "" }, duration(ns as f64))
        }));
        cells.push(plain(large.most_overtaken as f64));
        cells.push(figure(large.singles_per_s / 1e6));
        grid.row(cells);
    }
    grid
}

/// Memory beside the items.
pub(crate) fn memory(run: &Run) -> Grid {
    let mut grid = Grid::new(["", "shape", "bytes an item"]);
    for row in run.of(Bench::Memory) {
        let bytes = row.bytes_per_item.map_or_else(|| NONE.to_owned(), figure);
        grid.row(vec![row.subject.clone(), row.shape.clone(), bytes]);
    }
    grid
}

/// Instructions of a pair.
pub(crate) fn instructions(run: &Run) -> Grid {
    let mut grid = Grid::new(["", "instructions a pair"]);
    for count in &run.instructions {
        grid.row(vec![count.subject.clone(), figure(count.pair)]);
    }
    grid
}
