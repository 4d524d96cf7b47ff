//! Explores worlds and reports what was explored.
//!
//! Under loom each model prints a line of what it did, and appends it to the file that
//! `LOOM_REPORT` names, for `cargo xtask loom`. A known-bad twin must fail, and with
//! the words that are expected: a model that passes proves nothing until the bug it is
//! for makes it fail. `cargo xtask mutants` seeds such bugs into the code itself, and asks
//! for a model by its whole name, `LOOM_KNOWN_BAD`.
//!
//! Under shuttle the same, of worlds too large to explore: each model runs so many schedules
//! drawn at random, and says how many. How a schedule that failed is run again: `random`.

#[cfg(all(loom, not(shuttle)))]
mod exhaustive;
#[cfg(all(loom, shuttle))]
mod random;

use std::sync::atomic::Ordering::Relaxed;

use kva::sync::Arc;

use crate::record::Recorder;

/// Explores `world` exhaustively; under shuttle, in schedules drawn at random; with real threads, runs
/// it many times.
pub fn model(name: &str, world: impl Fn() + Send + Sync + 'static) {
    imp::model(name, None, world);
}

/// Counts executions, from outside of them, with an atomic that loom does not see: those in
/// which what a world is for did happen, or all.
#[derive(Debug, Default)]
#[allow(clippy::disallowed_types, reason = "loom must not see it")]
pub struct Witness(std::sync::atomic::AtomicUsize);

impl Witness {
    /// Notes whether it did.
    pub fn saw(&self, it: bool) {
        self.0.fetch_add(usize::from(it), Relaxed);
    }

