//! The supervisor: workers come and go, and once in a while the world is brought to a stop.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::runtime::Handle;
use tokio::task;

use super::failure::{self, holds};
use super::laws::Laws;
use super::rest;
use super::system::Usage;
use super::trend::{BLOCKS, Law, MAPPINGS, RESIDENT, Sample, Trend};
use super::watchdog::Watchdog;
use super::worker::{Count, Place, Shift, live, live_as_task, names};
use super::world::World;

/// What a run is asked to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) time: Duration,
    pub(crate) threads: usize,
    pub(crate) tasks: usize,
    pub(crate) seed: u64,
    /// Looks, a second apart, after which who is where it was is stuck.
    pub(crate) stall: u32,
    pub(crate) leak: bool,
}

/// What it came to.
pub(crate) struct Run {
    pub(crate) shift: Arc<Shift>,
    pub(crate) elapsed: Duration,
    /// How many threads and tasks there were, one after the other.
    pub(crate) lives: u64,
    /// With how many actions were done by then.
    pub(crate) usage: Vec<(u64, Usage)>,
    /// The law that was broken, if one was.
    pub(crate) failure: Option<String>,
}

/// Between two looks for workers that have ended.
const TICK: Duration = Duration::from_millis(2);
const SECOND: Duration = Duration::from_secs(1);
/// Between two lines in a log.
const LINES: Duration = Duration::from_mins(1);

/// One worker, until it has ended.
enum Worker {
    Thread(JoinHandle<()>),
    Task(task::JoinHandle<()>),
}

struct Supervisor {
    plan: Plan,
    runtime: Handle,
    shift: Arc<Shift>,
    workers: Vec<Option<Worker>>,
    lives: u64,
    laws: Laws,
    watchdog: Watchdog,
    looked: Instant,
    said: Instant,
    usage: Vec<(u64, Usage)>,
    bar: ProgressBar,
    started: Instant,
}

