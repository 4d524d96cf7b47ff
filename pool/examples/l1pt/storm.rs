//! One idea's run: waves of forks, with calm between them in which the page cache grows.
//!
//! A fork takes a level-1 table and some pages, the process runs, and its exit frees them. Waves
//! are of different heights, and all that is drawn by lot follows from the seed, whichever thread
//! plays a process.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use kva::sync::Arc;
use kva::sync::Mutex;
use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use super::cli::Cli;
use super::idea::Idea;
use super::memory::{self, Random, TABLE};
use super::pager::Pager;
use super::processes::Number;
use super::report::{Progress, Row, WaitUs};
use super::tables::{self, Limits, NoTable, Tables};
use super::watch::{self, Seen};
use super::world::World;

/// The fewest pages of a process, besides its table; and the most.
const FEWEST_PAGES: u32 = 4;
pub(crate) const MOST_PAGES: u32 = 16;
/// How long a process runs at least; and at most, in microseconds.
const SHORTEST: u32 = 1_000;
const LONGEST: u32 = 5_000;
/// Who has waited for so long when the run ends was stuck.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// Between two waves.
const CALM: Duration = Duration::from_millis(20);

/// A process to be.
struct Fork {
    seed: u64,
    /// The first of each wave is root's, and must not fail.
    root: bool,
}

/// How a fork ended.
enum End {
    Exited,
    /// EAGAIN: its deadline passed.
    Again,
    /// It had waited long for a table when the run was over.
    Stuck,
    /// The run was over.
    CutShort,
}

/// What the processes share.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) tables: Box<dyn Tables>,
    /// Forks that wait for a table.
    pub(crate) waiting: AtomicU32,
    /// Whether the run is over, for whatever reason.
    pub(crate) over: Arc<AtomicBool>,
    waits: Mutex<Histogram<u64>>,
    end: Instant,
}

/// Plays `idea`; until `stop` says otherwise.
pub(crate) fn run(idea: Idea, cli: &Cli, stop: &Arc<AtomicBool>) -> Result<Row> {
    let world = World::new(idea, cli)?;
    let over = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let end = start + Duration::from_secs(cli.seconds.get().into());
    let pager = Pager {
        arena: world.arena.clone(),
        cache: world.cache.clone(),
        asks_for_more: false,
        over: over.clone(),
    };
    let limits = Limits {
        // One more than there can be forks at once, for root.
        hard: cli.processes.get() + 1,
        low: cli.keep.unwrap_or(cli.processes.get() / 2),
        deadline: Duration::from_millis(cli.deadline.get().into()),
    };
    let tables = tables::of(idea, pager, limits, end)?;
    let waits = Mutex::new(Histogram::new(3)?);
    let scene = Scene { world, tables, waiting: AtomicU32::new(0), over, waits, end };
    let progress = Progress::start(&idea.name(), cli.forks.get().into());
    let mut row = Row::new(idea, cli);
    let seen = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch::watch(&scene, stop, end));
        let reader = scope.spawn(|| watch::read_files(&scene));
        let stormed = waves(&scene, cli, &mut row, &progress);
        scene.over.store(true, Relaxed);
        reader.join().expect("the page cache does not panic");
        let seen = watcher.join().expect("the watcher does not panic");
        stormed.map(|()| seen)
    })?;
    row.fill_in(start.elapsed(), &WaitUs::of(&scene.waits.lock()), &seen, &scene.world);
    let Scene { world, tables, .. } = scene;
    tables.close();
    drop(tables);
    row.damaged += world.end()?;
    Ok(row)
}

