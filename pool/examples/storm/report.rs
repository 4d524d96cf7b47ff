//! What a protocol did: a row of a table for people, an object of JSON for
//! programs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::ColumnConstraint::{ContentWidth, LowerBoundary};
use comfy_table::Width::Fixed;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::samples::{Sample, Stuck};

/// Columns of the table when it is not on a terminal, which has a width itself.
const WIDTH: u16 = 100;

// The columns that may wrap, numbered from 0: prose, a long header over short
// numbers, and, on a narrow terminal, what has slashes to be broken at. Any other
// number broken in two would be read as two.
const STUCK_IN: usize = 4;
const BELOW_LOW_WATER: usize = 6;
const WAIT: usize = 7;

/// One protocol's run. The fields are the JSON's, in its order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) protocol: String,
    /// Launches that were to be done.
    pub(crate) asked: u64,
    /// Launches that were done, whatever the program's exit status.
    pub(crate) done: u64,
    /// Launchers that were, at some time, asleep for two seconds beside items.
    pub(crate) stuck: u64,
    /// Pages that were given back for a getter and went to somebody else.
    pub(crate) stolen: u64,
    /// Pages that the pool was short of its low water mark at the end.
    pub(crate) below_low_water: u64,
    /// Launches a second.
    pub(crate) launches_per_s: f64,
    /// How long launchers waited for an item.
    pub(crate) wait_us: WaitUs,
    /// Launches whose program exited non-zero.
    pub(crate) failed: u64,
    /// For each stuck launcher, the state it was in.
    pub(crate) stuck_in: Vec<String>,
    /// For each stuck launcher, since when it slept and what was put meanwhile.
    pub(crate) stuck_at: Vec<Stuck>,
    /// How long the run took, in seconds. Where launchers were stuck, it was ended.
    pub(crate) elapsed_s: f64,
    /// How many launchers there were.
    pub(crate) launchers: u64,
    /// How long the waits were, from the shortest to the longest.
    pub(crate) wait_quantiles: Vec<Quantile>,
    /// What the pool held.
    pub(crate) memory: Memory,
    /// An item, in bytes.
    pub(crate) item_bytes: u64,
    /// The arena's unit, in bytes.
    pub(crate) quantum_bytes: u64,
    /// The arena's size in quanta.
    pub(crate) arena_quanta: u64,
    /// What was seen while it ran, at equal distances in time.
    pub(crate) samples: Vec<Sample>,
}

/// A wait that no more than so many of all were longer than.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantile {
    /// How many of all waits were no longer: from 0 to 1.
    pub(crate) share: f64,
    /// Microseconds.
    pub(crate) us: u64,
}

/// The shares that are told.
pub(crate) const SHARES: [f64; 6] = [0.5, 0.75, 0.9, 0.99, 0.999, 1.0];

impl Quantile {
    /// Of a histogram of microseconds.
    pub(crate) fn all_of(histogram: &Histogram<u64>) -> Vec<Self> {
        SHARES.iter().map(|&share| Self { share, us: histogram.value_at_quantile(share) }).collect()
    }
}

/// Memory that the pool held, in bytes: the means are over the time of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// The most at any moment.
    pub(crate) most_bytes: u64,
    pub(crate) mean_bytes: u64,
    /// Of that, what nobody used: items that sat idle.
    pub(crate) mean_unused_bytes: u64,
}

impl Memory {
    /// By what was seen, of a pool of items of so many bytes.
    pub(crate) fn of(samples: &[Sample], item_bytes: u64) -> Self {
        let mean = |of: &dyn Fn(&Sample) -> u64| {
            let sum: u128 = samples.iter().map(|sample| u128::from(of(sample))).sum();
            sum.checked_div(samples.len() as u128).map_or(0, |mean| mean as u64)
        };
        Self {
            most_bytes: samples.iter().map(|sample| sample.held_bytes).max().unwrap_or(0),
            mean_bytes: mean(&|sample| sample.held_bytes),
            mean_unused_bytes: mean(&|sample| sample.idle * item_bytes),
        }
    }
}

impl Row {
    /// Whether launches were left undone by a protocol that leaves none.
    pub(crate) fn fell_short(&self) -> bool {
        let is_known_to = ["sleep", "release"].contains(&self.protocol.as_str());
        !is_known_to && (self.done < self.asked || self.stuck > 0)
    }
}

/// Waits, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct WaitUs {
    /// Half of the waits were no longer.
    pub(crate) p50: u64,
    /// All but one in a hundred were no longer.
    pub(crate) p99: u64,
    /// None was longer.
    pub(crate) max: u64,
}

impl WaitUs {
    /// Summarises a histogram of microseconds. No waits at all are zeroes.
    pub(crate) fn from_histogram(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.50),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }
}

/// Launches a second; 0 for a run that took no time, since JSON has no infinity.
pub(crate) fn rate(done: u64, elapsed: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody launches 2^53 programs, nor waits for a table of them"
    )]
    let done = done as f64;
    if elapsed.is_zero() { 0.0 } else { done / elapsed.as_secs_f64() }
}

