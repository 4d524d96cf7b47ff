//! Equations between figures that are taken together, and so hold at any moment.
//!
//! A pool's figures are taken under its lock, an arena's under its own: what is of one snapshot is exact.
//! Between two snapshots the world goes on, so that nothing is compared across locks here; that is done
//! where all stand still, in [`rest`](super::rest). What threads have in their caches is counted without
//! the lock: of a pool with caches each thread may be one get and one put ahead.

use kva::{Arena, ArenaStats};
use pool::PoolStats;

use super::failure::{self, holds};
use super::numbers;
use super::watched::Watched;
use super::world::{LONGEST, World};

/// What was seen before: counts only grow.
#[derive(Default)]
pub(crate) struct Laws {
    before: Vec<PoolStats>,
}

impl Laws {
    /// Checks all of them. `workers`: how many may be between a cache and its count.
    pub(crate) fn check(&mut self, world: &World, workers: u64) {
        let now: Vec<_> = world.watched.iter().map(|watched| watched.pool.stats()).collect();
        for (watched, stats) in world.watched.iter().zip(&now) {
            of_pool(watched, stats, workers);
        }
        for (before, now) in self.before.iter().zip(&now) {
            grow_only(before, now);
        }
        self.before = now;
        of_arena("memory", &world.memory, u64::from(Arena::DEFAULT_BYPASS * LONGEST.max(2)));
        of_arena("scarce", &world.scarce, u64::from(Arena::DEFAULT_BYPASS));
        of_arena("numbers", &world.numbers.arena, u64::from(numbers::BYPASS * numbers::LONGEST));
        let frames = world.frames.stats();
        of_stats("frames", &frames.arena);
        holds!(frames.refused == 0, "pages are mapped where they are moved to", "{frames:?}");
        let (used, quota) = (world.quota.used(), 24);
        holds!(used <= quota, "a client has at most its quota", "{used} of {quota}: {:?}", world.quota);
        holds!(world.numbers.is_within_quota(), "a client has at most its quota", "{:?}", world.numbers.lent);
        let deadlocks = kva::deadlock::check();
        holds!(deadlocks.is_empty(), "nobody holds and waits", "{deadlocks:?}");
        in_and_out();
    }
}

fn of_pool(watched: &Watched, stats: &PoolStats, workers: u64) {
    let PoolStats { pages, growing, hard_limit, low_water, high_water, idle, cached, out, .. } = *stats;
    // A limit that is lowered leaves what is held: the bound is the highest that it had.
    holds!(pages + growing <= watched.limit, "P1: pages + growing <= hard limit", "{stats:?}");
    holds!(watched.limit_changes || hard_limit == watched.limit, "the limit is as it was set", "{stats:?}");
    let least = watched.least_pages(pages);
    holds!(pages + growing >= least, "P3: low water is held or on its way", "{least} pages: {stats:?}");
    holds!(low_water <= high_water && high_water <= hard_limit, "low <= high <= limit", "{stats:?}");
    let items = pages as usize * stats.items_per_page as usize;
    holds!(out + idle <= items, "out + idle <= pages * items per page", "{stats:?}");
    holds!(cached <= idle, "cached <= idle", "{stats:?}");
    holds!(out + cached <= stats.most_out, "out + cached <= most out", "{stats:?}");
    holds!(
        pages <= stats.most_pages && stats.most_pages <= watched.limit,
        "pages <= most pages",
        "{stats:?}"
    );
    // Of memory there are no other objects than what is out.
    holds!(stats.live >= out, "what is out is alive", "{stats:?}");
    let held = stats.gets.abs_diff(stats.puts + out as u64);
    holds!(held <= 2 * workers, "gets = puts + out, but for caches", "{held} more or less: {stats:?}");
    holds!(stats.refused + stats.withdrawn <= stats.grows, "what ended was begun", "{stats:?}");
    holds!(stats.yielded <= stats.released, "what was yielded was released", "{stats:?}");
    let heirs = (stats.released_below_low, stats.released_to_heirs, stats.released);
    holds!(heirs.0 <= heirs.1 && heirs.1 <= heirs.2, "below low <= to heirs <= released", "{stats:?}");
    holds!(stats.asleep_in_backend <= stats.waiting, "who sleeps in the back-end waits", "{stats:?}");
    holds!(stats.waits.served <= stats.gets, "who waited was served", "{stats:?}");
    let waits = &stats.waits;
    let ordered = waits.p50 <= waits.p99 && waits.p99 <= waits.p999;
    holds!(ordered, "p50 <= p99 <= p999", "{stats:?}");
    holds!(!stats.closed, "nobody closes it", "{stats:?}");
    if let Some(most) = watched.bypass {
        holds!(stats.most_overtaken <= most, "P4: overtaken at most K times", "K = {most}: {stats:?}");
    }
    let bytes = (stats.idle_bytes() + stats.wasted_bytes(), stats.unused_bytes(), stats.held_bytes());
    holds!(
        bytes.0 <= bytes.1 && bytes.1 <= bytes.2,
        "idle + wasted <= unused <= held",
        "{bytes:?}: {stats:?}"
    );
}

fn grow_only(before: &PoolStats, now: &PoolStats) {
    let counts = |stats: &PoolStats| {
        [
            stats.gets,
            stats.puts,
            stats.grows,
            stats.refused,
            stats.withdrawn,
            stats.released,
            stats.yielded,
            stats.invalid,
            stats.sweeps,
            stats.failures.total(),
            stats.waits.served,
            stats.most_overtaken,
            stats.most_out as u64,
            stats.most_pages.into(),
        ]
    };
    let grow = counts(before).iter().zip(counts(now)).all(|(before, now)| *before <= now);
    holds!(grow, "counts only grow", "{before:?}, then {now:?}");
}

fn of_arena(name: &str, arena: &Arena, most_overtaken: u64) {
    let stats = arena.stats();
    of_stats(name, &stats);
    let overtaken = stats.most_overtaken;
    holds!(
        overtaken <= most_overtaken,
        "P4: overtaken at most K times",
        "{name}, K = {most_overtaken}: {stats:?}"
    );
}

fn of_stats(name: &str, stats: &ArenaStats) {
    let ArenaStats { quanta, free, withheld, free_runs, committed, committed_unused, .. } = *stats;
    holds!(free + withheld <= quanta, "free + withheld <= quanta", "{name}: {stats:?}");
    holds!(free_runs <= free && (free == 0 || free_runs > 0), "runs of what is free", "{name}: {stats:?}");
    let ordered = stats.largest.windows(2).all(|pair| pair[0] >= pair[1]);
    holds!(ordered && stats.largest[0] <= free, "the longest runs by alignment", "{name}: {stats:?}");
    let fits = committed <= quanta && committed_unused <= free + withheld;
    holds!(fits, "committed and unused <= free + withheld", "{name}: {stats:?}");
    // Read one after the other under the lock that commits, but what is committed last is not in a span yet.
    holds!(committed_unused <= committed, "committed and unused <= committed", "{name}: {stats:?}");
}

/// The figures go out and come in again as they were.
fn in_and_out() {
    let pools = pool::registered();
    let again = serde_json::to_string(&pools).and_then(|text| serde_json::from_str::<pool::Pools>(&text));
    let is_same = again.as_ref().is_ok_and(|again| *again == pools);
    holds!(is_same, "figures that are written and read are the same", "{again:?}, of {pools:?}");
}
