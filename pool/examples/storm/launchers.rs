//! The launchers, and who watches them.
//!
//! A launcher takes the next launch, gets what its argument block is built in, starts the
//! program from there, gives that back and waits for the program. The
//! watcher says that a launcher is stuck if it has been asleep for two seconds although
//! items sat idle or were put all the while. When nothing has moved for that long the
//! run is ended, by closing what the launchers sleep in.

use std::ffi::CStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use kva::Arena;
use kva::sync::Mutex;
use kva::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use pool::PoolStats;

use super::args::Launches;
use super::block::{self, Environment, Layout};
use super::blocks::Blocks;
use super::progress::Progress;
use super::samples::{Sample, Samples, Stuck};
use super::spawn::Spawner;

/// Asleep for so long beside items, a launcher is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// With nobody at work for so long, the run is over: long enough to find who is stuck.
const OVER_AFTER: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What there is to do.
pub(crate) struct Work<'a> {
    pub(crate) program: &'a CStr,
    pub(crate) launches: Launches<'a>,
    pub(crate) environment: &'a Environment,
}

impl Work<'_> {
    fn launch(&self, index: usize) -> Launch<'_> {
        let Self { program, launches, environment } = *self;
        Launch { program, launches, index, environment }
    }
}

/// One of them.
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a CStr,
    launches: Launches<'a>,
    index: usize,
    pub(crate) environment: &'a Environment,
}

impl<'a> Launch<'a> {
    pub(crate) fn args(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        self.launches.get(self.index)
    }

    /// How much its argument block takes.
    pub(crate) fn layout(&self) -> Layout {
        Layout::of(self.program, self.args(), self.environment)
    }

    /// What is in it, each string without its NUL.
    pub(crate) fn strings(&self) -> impl Iterator<Item = &'a [u8]> {
        block::strings(self.program, self.args(), self.environment)
    }
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Each launcher that was ever stuck: the first time it was.
    pub(crate) stuck: Vec<Stuck>,
    /// What was seen until the last launch was done, or until it was ended.
    pub(crate) samples: Vec<Sample>,
    /// How long launchers waited for an item, in microseconds.
    pub(crate) waits: Vec<Histogram<u64>>,
    pub(crate) elapsed: Duration,
    /// Pages the pool held when the last launch was done, or when it was ended.
    pub(crate) pages_at_end: u32,
}

/// What the watcher knows of a launcher.
#[derive(Default)]
struct Launcher {
    /// When its wait began, in microseconds of the run, plus one; 0 while it does not wait.
    waits_since: AtomicU64,
    /// How many items had been put when its wait began.
    puts_before: AtomicU64,
}

/// What launchers and watcher share.
struct Shared {
    start: Instant,
    next: AtomicUsize,
    done: AtomicU64,
    failed: AtomicU64,
    /// Launchers that have an item or a program that runs: they move by themselves.
    working: AtomicUsize,
    over: AtomicBool,
    trouble: Mutex<Option<anyhow::Error>>,
    launchers: Vec<Launcher>,
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How many launchers wait for an item.
    fn waiting(&self) -> usize {
        self.launchers.iter().filter(|launcher| launcher.waits_since.load(Relaxed) != 0).count()
    }
}

/// Does all of the work with `parallel` launchers. `close` ends every wait.
pub(crate) fn launch_all(
    work: &Work<'_>,
    blocks: &impl Blocks,
    arena: &Arena,
    parallel: usize,
    close: impl Fn() + Sync,
    progress: &Progress,
) -> Result<Outcome> {
    let spawner = Spawner::new().context("preparing to start programs")?;
    let shared = Shared {
        start: Instant::now(),
        next: AtomicUsize::new(0),
        done: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        working: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        trouble: Mutex::new(None),
        launchers: (0..parallel).map(|_| Launcher::default()).collect(),
    };
    let (waits, seen) = thread::scope(|scope| -> Result<_> {
        let mut threads = Vec::new();
        for number in 0..parallel {
            let (shared, spawner) = (&shared, &spawner);
            let body = move || launch_some(work, blocks, shared, number, spawner);
            let thread = thread::Builder::new().name(name(number)).spawn_scoped(scope, body);
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    shared.over.store(true, Relaxed);
                    close();
                    return Err(error).context("starting a launcher");
                }
            }
        }
        let busy = || threads.iter().any(|thread| !thread.is_finished());
        let seen = watch(blocks, arena, &shared, busy, &close, progress);
        let waits = threads.into_iter().map(|thread| match thread.join() {
            Ok(waits) => waits,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        Ok((waits.collect(), seen))
    })?;
    if let Some(trouble) = shared.trouble.lock().take() {
        return Err(trouble);
    }
    Ok(Outcome {
        done: shared.done.load(Relaxed),
        failed: shared.failed.load(Relaxed),
        stuck: seen.stuck,
        samples: seen.samples,
        waits,
        elapsed: shared.start.elapsed(),
        pages_at_end: seen.pages,
    })
}

fn name(number: usize) -> String {
    format!("launcher {}", number + 1)
}

/// What the watcher saw.
struct Seen {
    stuck: Vec<Stuck>,
    samples: Vec<Sample>,
    /// Pages the pool held before anything was closed.
    pages: u32,
}

