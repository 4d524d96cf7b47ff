//! What a protocol did: a row of a table for people, an object of JSON for
//! programs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::ColumnConstraint::{ContentWidth, LowerBoundary};
use comfy_table::Width::Fixed;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

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
}

impl Row {
    /// Whether launches were left undone by a protocol that leaves none.
    pub(crate) fn fell_short(&self) -> bool {
        let completes = ["claim", "choose"].contains(&self.protocol.as_str());
        completes && (self.done < self.asked || self.stuck > 0)
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
fn human(us: u64) -> String {
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
fn tally(states: &[String]) -> String {
    let mut counts = BTreeMap::<&str, u64>::new();
    for state in states {
        *counts.entry(state).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(state, count)| format!("{count} × {state}")).collect();
    if counts.is_empty() { "-".to_owned() } else { counts.join(", ") }
}

/// Writes the rows as a JSON array, all of it or nothing: an older file of that
/// name stays as it was until the new one is complete.
///
/// # Errors
///
/// It could not be written: the error says where and why.
pub(crate) fn write_json(path: &Path, rows: &[Row]) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(rows).context("cannot make JSON of the results")?;
    json.push(b'\n');
    write_whole(path, &json).with_context(|| format!("cannot write the results to {}", path.display()))
}

/// Writes a file beside `path` and moves it there when it is on the disk.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = match fs::metadata(path) {
        // /dev/stdout, a FIFO: nothing that one may move a file onto.
        Ok(there) if !there.is_file() => return fs::write(path, bytes),
        // A link's target is to be replaced, not the link.
        Ok(_) => fs::canonicalize(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    let beside = beside(&path)?;
    File::create_new(&beside).and_then(|mut file| {
        let complete = file
            .write_all(bytes)
            // Some file systems find out only now that the disk is full.
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&beside, &path));
        if complete.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&beside);
        }
        complete
    })
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(protocol: &str, stuck_in: &[&str]) -> Row {
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
        }
    }

    /// An empty directory that is removed in the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("storm-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
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

    #[test]
    fn json_replaces_the_file_behind_a_link_and_leaves_nothing_beside() {
        let scratch = Scratch::new("json");
        let real = scratch.0.join("real.json");
        let link = scratch.0.join("link.json");
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real.json", &link).unwrap();
        write_json(&link, &[row("choose", &[])]).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let rows: serde_json::Value = serde_json::from_slice(&fs::read(&real).unwrap()).unwrap();
        assert_eq!(rows[0]["protocol"], "choose");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2);
    }

    #[test]
    fn where_json_cannot_be_written_is_named() {
        let error = write_json(Path::new("/no/such/directory/f.json"), &[]).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("/no/such/directory/f.json"), "{text}");
        assert!(text.contains("No such file"), "{text}");
        assert!(write_json(Path::new("/"), &[]).is_err());
        assert!(write_json(Path::new("/dev/null"), &[]).is_ok());
        assert!(!Path::new("/dev/null").is_file());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let error = write_json(Path::new("/dev/full"), &[]).unwrap_err();
        assert!(format!("{error:#}").contains("No space left"), "{error:#}");
    }
}
