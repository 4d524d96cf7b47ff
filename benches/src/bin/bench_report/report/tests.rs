//! The report from end to end, of small runs written by hand: `testdata/run.json` has a row for each
//! bench, and one shape of `scarce` of four; `testdata/missing.json` has next to nothing.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use super::verdict::Outcome;
use super::*;

const RUN: &str = include_str!("../testdata/run.json");
const MISSING: &str = include_str!("../testdata/missing.json");

fn verdicts(json: &str) -> Vec<Verdict> {
    let run = Run::parse(json).unwrap();
    targets().iter().map(|target| target.judge(&run)).collect()
}

fn the<'a>(verdicts: &'a [Verdict], what: &str, unit: &str) -> &'a Verdict {
    let found: Vec<_> =
        verdicts.iter().filter(|verdict| verdict.what == what && verdict.target.contains(unit)).collect();
    let [verdict] = found[..] else { panic!("{} of {what}", found.len()) };
    verdict
}

#[track_caller]
fn assert_says(verdict: &Verdict, outcome: Outcome, figure: Option<&str>, words: &str) {
    assert_eq!((verdict.outcome, verdict.figure.as_deref(), &*verdict.words), (outcome, figure, words));
}

#[test]
fn each_target_is_held_against_its_rows() {
    let verdicts = verdicts(RUN);
    let met = |what, unit, figure| assert_says(the(&verdicts, what, unit), Outcome::Met, Some(figure), "met");
    met("pair by handle, one thread", "mimalloc", "0.6");
    met("pair by handle, one thread", "bare array", "2");
    met("pair by handle", "instructions", "38");
    met("pair through the thread-local, one thread", "mimalloc", "0.8");
    met("remote: one gets, another puts", "", "0.8, 64 B, 2 threads");
    met("burst: 64 gets, 64 puts", "", "0.8, 64 at once, 1 thread");
    met("64 B to 256 KiB: slowest size", "", "1.1, ours");
    met("1 to 1,000,000 pages: slowest", "", "1.25");
    met("1 to 1,000 pools: slowest", "", "1");
    met("memory, out of band", "", "4.5");
    met("a pool of a million items is made in", "", "0.25");

    met("a large span of a full arena: served", "", "100, 4 at 4, 100 %");
    met("a large span of a full arena: overtaken", "", "64, 4 at 4, 100 %");

    let missed =
        |what, figure, words| assert_says(the(&verdicts, what, ""), Outcome::Missed, Some(figure), words);
    missed("pair, two threads on one pool", "1.25, 64 B", "missed by 4 %");
    missed("throughput, two threads on one pool", "3, 64 B", "missed by 25 %");
    missed("1 to 10,000 waiters: slowest", "2", "missed by 33 %");
    missed("spans: 1,000,000 out", "2, 1 to 16, 80 %", "missed by 33 %");
    let slowest = "1.2, 1 to 16, 80 %, 1000000 live, 1 thread";
    missed("spans of mixed shapes", slowest, "missed in 1 of 4, by up to 20 %");
    let written = "9, 16 KiB, a byte written";
    missed("16 KiB of memory: throughput", written, "missed in 1 of 2, by up to 10 %");
    missed("a page is moved", "3.25, 4 KiB, protected", "missed in 1 of 2, by up to 8 %");
}

#[test]
fn shapes_that_were_not_measured_are_not_met() {
    let verdicts = verdicts(RUN);
    let missing = "not measured: no `ours` in scarce, 4 threads, 2 objects, and 5 more";
    let bypass = the(&verdicts, "scarce: largest bypass seen", "");
    let words = format!("missed in 1 of 8, by up to 25 %; {missing}");
    assert_says(bypass, Outcome::Missed, Some("640, 8 threads, 2 objects, with work"), &words);
    for (what, figure) in [("scarce: throughput", "1.2"), ("scarce: p99.99 wait", "1.5")] {
        let verdict = the(&verdicts, what, "");
        assert_eq!(verdict.outcome, Outcome::NotMeasured);
        assert_eq!(verdict.figure.as_deref(), Some(&*format!("{figure}, 8 threads, 2 objects")));
        assert!(verdict.words.starts_with("met in 2 of 8; not measured: no `"), "{}", verdict.words);
    }
}

