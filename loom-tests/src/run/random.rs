//! How shuttle runs a world: in schedules drawn at random, one half by a scheduler that may switch at
//! each step, the other by PCT (Burckhardt et al., ASPLOS 2010), which switches at few, and so lets
//! threads get far ahead of each other.
//!
//! | variable | |
//! | --- | --- |
//! | `SHUTTLE_ITERATIONS` | how many schedules a model runs by each of the two |
//! | `SHUTTLE_RANDOM_SEED` | what they are drawn from; without it, always the same |
//! | `SHUTTLE_SCHEDULES` | the directory for schedules that fail; without it, they are printed |
//! | `SHUTTLE_REPLAY` | a schedule that failed, or its file: only that is run, in the model that `LOOM_ONLY` names |

use std::path::Path;
use std::{env, fs, process};

use kva::sync::thread::yield_now;
use kva::sync::{Arc, checks_left, forget_checks};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{Config, FailurePersistence, Runner};

use super::Witness;
use crate::record::Recording;

const SCHEDULES: &str = "SHUTTLE_SCHEDULES";
const REPLAY: &str = "SHUTTLE_REPLAY";

/// The number of the bug report that began it.
const SEED: u64 = 45_718;

/// How many schedules by each scheduler.
const ITERATIONS: usize = 500;

/// How often PCT switches, and one more.
const DEPTH: usize = 4;

/// More than shuttle's, for builds that are not optimised.
const STACK: usize = 256 * 1024;

/// How often others may run, once all is dropped.
const GRACE: usize = 1000;

fn iterations() -> usize {
    env::var("SHUTTLE_ITERATIONS").map_or(ITERATIONS, |number| {
        number.parse().unwrap_or_else(|why| panic!("SHUTTLE_ITERATIONS, {number:?}: {why}"))
    })
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK;
    // That there are orderings which it does not see: the shim says so.
    config.silence_warnings = true;
    if let Some(directory) = env::var_os(SCHEDULES) {
        config.failure_persistence = FailurePersistence::File(Some(directory.into()));
    }
    config
}

pub(super) fn check(count: &Arc<Witness>, _: Option<usize>, world: impl Fn() + Send + Sync + 'static) {
    let world = Arc::new(world);
    let run = || {
        let (world, count) = (world.clone(), count.clone());
        move || {
            count.saw(true);
            forget_checks();
            world();
            // Threads that nobody joins may be about to end.
            for _ in 0..GRACE {
                if checks_left() > 0 {
                    yield_now();
                }
            }
            let left = checks_left();
            assert_eq!(left, 0, "leaked: {left} of what the world made");
        }
    };
    if let Ok(schedule) = env::var(REPLAY) {
        Runner::new(replay(&schedule), config()).run(run());
        return;
    }
    Runner::new(RandomScheduler::new_from_seed(SEED, iterations()), config()).run(run());
    Runner::new(PctScheduler::new_from_seed(SEED, DEPTH, iterations()), config()).run(run());
}

fn replay(schedule: &str) -> ReplayScheduler {
    if Path::new(schedule).exists() {
        return ReplayScheduler::new_from_file(schedule)
            .unwrap_or_else(|error| panic!("{REPLAY}, {schedule}: {error}"));
    }
    ReplayScheduler::new_from_encoded(schedule.trim())
}

/// As the report has it.
pub(super) fn kind(_: Option<(usize, &str)>) -> String {
    "random".to_owned()
}

/// Whether what can happen has happened, once a model has ended: by chance, and certainly not in
/// one schedule.
pub(super) fn finds_all() -> bool {
    env::var_os(REPLAY).is_none()
}

/// What a twin is caught with. The schedule that it fails in is kept, and fails when it is run again.
pub(super) fn confirmed(name: &str, caught: impl Fn(&[(&str, &Path)]) -> Recording) -> Recording {
    let directory = format!("schedules-{}-{}", process::id(), name.replace('/', "-"));
    let directory = env::temp_dir().join(directory);
    fs::create_dir(&directory).expect("a directory for the schedule");
    let first = caught(&[(SCHEDULES, &directory)]);
    let schedule = directory.join("schedule000.txt");
    assert!(schedule.exists(), "{name}: a schedule that failed was not kept");
    let again = caught(&[(REPLAY, &schedule)]);
    assert_eq!(again.execution, 1, "{name}: that is the only schedule");
    fs::remove_dir_all(&directory).expect("it was created above");
    first
}
