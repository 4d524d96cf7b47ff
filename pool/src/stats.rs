//! What a pool says of itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Instant;

use kva::sync::thread::Thread;

use crate::backend::Backend;
use crate::core::Core;
use crate::error::GetError;
use crate::state::State;
use crate::waiter::Class;
use crate::waits::WaitStats;

/// Counts of what happened, under the pool's lock.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) gets: u64,
    pub(crate) puts: u64,
    pub(crate) grows: u64,
    pub(crate) refused: u64,
    pub(crate) withdrawn: u64,
    pub(crate) released: u64,
    pub(crate) yielded: u64,
    pub(crate) released_to_heirs: u64,
    pub(crate) below_low: u64,
    pub(crate) stolen: u64,
    pub(crate) leaked: u64,
    pub(crate) invalid: u64,
    pub(crate) most_out: usize,
    pub(crate) most_pages: u32,
    pub(crate) failures: Failures,
}

/// Gets that failed, by cause.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// # use pool::Pool;
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(1, || [0_u8; 4096]).build(arena)?;
/// let item = pool.get()?;
/// assert!(pool.try_get().is_err());
/// let failures = pool.stats().failures;
/// assert_eq!((failures.exhausted, failures.total()), (1, 1));
/// # drop(item);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Failures {
    /// Would not wait, and the hard limit allowed no more.
    pub exhausted: u64,
    /// Would not wait, and the back-end had no page.
    pub scarce: u64,
    /// Waited until their time was up.
    pub timed_out: u64,
    /// The pool was closed.
    pub closed: u64,
    /// The back-end refused a page, or dropped the request for it.
    pub backend: u64,
    /// The constructor failed or panicked.
    pub construct: u64,
    /// More items were asked for than there can be, or can be listed.
    pub too_many: u64,
    /// A future was dropped while it waited.
    pub cancelled: u64,
}

impl Failures {
    pub(crate) fn count<E>(&mut self, error: &GetError<E>) {
        *match error {
            GetError::Closed => &mut self.closed,
            GetError::TimedOut(_) => &mut self.timed_out,
            GetError::Backend(_) | GetError::Abandoned => &mut self.backend,
            #[cfg(feature = "hardening")]
            GetError::Guard(_) => &mut self.backend,
            GetError::TooMany { .. } | GetError::NoMemory(_) => &mut self.too_many,
            GetError::Construct(_) => &mut self.construct,
        } += 1;
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let Self { exhausted, scarce, timed_out, closed, backend, construct, too_many, cancelled } = *self;
        exhausted + scarce + timed_out + closed + backend + construct + too_many + cancelled
    }
}