#[test]
fn what_is_missing_is_said() {
    let verdicts = verdicts(MISSING);
    let none = |what, unit, words| {
        assert_says(
            the(&verdicts, what, unit),
            Outcome::NotMeasured,
            None,
            &format!("not measured: {words}"),
        );
    };
    none("pair by handle, one thread", "mimalloc", "no `ours, by handle` in uncontended, 64 B, 1 thread");
    none("pair by handle", "instructions", "no count of `ours, by handle` under callgrind");
    none("pair, two threads on one pool", "", "no `ours` in contended, 64 B, 1 thread");
    none("remote: one gets, another puts", "", "no rows of remote");
    none("scarce: throughput", "", "no rows of scarce");
    none("64 B to 256 KiB: slowest size", "", "no `ours` in bytes");
    none("1 to 1,000,000 pages: slowest", "", "fewer than two numbers of pages");
    none("1 to 10,000 waiters: slowest", "", "no waiters in scale");
    none("memory, out of band", "", "no `ours` in memory");
    none("spans: 1,000,000 out", "", "no rows of spans");
    none("16 KiB of memory: throughput", "", "no rows of committed");
    none("a large span of a full arena: served", "", "no `ours` in large");
    none("a page is moved", "", "no rows of moving");
    assert_eq!(the(&verdicts, "pair through the thread-local, one thread", "").outcome, Outcome::Met);
}