/// Wave after wave, until so many forks were tried or the run is over.
fn waves(scene: &Scene, cli: &Cli, row: &mut Row, progress: &Progress) -> Result<()> {
    let processes = cli.processes.get();
    let mut random = Random(cli.seed);
    thread::scope(|scope| {
        let (ended, ends) = mpsc::channel();
        let mut threads = Vec::new();
        for number in 0..processes {
            let (fork, forks) = mpsc::channel();
            let ended = ended.clone();
            let thread = thread::Builder::new().name(format!("process {number}"));
            thread.spawn_scoped(scope, move || live(scene, &forks, &ended)).context("starting a thread")?;
            threads.push(fork);
        }
        let mut left = cli.forks.get();
        while left > 0 && !scene.over.load(Relaxed) && Instant::now() < scene.end {
            let height = (processes / 2 + random.below(processes - processes / 2) + 1).min(left);
            left -= height;
            for (number, thread) in (0..height).zip(&threads) {
                let fork = Fork { seed: random.next().unwrap_or(0), root: number == 0 };
                thread.send(fork).expect("threads live as long as they are sent to");
            }
            for _ in 0..height {
                let (root, end) = ends.recv().context("a process panicked")?;
                row.count(root, &end);
                progress.tick(row.done);
            }
            thread::sleep(CALM);
        }
        Ok(())
    })
}

impl Row {
    fn count(&mut self, root: bool, end: &End) {
        let counter = match end {
            End::Exited => &mut self.done,
            End::Again => {
                self.eagain_root += u64::from(root);
                &mut self.eagain
            }
            End::Stuck => &mut self.stuck,
            End::CutShort => &mut self.cut_short,
        };
        *counter += 1;
    }
}

/// A thread that is one process after the other.
fn live(scene: &Scene, forks: &Receiver<Fork>, ended: &Sender<(bool, End)>) {
    for fork in forks {
        let end = play(scene, &fork);
        if ended.send((fork.root, end)).is_err() {
            return;
        }
    }
}

/// One process, from its fork to its exit.
fn play(scene: &Scene, fork: &Fork) -> End {
    let mut random = Random(fork.seed);
    let asked = Instant::now();
    scene.waiting.fetch_add(1, Relaxed);
    let table = scene.tables.get(fork.root);
    scene.waiting.fetch_sub(1, Relaxed);
    let waited = asked.elapsed();
    let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
    scene.waits.lock().record(micros).expect("the histogram grows as it must");
    let table = match table {
        Ok(table) => table,
        Err(NoTable::Again) => return End::Again,
        Err(NoTable::Over) if waited >= STUCK_AFTER => return End::Stuck,
        Err(NoTable::Over) => return End::CutShort,
    };
    // SAFETY: the table is this fork's until it is put.
    unsafe { memory::fill(table, TABLE, fork.seed) };
    let wanted = FEWEST_PAGES + random.below(MOST_PAGES - FEWEST_PAGES + 1);
    let (lent, processes) = (&scene.world.lent, &scene.world.processes);
    let take = |_| processes.take(lent, scene.end);
    let pages: Vec<Number> = (0..wanted).map_while(|page| take(page).ok()).collect();
    let ran = pages.len() == wanted as usize;
    if ran {
        let micros = SHORTEST + random.below(LONGEST - SHORTEST);
        thread::sleep(Duration::from_micros(micros.into()));
    }
    for page in pages {
        processes.give(lent, page);
    }
    // SAFETY: as above, and it was filled.
    let intact = unsafe { memory::is_intact(table, TABLE, fork.seed) };
    processes.damaged.fetch_add(u64::from(!intact), Relaxed);
    scene.tables.put(table);
    if ran { End::Exited } else { End::CutShort }
}

/// What a run saw of itself, in the row.
impl Row {
    fn fill_in(&mut self, elapsed: Duration, waits: &WaitUs, seen: &Seen, world: &World) {
        self.seconds = elapsed.as_secs_f64();
        self.forks_per_s = ratio(self.done, self.seconds);
        self.wait_us = *waits;
        self.free_while_waiting = seen.free.value_at_quantile(0.5);
        self.idle_tables = seen.idle_tables;
        self.samples = seen.free.len();
        self.samples_without_a_run = seen.without_a_run;
        self.evicted = world.cache.evicted.load(Relaxed);
        self.evicted_per_fork = ratio(self.evicted, ratio(self.done, 1.0));
        self.moved = world.processes.moved.load(Relaxed);
    }
}

/// 0 where there is nothing to divide by, since JSON has no infinity.
#[expect(clippy::cast_precision_loss, reason = "nobody forks 2^53 times, nor waits for a table of it")]
fn ratio(of: u64, by: f64) -> f64 {
    if by > 0.0 { of as f64 / by } else { 0.0 }
}