/// A snapshot of a pool, taken under its lock: its figures fit together. Pages and items
/// are counts; what they are in bytes, methods say.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// # use pool::Pool;
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(4, || [0_u8; 4096]).low_water(1).build(arena)?;
/// let item = pool.get()?;
/// let stats = pool.stats();
/// assert_eq!((stats.pages, stats.out, stats.idle, stats.live), (1, 1, 0, 1));
/// # drop(item);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// The pool's name, if it was given one.
    pub name: Option<String>,
    /// From one item to the next, in bytes.
    pub item_size: usize,
    /// Pages held.
    pub pages: u32,
    /// Pages pending: asked for, or being brought by one who does not wait, or offered to
    /// another client of the back-end.
    pub growing: u32,
    /// The hard limit: the most pages held or pending.
    pub hard_limit: u32,
    /// Pages never given up when idle.
    pub low_water: u32,
    /// Pages kept when idle, at most the hard limit.
    pub high_water: u32,
    /// Items that only critical getters may take.
    pub critical_reserve: u32,
    /// Items a page.
    pub items_per_page: u32,
    /// Length of a page in bytes. Of a factory, of the place of an object: what that owns elsewhere,
    /// nobody knows here.
    pub page_size: usize,
    /// Free items.
    pub idle: usize,
    /// Those of them in threads' caches and in the depot. Threads get and put there without the lock,
    /// so that each may be one get or put ahead of this.
    pub cached: usize,
    /// How often all that was cached was taken back, since somebody was about to wait or to fail, or
    /// idle pages were to be given up.
    pub sweeps: u64,
    /// Items out, those in reservations and those leaked included.
    pub out: usize,
    /// Objects in existence: those that are out, and those kept constructed. In a
    /// [`RawPool`](crate::RawPool), items out.
    pub live: usize,
    /// Getters that wait: in the pool, or asleep inside its back-end.
    pub waiting: usize,
    /// Those of them that are asleep inside the back-end, out of reach of a put.
    pub asleep_in_backend: usize,
    /// Items ever handed out, those that were cancelled in the last moment included.
    pub gets: u64,
    /// Items ever taken back.
    pub puts: u64,
    /// Items that were leaked on purpose.
    pub leaked: u64,
    /// Objects that were destroyed because they were not good any more when they were to be got
    /// again, or because their validation panicked or was cancelled.
    pub invalid: u64,
    /// Pages ever asked for.
    pub grows: u64,
    /// Grows that ended with an error.
    pub refused: u64,
    /// Grows that were withdrawn, or given up where a factory had begun, because nobody needed
    /// them any more; and creations whose panic their getter has.
    pub withdrawn: u64,
    /// Pages ever given up.
    pub released: u64,
    /// Pages given to an older request of another client of the back-end.
    pub yielded: u64,
    /// Pages released for a getter asleep inside the back-end, whom no put reaches (option 3). Those
    /// that came back, because that getter had just left, are among them.
    pub released_to_heirs: u64,
    /// Those of them that were released although the pool was at or below low water: the getter's
    /// grow brings the page back.
    pub released_below_low: u64,
    /// Those of them that did not reach their getter: it came back with another page, or
    /// with none. Where the back-end [hands pages to their heir](crate::Backend::CLAIMS), only if the
    /// allocator failed before it asked for what was kept; a page whose getter has just left comes back to
    /// the pool.
    pub stolen: u64,
    /// The most items ever out or cached at once.
    pub most_out: usize,
    /// The most pages ever held at once.
    pub most_pages: u32,
    /// The most that any waiter was overtaken by later arrivals.
    pub most_overtaken: u64,
    /// Gets that failed, by cause.
    pub failures: Failures,
    /// How long those waited who found no item at once.
    pub waits: WaitStats,
    /// Whether the pool is closed.
    pub closed: bool,
}

/// Bytes. Of the pages only: not the pool's tables, nor what objects own elsewhere.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::Pool;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// // Five of 700 bytes to a page of 4096.
/// let pool = Pool::builder(2, || [0_u8; 700]).items_per_page(5).build_primed(arena)?;
/// let item = pool.get()?;
/// let stats = pool.stats();
/// assert_eq!((stats.held_bytes(), stats.unused_bytes()), (2 * 4096, 2 * 4096 - 700));
/// assert_eq!((stats.idle_bytes(), stats.wasted_bytes()), (9 * 700, 2 * (4096 - 5 * 700)));
/// # drop(item);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
impl PoolStats {
    /// All pages held.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.pages as usize * self.page_size
    }

    /// What of them nobody uses: all but the items that are out. Idle items, cached ones included,
    /// what is left over where pages were carved into items, and pages on their way back.
    #[must_use]
    pub const fn unused_bytes(&self) -> usize {
        self.held_bytes() - self.out * self.item_size
    }

    /// Idle items, cached ones included.
    #[must_use]
    pub const fn idle_bytes(&self) -> usize {
        self.idle * self.item_size
    }

    /// What carving left over of the pages held: no item ever has it.
    #[must_use]
    pub const fn wasted_bytes(&self) -> usize {
        self.pages as usize * (self.page_size - self.items_per_page as usize * self.item_size)
    }

    pub(crate) fn of<B: Backend>(core: &Core<B>, state: &State<B>) -> Self {
        let State { ledger, pages, counts, .. } = state;
        let (gets, puts, cached) = state.depot.counts();
        // While threads are at it, more may seem to be cached than is there.
        let cached = cached.min(pages.out_items());
        let out = pages.out_items() - cached;
        Self {
            // The caller's lock is held: the name is filled in after it.
            name: None,
            item_size: core.carve.stride,
            pages: ledger.pages(),
            growing: ledger.growing(),
            hard_limit: ledger.limit(),
            low_water: ledger.low(),
            high_water: ledger.high().min(ledger.limit()),
            critical_reserve: state.reserve() as u32,
            items_per_page: core.carve.items,
            page_size: core.carve.page.size(),
            idle: pages.free_items() + cached,
            cached,
            out,
            live: if core.keeps_objects() { pages.out_items() + pages.constructed() } else { out },
            sweeps: state.depot.sweeps(),
            waiting: state.waiting(),
            asleep_in_backend: state.grows.asleep(),
            gets: counts.gets + gets,
            puts: counts.puts + puts,
            leaked: counts.leaked,
            invalid: counts.invalid,
            grows: counts.grows,
            refused: counts.refused,
            withdrawn: counts.withdrawn,
            released: counts.released,
            yielded: counts.yielded,
            released_to_heirs: counts.released_to_heirs,
            released_below_low: counts.below_low,
            stolen: counts.stolen,
            most_out: counts.most_out,
            most_pages: counts.most_pages,
            most_overtaken: state.queue.most_overtaken(),
            failures: counts.failures,
            waits: state.waits.summary(),
            closed: state.closed,
        }
    }
}