/// Writes the document of a run into a new folder and hands both to `look`.
fn written(json: &str, look: impl FnOnce(&str, &Path)) {
    let docs = tempdir().unwrap();
    let run = Run::parse(json).unwrap();
    let verdicts: Vec<_> = targets().iter().map(|target| target.judge(&run)).collect();
    write(docs.path(), &run, &verdicts).unwrap();
    look(&fs::read_to_string(docs.path().join(DOCUMENT)).unwrap(), &docs.path().join(PLOTS));
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn the_document_shows_each_plot_and_no_other() {
    written(RUN, |document, plots| {
        let files = files(plots);
        assert_eq!(
            files,
            [
                "burst.svg",
                "bytes.svg",
                "churn.svg",
                "committed-16-kib-a-byte-written.svg",
                "committed-16-kib-untouched.svg",
                "contended.svg",
                "moving-4-kib-protected.svg",
                "moving-4-kib.svg",
                "remote.svg",
                "scale.svg",
                "scarce-8x2-work.svg",
                "scarce-8x2.svg",
                "spans-1-to-16.svg",
                "uncontended.svg"
            ]
        );
        assert_eq!(document.matches("![").count(), files.len());
        for file in files {
            assert!(document.contains(&format!("]({PLOTS}/{file})")), "{file}");
        }
    });
}

#[test]
fn the_document_has_the_figures_of_the_run() {
    written(RUN, |document, _| {
        for part in [
            "cargo xtask bench --quick",
            "| commit | `abc1234` |",
            "| mimalloc | 5.00 (1.25 x) |",
            "| ours | 6.00 | 300 ns | 9.00 us | 1.50 ms | 6.00 ms | 0.80 | 32 |",
            "| ours | 1,000,000 items | 4.50 |",
            "### 1 to 16, 80 %\n\n|  | 1k live | 100k live | 1M live |\n",
            "| ours | 60.0 (1.00 x) | 70.0 (1.00 x) | 120 (1.00 x), 1 % failed |",
            "| rlsf, no lock | 10.0 (0.20 x) |",
            "| ours | 40 of 40 | 90.0 us | 180 us | 400 us | 256 | 8.00 |",
            "| range-alloc | 1 of 4 | > 240 ms | > 240 ms | > 240 ms | 1,000,000 | 20.0 |",
            "| copy alone | 300 (0.10 x) | - |",
            "| ours, by handle | 38.0 |",
            "`membarrier(2)` was there",
            "**missed by 25 %**",
        ] {
            assert!(document.contains(part), "{part}\n{document}");
        }
    });
}

#[test]
fn a_document_of_little_says_so() {
    written(MISSING, |document, plots| {
        assert_eq!(files(plots), ["contended.svg", "uncontended.svg"].map(String::from)[1..]);
        assert!(document.contains("Not measured in this run."));
        assert!(document.contains("Not counted in this run"));
        assert!(!document.contains("NaN") && !document.contains("inf"));
    });
}

#[test]
fn plots_can_be_read_in_the_dark_and_by_machines() {
    written(RUN, |_, plots| {
        for file in files(plots) {
            let svg = fs::read_to_string(plots.join(&file)).unwrap();
            assert!(svg.starts_with("<svg viewBox=\"0 0 560 "), "{file}");
            assert!(svg.contains("prefers-color-scheme: dark") && svg.contains("aria-label"), "{file}");
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{file}");
            // Else the style sheet does not know it.
            assert!(!svg.contains("\"black\"") && !svg.contains("\"white\""), "{file}");
        }
    });
}

#[test]
fn plots_of_an_earlier_run_go() {
    let docs = tempdir().unwrap();
    let run = Run::parse(RUN).unwrap();
    let folder = docs.path().join(PLOTS);
    fs::create_dir(&folder).unwrap();
    for name in ["scarce-1x1.svg", "notes.txt"] {
        fs::write(folder.join(name), "").unwrap();
    }
    write(docs.path(), &run, &[]).unwrap();
    assert!(!folder.join("scarce-1x1.svg").exists());
    assert!(folder.join("notes.txt").exists());
}

#[track_caller]
fn assert_refused(json: &str, because: &str) {
    let error = format!("{:#}", Run::parse(json).unwrap_err());
    assert!(error.contains(because), "{error}");
}

#[test]
fn what_is_no_run_is_refused() {
    assert_refused("", "EOF");
    assert_refused("[]", "invalid type");
    assert_refused(&RUN.replace("\"rounds\"", "\"round\""), "missing field `rounds`");
    assert_refused(
        &RUN.replace("\"bench\": \"remote\"", "\"bench\": \"remove\""),
        "unknown variant `remove`",
    );
    assert_refused(&RUN.replace("\"median_ns\": 1.5", "\"median_ns\": 0"), "median_ns is not above 0");
    assert_refused(&RUN.replace("\"objects\": 2, ", ""), "waits belong to scarce");
    assert_refused(&RUN.replace("\"asked\": 4,", "\"asked\": 0,"), "no large span was asked for");
    assert_refused(&RUN.replace("\"failed\": 0.013", "\"failed\": 1.3"), "failed is no share");
    let misplaced = RUN.replace("\"bench\": \"large\"", "\"bench\": \"burst\"");
    assert_refused(&misplaced, "large spans belong to large");
    let twice = RUN.replace("\"subject\": \"bare thread-local array\"", "\"subject\": \"ours\"");
    assert_refused(&twice, "`ours` is there twice in uncontended, 64 B, 1 thread");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempdir().unwrap();
    let error = Run::read(&folder.path().join("bench.json")).unwrap_err();
    assert!(format!("{error:#}").contains("bench.json"), "{error:#}");

    let docs = folder.path().join("docs");
    fs::write(&docs, "a file").unwrap();
    let error = write(&docs, &Run::parse(RUN).unwrap(), &[]).unwrap_err();
    assert!(
        format!("{error:#}").starts_with("cannot make ") && format!("{error:#}").contains("docs"),
        "{error:#}"
    );
}
