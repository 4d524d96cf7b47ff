//! What a pool says of itself.

use std::time::Instant;

use kva::sync::thread::Thread;

use crate::backend::Backend;
use crate::carve::Carve;
use crate::state::State;

/// Counts of what happened, under the pool's lock.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) gets: u64,
    pub(crate) puts: u64,
    pub(crate) grows: u64,
    pub(crate) refused: u64,
    pub(crate) withdrawn: u64,
    pub(crate) yielded: u64,
    pub(crate) released_to_heirs: u64,
    pub(crate) below_low: u64,
    pub(crate) stolen: u64,
}

/// A snapshot of a pool. Pages and items are counts, not bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Pages held.
    pub pages: u32,
    /// Grows pending: pages asked for that have not come.
    pub growing: u32,
    /// The hard limit: the most pages held or pending.
    pub hard_limit: u32,
    /// Pages never given up when idle.
    pub low_water: u32,
    /// Pages kept when idle, at most the hard limit.
    pub high_water: u32,
    /// Items a page.
    pub items_per_page: u32,
    /// Free items.
    pub idle: usize,
    /// Items out.
    pub out: usize,
    /// Getters that wait: in the pool, or asleep inside its back-end.
    pub waiting: usize,
    /// Those of them that are asleep inside the back-end, out of reach of a put.
    pub asleep_in_backend: usize,
    /// Items ever handed out, those that were cancelled in the last moment included.
    pub gets: u64,
    /// Items ever taken back.
    pub puts: u64,
    /// Grows ever begun by getters.
    pub grows: u64,
    /// Grows that ended with an error.
    pub refused: u64,
    /// Grows that were withdrawn because a put served their waiter.
    pub withdrawn: u64,
    /// Pages given to an older request of another client of the back-end.
    pub yielded: u64,
    /// Pages released for a getter asleep inside the back-end (option 3).
    pub released_to_heirs: u64,
    /// Those of them that were released although the pool was at or below low water.
    pub released_below_low: u64,
    /// Those of them that did not reach their getter: it came back with another page, or
    /// with none.
    pub stolen: u64,
    /// The most that any waiter was overtaken by later arrivals.
    pub most_overtaken: u64,
    /// Whether the pool is closed.
    pub closed: bool,
}

impl PoolStats {
    pub(crate) fn of<B: Backend>(state: &State<B>, carve: &Carve) -> Self {
        let State { ledger, pages, counts, .. } = state;
        Self {
            pages: ledger.pages(),
            growing: ledger.growing(),
            hard_limit: ledger.limit(),
            low_water: ledger.low(),
            high_water: ledger.high().min(ledger.limit()),
            items_per_page: carve.items,
            idle: pages.free_items(),
            out: pages.out_items(),
            waiting: state.queue.len() + state.grows.asleep(),
            asleep_in_backend: state.grows.asleep(),
            gets: counts.gets,
            puts: counts.puts,
            grows: counts.grows,
            refused: counts.refused,
            withdrawn: counts.withdrawn,
            yielded: counts.yielded,
            released_to_heirs: counts.released_to_heirs,
            released_below_low: counts.below_low,
            stolen: counts.stolen,
            most_overtaken: state.queue.most_overtaken(),
            closed: state.closed,
        }
    }
}

/// Says who waits in `state` for what and why, for people.
pub(crate) fn describe<B: Backend>(state: &State<B>, carve: &Carve) -> String {
    let now = PoolStats::of(state, carve);
    let (size, items) = (carve.stride, now.items_per_page);
    let mut text = format!(
        "pool of {size}-byte items, {items} a page: {} of {} pages, {} growing, {} items out, {} idle",
        now.pages, now.hard_limit, now.growing, now.out, now.idle
    );
    if now.closed {
        text.push_str(", closed");
    }
    let why = if now.growing > 0 {
        "for a put or a page that the back-end owes"
    } else if now.pages >= now.hard_limit {
        "for a put: the hard limit allows no more pages"
    } else {
        "for a put"
    };
    let mut lines = Vec::new();
    state.queue.each(|thread, since| lines.push(format!("{} waits {why}", person(thread, since))));
    for grow in state.grows.iter() {
        match &grow.asleep {
            Some(asleep) => {
                let claim = match grow.released {
                    0 => String::new(),
                    1 => ", a page was released for it".to_owned(),
                    pages => format!(", {pages} pages were released for it"),
                };
                let who = person(&asleep.thread, asleep.since);
                lines.push(format!("{who} is asleep inside the back-end{claim}"));
            }
            None => lines.push(format!("{:?} is pending at the back-end", grow.id)),
        }
    }
    for line in lines {
        text.push_str(
            "
  ",
        );
        text.push_str(&line);
    }
    text
}

fn person(thread: &Thread, since: Instant) -> String {
    let name = thread.name().map_or_else(|| format!("{:?}", thread.id()), |name| format!("thread {name:?}"));
    format!("{name}, since {} ms,", since.elapsed().as_millis())
}