    /// In how many it did.
    pub fn times(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// As [`model`], for a world that is for something: `what` must happen in some execution.
///
/// # Panics
/// If it does in none.
pub fn witnessed(name: &str, what: &str, world: impl Fn(&Witness) + Send + Sync + 'static) {
    let witness = Arc::new(Witness::default());
    let inside = witness.clone();
    if imp::model(name, None, move || world(&inside)) {
        let seen = witness.times();
        println!("{name}: {what} in {seen} executions");
        // Real threads may not come across it.
        assert!(cfg!(not(loom)) || seen > 0, "{name}: never {what}");
    }
}

/// As [`model`], with at most `preemptions` preemptions an execution. `why` says why not
/// exhaustively.
pub fn bounded(name: &str, preemptions: usize, why: &str, world: impl Fn() + Send + Sync + 'static) {
    imp::model(name, Some((preemptions, why)), world);
}

/// Explores a world that must fail, with a message that contains `expected`. Real threads
/// cannot be relied upon to find the execution, and would hang in it: without a model
/// checker this does nothing, and says so.
///
/// # Panics
/// If the world holds in all executions, or fails otherwise.
pub fn known_bad(name: &str, expected: &str, world: impl Fn() + Send + Sync + 'static) {
    imp::known_bad(name, expected, world);
}

/// As [`known_bad`], of a world that notes its steps. Those of the execution in which it fails are
/// what `loom-tests/recordings/FILE` has, which is `committed`; with `LOOM_RECORD` set to
/// anything they are written there.
///
/// # Panics
/// Also if they differ from what is committed, or cannot be written.
pub fn recorded(
    name: &str,
    expected: &str,
    file: &str,
    committed: &str,
    world: impl Fn(&Recorder) + Send + Sync + 'static,
) {
    imp::recorded(name, expected, file, committed, world);
}

#[cfg(loom)]
mod imp {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::Path;
    use std::process::Command;
    use std::time::Instant;

    use kva::sync::Arc;

    use super::Witness;
    #[cfg(not(shuttle))]
    use super::exhaustive::{check, confirmed, finds_all, kind};
    #[cfg(shuttle)]
    use super::random::{check, confirmed, finds_all, kind};
    use crate::record::{Recorder, Recording};

    /// Set to the name of a twin, or of a model, in the process that is to fail in it.
    const FAIL_IN: &str = "LOOM_KNOWN_BAD";

    /// Whether the model is among those that were asked for.
    fn is_wanted(name: &str) -> bool {
        std::env::var("LOOM_ONLY").map_or(true, |part| name.contains(&part))
    }

    fn report(name: &str, executions: usize, seconds: f64, kind: &str, verdict: &str) {
        let verdict: String = verdict.replace(['\n', '\t'], " ").chars().take(100).collect();
        println!("{name}: {executions} executions, {seconds:.2} s, {kind}, {verdict}");
        if let Some(path) = std::env::var_os("LOOM_REPORT") {
            let line = format!("{name}\t{executions}\t{seconds:.3}\t{kind}\t{verdict}\n");
            let file = OpenOptions::new().append(true).create(true).open(&path);
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// Whether it ran, and so must have come across whatever can happen.
    pub(super) fn model(
        name: &str,
        bound: Option<(usize, &str)>,
        world: impl Fn() + Send + Sync + 'static,
    ) -> bool {
        let count = Arc::new(Witness::default());
        match std::env::var_os(FAIL_IN) {
            Some(chosen) if *chosen == *name => exit_where_it_fails(name, &count, &Recorder::default()),
            Some(_) => return false,
            None if !is_wanted(name) => return false,
            None => {}
        }
        let start = Instant::now();
        check(&count, bound.map(|(n, _)| n), world);
        report(name, count.times(), start.elapsed().as_secs_f64(), &kind(bound), "holds");
        finds_all()
    }

    pub(super) fn known_bad(name: &str, expected: &str, world: impl Fn() + Send + Sync + 'static) {
        caught(name, expected, &Recorder::default(), world);
    }

    pub(super) fn recorded(
        name: &str,
        expected: &str,
        file: &str,
        committed: &str,
        world: impl Fn(&Recorder) + Send + Sync + 'static,
    ) {
        let recorder = Recorder::new();
        let inside = recorder.clone();
        let caught = caught(name, expected, &recorder, move || world(&inside));
        let Some(recording) = caught else { return };
        let found = recording.to_json();
        if std::env::var_os(RECORD).is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings").join(file);
            fs::write(&path, found).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            println!("{name}: recorded in {}", path.display());
            return;
        }
        assert!(
            found == committed,
            "{name}: loom found another execution than recordings/{file} has; if it is a good one, \
             `cargo xtask loom --record` writes it there. Found:\n{found}"
        );
    }

    /// Set to anything where what is recorded is to be written to its file.
    const RECORD: &str = "LOOM_RECORD";

    /// Explores in a process of its own, which ends where the world fails: a checker cannot unwind a
    /// deadlock through destructors that take a lock. What was noted in that execution.
    fn caught(
        name: &str,
        expected: &str,
        recorder: &Recorder,
        world: impl Fn() + Send + Sync + 'static,
    ) -> Option<Recording> {
        if let Some(chosen) = std::env::var_os(FAIL_IN) {
            if *chosen == *name {
                fail(name, recorder, world);
            }
            return None;
        }
        if !is_wanted(name) {
            return None;
        }
        let start = Instant::now();
        let recording = confirmed(name, |with| fails(name, expected, with));
        let (seconds, verdict) = (start.elapsed().as_secs_f64(), format!("caught: {}", recording.failed));
        report(name, recording.execution, seconds, &kind(None), &verdict);
        Some(recording)
    }

    /// What was noted where the world fails, in a process with these variables.
    fn fails(name: &str, expected: &str, with: &[(&str, &Path)]) -> Recording {
        let this = std::env::current_exe().expect("this test's own binary");
        let mut child = Command::new(this);
        child.args(["--nocapture", "--test-threads=1"]).env(FAIL_IN, name).envs(with.iter().copied());
        let child = child.output().expect("running it again");
        let output = String::from_utf8_lossy(&child.stdout);
        let told = output.lines().find_map(|line| line.split_once(FAILED));
        let (_, told) = told.unwrap_or_else(|| {
            panic!("{name}: a known-bad twin held in all executions, so the model cannot fail:\n{output}")
        });
        let (_, recording) = output.split_once(NOTED).expect("what was noted");
        let recording = Recording::from_json(recording).expect("a recording");
        assert!(recording.failed.contains(expected), "{name} failed, but not as expected: {told}");
        recording
    }

    const FAILED: &str = "the world failed in execution ";
    const NOTED: &str = "what was noted in it: ";

    /// From now on a panic is told, with what was noted before it, and ends the process.
    fn exit_where_it_fails(name: &str, count: &Arc<Witness>, recorder: &Recorder) {
        let (executions, noted, model) = (count.clone(), recorder.clone(), name.to_owned());
        std::panic::set_hook(Box::new(move |panic| {
            let failed = panic.payload_as_str().unwrap_or("a panic without words").replace('\n', " ");
            let execution = executions.times();
            println!("{FAILED}{execution} {failed}");
            let recording = Recording { model: model.clone(), execution, failed, steps: noted.steps() };
            print!("{NOTED}{}", recording.to_json());
            std::process::exit(101);
        }));
    }

    fn fail(name: &str, recorder: &Recorder, world: impl Fn() + Send + Sync + 'static) {
        let count = Arc::new(Witness::default());
        exit_where_it_fails(name, &count, recorder);
        let noted = recorder.clone();
        check(&count, None, move || {
            // Each execution is a story of its own.
            noted.clear();
            world();
        });
    }
}

#[cfg(not(loom))]
mod imp {
    use crate::record::Recorder;

    const ROUNDS: usize = 200;

    pub(super) fn model(_: &str, _: Option<(usize, &str)>, world: impl Fn() + Send + Sync + 'static) -> bool {
        for _ in 0..ROUNDS {
            world();
        }
        true
    }

    pub(super) fn known_bad(name: &str, _: &str, _: impl Fn() + Send + Sync + 'static) {
        println!("{name}: skipped, only loom finds the execution");
    }

    pub(super) fn recorded(
        name: &str,
        _: &str,
        _: &str,
        _: &str,
        _: impl Fn(&Recorder) + Send + Sync + 'static,
    ) {
        println!("{name}: skipped, only loom finds the execution");
    }
}