/// Looks at the launchers until none is left.
fn watch(
    blocks: &impl Blocks,
    arena: &Arena,
    shared: &Shared,
    busy: impl Fn() -> bool,
    close: &impl Fn(),
    progress: &Progress,
) -> Seen {
    let mut stuck: Vec<Option<Stuck>> = vec![None; shared.launchers.len()];
    let mut samples = Samples::new();
    let (mut last_done, mut last_moved) = (0, Instant::now());
    let mut last_look = shared.start;
    let mut pages = blocks.stats().pages;
    while busy() {
        let is_over = shared.over.load(Relaxed);
        if !is_over && samples.is_due(shared.start.elapsed()) {
            samples.take(sample(blocks, arena, shared));
        }
        thread::sleep(samples.step().min(BETWEEN_LOOKS));
        if last_look.elapsed() < BETWEEN_LOOKS {
            continue;
        }
        last_look = Instant::now();
        let stats = blocks.stats();
        if !is_over {
            for (number, stuck) in stuck.iter_mut().enumerate() {
                look_at(number, stuck, blocks, &stats, shared);
            }
        }
        let (done, waiting) = (shared.done.load(Relaxed), shared.waiting());
        progress.tick(done);
        progress.waiting(waiting);
        if done != last_done || shared.working.load(Relaxed) > 0 {
            (last_done, last_moved) = (done, Instant::now());
        }
        let stands_still = last_moved.elapsed() >= OVER_AFTER;
        if !is_over {
            pages = stats.pages;
            if stands_still || shared.trouble.lock().is_some() {
                progress.println(&format!("nothing moves: closing what {waiting} launchers sleep in"));
                samples.take(sample(blocks, arena, shared));
                shared.over.store(true, Relaxed);
                close();
            }
        }
    }
    if !shared.over.load(Relaxed) {
        pages = blocks.stats().pages;
        samples.take(sample(blocks, arena, shared));
    }
    progress.tick(shared.done.load(Relaxed));
    Seen { stuck: stuck.into_iter().flatten().collect(), samples: samples.into_vec(), pages }
}

fn sample(blocks: &impl Blocks, arena: &Arena, shared: &Shared) -> Sample {
    let stats = blocks.stats();
    Sample {
        at_us: shared.now(),
        waiting: shared.waiting() as u64,
        idle: stats.idle as u64,
        puts: stats.puts,
        arena_free: arena.stats().free.into(),
        held_bytes: blocks.held_bytes(&stats),
        stolen: stats.stolen,
    }
}

/// Notes whether a launcher is stuck, the first time it is, and as long as that lasts.
fn look_at(
    number: usize,
    stuck: &mut Option<Stuck>,
    blocks: &impl Blocks,
    stats: &PoolStats,
    shared: &Shared,
) {
    let launcher = &shared.launchers[number];
    let Some(since_us) = launcher.waits_since.load(Relaxed).checked_sub(1) else { return };
    let until_us = shared.now();
    let put_meanwhile = stats.puts.saturating_sub(launcher.puts_before.load(Relaxed));
    match stuck {
        Some(stuck) if stuck.since_us == since_us => {
            (stuck.until_us, stuck.put_meanwhile) = (until_us, put_meanwhile);
        }
        Some(_) => {}
        None => {
            let is_long = u128::from(until_us.saturating_sub(since_us)) >= STUCK_AFTER.as_micros();
            let is_beside_items = stats.idle > 0 || put_meanwhile > 0;
            if is_long && is_beside_items {
                let (launcher, state) = (number as u64 + 1, state_of(blocks, number));
                *stuck = Some(Stuck { launcher, since_us, until_us, put_meanwhile, state });
            }
        }
    }
}

/// What the pool says of a launcher that waits.
fn state_of(blocks: &impl Blocks, number: usize) -> String {
    let description = blocks.describe();
    let line = description.lines().find(|line| line.contains(&format!("\"{}\"", name(number))));
    match line.and_then(|line| line.split_once(" ms, ")) {
        Some((_, state)) => state.to_owned(),
        // It is in no queue of the pool's: a put served it, and it does not know.
        None => "was served by a put, and sleeps on inside the back-end".to_owned(),
    }
}

/// One launcher's life; how long it waited each time.
fn launch_some<S: Blocks>(
    work: &Work<'_>,
    blocks: &S,
    shared: &Shared,
    number: usize,
    spawner: &Spawner,
) -> Histogram<u64> {
    let mut waits = Histogram::new(3).expect("three digits are allowed");
    let me = &shared.launchers[number];
    while !shared.over.load(Relaxed) {
        let index = shared.next.fetch_add(1, Relaxed);
        if index >= work.launches.len() {
            break;
        }
        let launch = work.launch(index);
        me.puts_before.store(blocks.stats().puts, Relaxed);
        me.waits_since.store(shared.now() + 1, Relaxed);
        let asked = Instant::now();
        let held = blocks.get(&launch);
        let waited = asked.elapsed();
        me.waits_since.store(0, Relaxed);
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        waits.record(micros).expect("the histogram grows as it must");
        let held = match held {
            // What ended the run, if it was ended; or it had been served, and noticed then.
            _ if shared.over.load(Relaxed) => break,
            Ok(held) => held,
            Err(error) => {
                report(shared, error);
                break;
            }
        };
        shared.working.fetch_add(1, Relaxed);
        let pid = S::spawn(held, &launch, spawner);
        let status = pid.and_then(|pid| pid.wait().context("waiting for the program"));
        shared.working.fetch_sub(1, Relaxed);
        match status {
            Ok(status) => shared.failed.fetch_add(u64::from(!status.success()), Relaxed),
            Err(error) => {
                report(shared, error.context(format!("launch {}", index + 1)));
                break;
            }
        };
        shared.done.fetch_add(1, Relaxed);
    }
    waits
}

/// The first trouble is the one that is told; it ends the run.
fn report(shared: &Shared, error: anyhow::Error) {
    shared.trouble.lock().get_or_insert(error);
}