/// Runs for as long as the plan says, or until `ended` is set, or something fails.
pub(crate) fn run(plan: Plan, runtime: &Handle, ended: &AtomicBool) -> Result<Run> {
    let world = Arc::new(World::new(plan.seed, runtime.clone())?);
    let places = plan.threads + plan.tasks;
    let shift = Arc::new(Shift {
        world,
        places: (0..places).map(|_| Place::default()).collect(),
        counts: names().map(|_| Count::default()).collect(),
        stop: AtomicBool::new(false),
        leak: plan.leak,
    });
    let bar = ProgressBar::with_draw_target(Some(plan.time.as_secs()), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{wide_bar}] {pos}/{len} s  {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(format!("soak, seed {}", plan.seed));
    let now = Instant::now();
    let mut supervisor = Supervisor {
        plan,
        runtime: runtime.clone(),
        shift,
        workers: (0..places).map(|_| None).collect(),
        lives: 0,
        laws: Laws::default(),
        watchdog: Watchdog::default(),
        looked: now,
        said: now,
        usage: Vec::new(),
        bar,
        started: now,
    };
    supervisor.rest()?;
    // Often enough for a slope, seldom enough to soak in between.
    let episode = (plan.time / 24).clamp(Duration::from_millis(80), Duration::from_secs(5));
    while now.elapsed() < plan.time && !ended.load(Relaxed) && !failure::is_reported() {
        supervisor.episode(Instant::now() + episode.min(plan.time.saturating_sub(now.elapsed())), ended)?;
    }
    supervisor.check_trends();
    supervisor.bar.finish_and_clear();
    let Supervisor { shift, lives, usage, .. } = supervisor;
    Ok(Run { shift, elapsed: now.elapsed(), lives, usage, failure: failure::first() })
}

impl Supervisor {
    /// Has workers work until then, stops them, and checks the world at rest.
    fn episode(&mut self, until: Instant, ended: &AtomicBool) -> Result<()> {
        self.shift.stop.store(false, Relaxed);
        while Instant::now() < until && !ended.load(Relaxed) && !failure::is_reported() {
            for place in 0..self.workers.len() {
                self.bury(place);
                if self.workers[place].is_none() {
                    self.workers[place] = Some(self.start(place)?);
                }
            }
            self.tick();
        }
        self.shift.stop.store(true, Relaxed);
        while !failure::is_reported() && self.workers.iter().any(Option::is_some) {
            (0..self.workers.len()).for_each(|place| self.bury(place));
            self.tick();
        }
        if !failure::is_reported() {
            self.rest()?;
        }
        Ok(())
    }

    fn start(&mut self, place: usize) -> Result<Worker> {
        self.lives += 1;
        let seed = self.plan.seed.wrapping_add(self.lives.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let shift = self.shift.clone();
        shift.places[place].busy.store(true, Relaxed);
        if place < self.plan.threads {
            let builder = thread::Builder::new().name(format!("worker {place}"));
            return Ok(Worker::Thread(builder.spawn(move || live(&shift, place, seed))?));
        }
        Ok(Worker::Task(self.runtime.spawn(live_as_task(shift, place, seed))))
    }

    /// Joins the worker that has ended here, if it has.
    fn bury(&mut self, place: usize) {
        let is_over = match &self.workers[place] {
            Some(Worker::Thread(thread)) => thread.is_finished(),
            Some(Worker::Task(task)) => task.is_finished(),
            None => false,
        };
        if !is_over {
            return;
        }
        let panic = match self.workers[place].take() {
            Some(Worker::Thread(thread)) => thread.join().err(),
            Some(Worker::Task(task)) => {
                self.runtime.block_on(task).err().and_then(|error| error.try_into_panic().ok())
            }
            None => None,
        };
        if let Some(panic) = panic {
            failure::was_planned(&*panic, "a worker");
        }
    }

    fn tick(&mut self) {
        thread::sleep(TICK);
        if self.looked.elapsed() >= SECOND {
            self.looked = Instant::now();
            self.laws.check(&self.shift.world, self.workers.len() as u64);
            self.watchdog.look(&self.shift, self.plan.stall);
            self.bar.set_position(self.started.elapsed().as_secs());
            self.bar.set_message(format!("{} operations", self.operations()));
            // For a log, since there is no bar in it.
            if self.bar.is_hidden() && self.said.elapsed() >= LINES {
                self.said = Instant::now();
                let (second, operations) = (self.bar.position(), self.operations());
                let _ = writeln!(io::stderr(), "{}: {second} s, {operations} operations", self.bar.prefix());
            }
        }
    }

    fn operations(&self) -> u64 {
        self.shift.counts.iter().flat_map(Count::all).sum()
    }

    fn rest(&mut self) -> Result<()> {
        let (world, patience) = (self.shift.world.clone(), SECOND * self.plan.stall);
        // Once at each rest, however short the run.
        self.laws.check(&world, self.workers.len() as u64);
        let checked = catch_unwind(AssertUnwindSafe(|| rest::check(&world, patience)));
        if let Err(panic) = checked {
            failure::was_planned(&*panic, "the check at rest");
        }
        let usage = self.settled(patience)?;
        self.usage.push((self.operations(), usage));
        Ok(())
    }

    /// What the process has, once what was joined is gone.
    fn settled(&self, patience: Duration) -> Result<Usage> {
        #[cfg(target_env = "gnu")]
        // SAFETY: it may be called at any time.
        unsafe {
            libc::malloc_trim(0);
        }
        let deadline = Instant::now() + patience;
        loop {
            let now = Usage::now()?;
            let Some((_, first)) = self.usage.first() else { return Ok(now) };
            let is_back = (now.files, now.threads) == (first.files, first.threads);
            if is_back || failure::is_reported() {
                return Ok(now);
            }
            if Instant::now() > deadline {
                holds!(is_back, "files and threads are as many as they were", "{now:?}, {first:?}");
                return Ok(now);
            }
            thread::sleep(TICK);
        }
    }

    fn check_trends(&self) {
        for (law, trend) in trends(&self.usage) {
            holds!(
                !trend.is_leak(law),
                "what is in use does not grow with what is done",
                "{}: {:.3} in 100 operations, {:.0} in all",
                law.name,
                trend.slope * 100.0,
                trend.growth
            );
        }
    }
}

/// How what is in use goes with what is done.
#[allow(clippy::cast_precision_loss, reason = "a slope is a float")]
pub(crate) fn trends(usage: &[(u64, Usage)]) -> Vec<(Law, Trend)> {
    type Amount = fn(&Usage) -> usize;
    let measures: [(Law, Amount); 3] = [
        (BLOCKS, |usage| usage.blocks),
        (MAPPINGS, |usage| usage.mappings),
        (RESIDENT, |usage| usage.resident),
    ];
    let trend = |(law, amount): (Law, Amount)| {
        let sample = |(operations, usage): &(u64, Usage)| Sample {
            operations: *operations as f64,
            amount: amount(usage) as f64,
        };
        let samples: Vec<_> = usage.iter().map(sample).collect();
        Some((law, Trend::of(&samples)?))
    };
    measures.into_iter().filter_map(trend).collect()
}
