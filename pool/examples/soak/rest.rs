//! The world at rest: what can be said exactly, and P6.
//!
//! All workers have ended, and what was on shelves and on its way between them has been given back. What
//! a factory has begun may still go on, on threads and in tasks of its own: that is waited for.

use std::thread;
use std::time::{Duration, Instant};

use kva::ArenaStats;

use super::failure::{self, holds};
use super::watched::Watched;
use super::world::{self, World};
use super::{numbers, world::RESIZED};

/// Checks all of it, and leaves the world as it was built.
pub(crate) fn check(world: &World, patience: Duration) {
    world.chance.set_calm(true);
    while world.parcels.take().is_some() {}
    let fleeting = world.fleeting.lock().take();
    drop(fleeting);
    let shelf = std::mem::take(&mut *world.shelf.lock());
    drop(shelf);
    world.numbers.clear();
    for watched in &world.watched {
        settle(watched, patience);
    }
    if failure::is_reported() {
        return;
    }

    for watched in &world.watched {
        nothing_is_out(watched);
    }
    quanta_add_up(world);
    let stats = world.last_page.stats();
    let is_released = stats.released_below_low > 0 || stats.gets < 10_000;
    holds!(is_released, "its last page was released for one who slept", "{stats:?}");

    for watched in &world.watched {
        watched.pool.drain();
        at_low_water(watched);
    }
    // Once more with no low water and no reserve: nothing is left anywhere.
    for Watched { pool, limit, high, .. } in &world.watched {
        let set = [pool.set_hard_limit(*limit), pool.set_water(0, *high), pool.set_critical_reserve(0)];
        holds!(set.iter().all(Result::is_ok), "limits can be changed", "{set:?}");
        pool.drain();
        let stats = pool.stats();
        let rests = (stats.pages, stats.idle, stats.cached, stats.live) == (0, 0, 0, 0);
        holds!(rests, "P6: drained, a pool holds nothing", "{stats:?}");
    }
    whole("memory", &world.memory.stats(), world::REGIONS);
    whole("scarce", &world.scarce.stats(), 1);
    whole("numbers", &world.numbers.arena.stats(), numbers::REGIONS);
    whole("frames", &world.frames.stats().arena, 1);
    let alive = world.maker.census.alive();
    holds!(alive == 0, "P6: what was made was destroyed", "{alive} objects are left");

    for Watched { pool, limit, low, high, reserve, .. } in &world.watched {
        let set = [pool.set_water(*low, *high), pool.set_critical_reserve(*reserve)];
        holds!(set.iter().all(Result::is_ok), "limits can be changed", "{set:?}");
        // One that was built primed is primed again.
        if low == limit {
            let held = pool.prime(*limit);
            holds!(held == Some(*limit), "at rest there is enough to prime with", "{held:?} of {limit}");
        }
    }
    debug_assert!(world.resized.stats().hard_limit == RESIZED);
    world.chance.set_calm(false);
}

/// Until nothing is pending.
fn settle(watched: &Watched, patience: Duration) {
    let deadline = Instant::now() + patience;
    while watched.pool.stats().growing > 0 {
        if Instant::now() > deadline {
            failure::report(format!("P5: what is begun ends: {:?}", watched.pool.stats()));
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn nothing_is_out(watched: &Watched) {
    let stats = watched.pool.stats();
    let (out, waiting, asleep) = (stats.out, stats.waiting, stats.asleep_in_backend);
    holds!((out, waiting, asleep) == (0, 0, 0), "P5: nothing is out and nobody waits", "{stats:?}");
    holds!(stats.gets == stats.puts, "P5: what was got was put", "{stats:?}");
    let items = stats.pages as usize * stats.items_per_page as usize;
    holds!(stats.idle == items, "P5: out + idle = pages * items per page", "{stats:?}");
    holds!(stats.live <= stats.idle, "an object has a place", "{stats:?}");
    holds!(stats.leaked == 0, "nobody leaks", "{stats:?}");
    holds!(stats.pages <= stats.hard_limit, "P1: at rest, the limit is that which was set", "{stats:?}");
}

/// What the arena says of its quanta, what its clients say, and what their pools say: three locks.
fn quanta_add_up(world: &World) {
    let stats = world.memory.stats();
    let accounts = [&world.memory, &world.quota];
    for account in accounts.into_iter().chain([&world.scarce]) {
        let name = account.client_name();
        let pools =
            world.watched.iter().filter(|it| it.account.as_ref().is_some_and(|it| it.client_name() == name));
        let pages: usize = pools.map(|it| it.pool.stats().held_bytes()).sum();
        let used = account.used() as usize * world::QUANTUM;
        holds!(
            used == pages,
            "an account's quanta are its pools' pages",
            "{used} of {pages} bytes: {account:?}"
        );
    }
    let used: u32 = accounts.iter().map(|account| account.used()).sum();
    let all = stats.free + stats.withheld + used;
    holds!(all == stats.quanta, "free + withheld + used = quanta", "{used} used: {stats:?}");
    holds!(stats.withheld == 0, "nothing is withheld where nobody waits", "{stats:?}");
    holds!(world.numbers.used() == 0, "P6: what was taken was freed", "{:?}", world.numbers.arena);
}

fn at_low_water(watched: &Watched) {
    let stats = watched.pool.stats();
    let most = stats.low_water.max(stats.critical_reserve.div_ceil(stats.items_per_page));
    let least = watched.least_pages(stats.pages);
    holds!(
        (least..=most).contains(&stats.pages),
        "P6: drained, a pool holds low water and its reserve",
        "{least} to {most} pages: {stats:?}"
    );
    watched.forget_low_water();
}

fn whole(name: &str, stats: &ArenaStats, regions: u32) {
    let is_whole = (stats.free, stats.free_runs, stats.waiting) == (stats.quanta, regions, 0);
    holds!(is_whole, "P6: an arena is one free span a region", "{name}: {stats:?}");
}