/// The table, a row a protocol, without colours.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "protocol",
            "done/asked",
            "launches/s",
            "stuck",
            "stuck in",
            "stolen",
            "below low water",
            "wait p50/p99/max",
        ]);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    for row in rows {
        let WaitUs { p50, p99, max } = row.wait_us;
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(&row.protocol),
            right(format!("{}/{}", row.done, row.asked)),
            right(format!("{:.0}", row.launches_per_s)),
            right(row.stuck.to_string()),
            Cell::new(tally(&row.stuck_in)),
            right(row.stolen.to_string()),
            right(row.below_low_water.to_string()),
            Cell::new(format!("{}/{}/{}", human(p50), human(p99), human(max))),
        ]);
    }
    let narrow = table.width().is_some_and(|width| width < WIDTH);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_constraint(match at {
            STUCK_IN => LowerBoundary(Fixed(6)),
            BELOW_LOW_WATER => LowerBoundary(Fixed(5)),
            WAIT if narrow => LowerBoundary(Fixed(8)),
            _ => ContentWidth,
        });
        if narrow {
            column.set_padding((0, 1));
        }
        if at == WAIT {
            column.set_delimiter('/');
        }
    }
    table.trim_fmt()
}

/// Microseconds in a unit that leaves two or three digits to read.
pub(crate) fn human(us: u64) -> String {
    // Rounded down, so that 999,999 µs is not 1000 ms.
    let tenths = |unit: u64| format!("{}.{}", us / unit, us % unit / (unit / 10));
    match us {
        0..1_000 => format!("{us}µs"),
        1_000..10_000 => format!("{}ms", tenths(1_000)),
        10_000..1_000_000 => format!("{}ms", us / 1_000),
        1_000_000..10_000_000 => format!("{}s", tenths(1_000_000)),
        _ => format!("{}s", us / 1_000_000),
    }
}

/// `3 × asked, 1 × woken`: each state once, with how many were in it.
pub(crate) fn tally(states: &[String]) -> String {
    let mut counts = BTreeMap::<&str, u64>::new();
    for state in states {
        *counts.entry(state).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(state, count)| format!("{count} × {state}")).collect();
    if counts.is_empty() { "-".to_owned() } else { counts.join(", ") }
}

/// The rows as a JSON array.
///
/// # Errors
///
/// A figure is none that JSON has.
pub(crate) fn json(rows: &[Row]) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(rows).context("cannot make JSON of the results")?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(protocol: &str, stuck_in: &[&str]) -> Row {
        Row {
            protocol: protocol.to_owned(),
            asked: 20_000,
            done: 20_000,
            stuck: stuck_in.len() as u64,
            stolen: 17,
            below_low_water: 3,
            launches_per_s: 1234.5,
            wait_us: WaitUs { p50: 12, p99: 3_400, max: 1_200_000 },
            failed: 0,
            stuck_in: stuck_in.iter().map(|&state| state.to_owned()).collect(),
            stuck_at: Vec::new(),
            elapsed_s: 1.0,
            launchers: 8,
            wait_quantiles: SHARES.map(|share| Quantile { share, us: 12 }).to_vec(),
            memory: Memory::default(),
            item_bytes: 1 << 18,
            quantum_bytes: 4096,
            arena_quanta: 512,
            samples: Vec::new(),
        }
    }

    #[test]
    fn memory_is_over_time() {
        let sample = |held_bytes, idle| Sample { idle, held_bytes, ..Sample::default() };
        let memory = Memory::of(&[sample(40, 0), sample(20, 2), sample(30, 1)], 10);
        assert_eq!(memory, Memory { most_bytes: 40, mean_bytes: 30, mean_unused_bytes: 10 });
        assert_eq!(Memory::of(&[], 10), Memory::default());
    }

    #[test]
    fn json_has_its_fields_in_order() {
        let json = serde_json::to_string(&row("claim", &[])).unwrap();
        let expected = "{\"protocol\":\"claim\",\"asked\":20000,\"done\":20000,\"stuck\":0,\
            \"stolen\":17,\"below_low_water\":3,\"launches_per_s\":1234.5,\
            \"wait_us\":{\"p50\":12,\"p99\":3400,\"max\":1200000},";
        assert!(json.starts_with(expected), "{json}");
    }

    #[test]
    fn the_table_is_readable_at_100_columns() {
        let states = ["sleeps in the arena"; 7];
        let text = table(&[row("sleep", &states), row("choose", &[])]);
        if !Table::new().is_tty() {
            for line in text.lines() {
                assert!(line.chars().count() <= usize::from(WIDTH), "{line}");
            }
        }
        assert!(text.contains("20000/20000"), "{text}");
        assert!(text.contains("12µs/3.4ms/1.2s"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        println!("{text}");
    }

    #[test]
    fn human_units_change_where_they_should() {
        assert_eq!(human(0), "0µs");
        assert_eq!(human(999), "999µs");
        assert_eq!(human(1_000), "1.0ms");
        assert_eq!(human(9_999), "9.9ms");
        assert_eq!(human(10_000), "10ms");
        assert_eq!(human(999_999), "999ms");
        assert_eq!(human(1_200_000), "1.2s");
        assert_eq!(human(61_000_000), "61s");
    }

    #[test]
    fn states_are_counted() {
        let states = ["woken", "asked", "asked"].map(str::to_owned);
        assert_eq!(tally(&states), "2 × asked, 1 × woken");
        assert_eq!(tally(&[]), "-");
    }

    #[test]
    fn an_empty_histogram_is_zeroes() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        assert_eq!(WaitUs::from_histogram(&histogram), WaitUs::default());
        for wait in 1..=100 {
            histogram.record(wait).unwrap();
        }
        let waits = WaitUs::from_histogram(&histogram);
        assert_eq!((waits.p50, waits.p99, waits.max), (50, 99, 100));
    }

    #[test]
    fn no_time_is_no_rate() {
        assert!(rate(5, Duration::ZERO) < f64::EPSILON);
        assert!((rate(5, Duration::from_secs(2)) - 2.5).abs() < f64::EPSILON);
    }
}