/// Says who waits for what and why, and where what is out was got, for people.
pub(crate) fn describe<B: Backend>(core: &Core<B>) -> String {
    let state = core.lock();
    let now = PoolStats::of(core, &state);
    let (size, items) = (now.item_size, now.items_per_page);
    let name = core.name.as_deref().map_or_else(String::new, |name| format!(" {name:?}"));
    let mut text = format!(
        "pool{name} of {size}-byte items, {items} a page: {} of {} pages, {} growing, {} items out, {} idle",
        now.pages, now.hard_limit, now.growing, now.out, now.idle
    );
    let _ = write!(text, "; {} bytes held, {} unused", now.held_bytes(), now.unused_bytes());
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
    let mut line = |line: String| {
        text.push_str("\n  ");
        text.push_str(&line);
    };
    if now.released_to_heirs > 0 {
        let (all, low, stolen) = (now.released_to_heirs, now.released_below_low, now.stolen);
        line(format!(
            "pages released for getters asleep inside the back-end: {all}, at low water or below {low}, stolen {stolen}"
        ));
    }
    state.queue.each(|thread, since, want| {
        let who = person(thread, since);
        let critical = if want.class == Class::Critical { ", critical" } else { "" };
        let several = if want.items > 1 { format!(", for {} items", want.items) } else { String::new() };
        line(format!("{who} waits {why}{several}{critical}"));
    });
    for grow in state.grows.iter() {
        match &grow.asleep {
            Some(asleep) => {
                let claim = match grow.released {
                    0 => String::new(),
                    1 => ", a page was released for it".to_owned(),
                    pages => format!(", {pages} pages were released for it"),
                };
                let who = person(&asleep.thread, asleep.since);
                line(format!("{who} is asleep inside the back-end{claim}"));
            }
            None if grow.surplus => line(format!("{:?} goes on, though nobody needs it", grow.id)),
            None => line(format!("{:?} is pending at the back-end", grow.id)),
        }
    }
    drop(state);
    text.push_str(&outstanding(core));
    text
}

/// A line for each place in the source that got items which are out, where that is known.
pub(crate) fn outstanding<B: Backend>(core: &Core<B>) -> String {
    let mut places = BTreeMap::new();
    core.index.each_out(|caller| *places.entry(caller).or_insert(0_usize) += 1);
    let mut text = String::new();
    for (caller, items) in places {
        let _ = write!(text, "\n  {items} out, got at {caller}");
    }
    text
}

fn person(thread: &Thread, since: Instant) -> String {
    let name = thread.name().map_or_else(|| format!("{:?}", thread.id()), |name| format!("thread {name:?}"));
    format!("{name}, since {} ms,", since.elapsed().as_millis())
}
