//! A naive pool whose threads have caches. Its owners pass by the [`Bias`] of production, and are
//! shut out as there; each flaw is one thing that is omitted around that.

use std::cell::RefCell;
use std::mem;
use std::task::{Poll, Waker};

use kva::bias::{Bias, Owner};
use kva::sync::thread::yield_now;
use kva::sync::{Arc, Mutex, MutexGuard, UnsafeCell, Weak, block_on_until, thread_value};

use super::{CALM, Caching};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A getter that finds nothing sleeps, whatever is in caches, as in the slab allocators.
    SweepsNothing,
    /// It takes what is in a cache whose owner is inside.
    SweepsPastTheBusy,
    /// It takes what is in caches, and not what is in the depot.
    SweepsNoDepot,
    /// A try looks into the caller's cache, and into no other.
    TriesWithoutSweeping,
    /// One that finds that another sweeps does not wait for that.
    TriesBesideSweep,
    /// A thread ends, and so does what is in its cache.
    ForgetsTheDead,
    /// Caches come back while somebody waits.
    RestoresBesideWaiters,
    /// A close gives up what is idle, and nothing that is in caches.
    ClosesUnswept,
}

/// How much there is room for in a cache.
const ROOM: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Caching,
    Sweeping,
    Scarce,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    sweeps: u32,
    calm: usize,
    free: usize,
    depot: usize,
    /// What each wants.
    waiters: Vec<(usize, Waker)>,
    caches: Vec<Arc<Cache>>,
    closed: bool,
    gone: usize,
}

#[derive(Debug, Default)]
struct Cache {
    owner: Owner,
    items: Items,
}

#[derive(Debug)]
struct Items(UnsafeCell<usize>);

impl Default for Items {
    fn default() -> Self {
        Self(UnsafeCell::new(0))
    }
}

// SAFETY: it is a number, and loom fails before two are at it at a time.
unsafe impl Send for Items {}
// SAFETY: as above.
unsafe impl Sync for Items {}

impl Items {
    fn with<R>(&self, f: impl FnOnce(&mut usize) -> R) -> R {
        // SAFETY: as above.
        self.0.with_mut(|items| f(unsafe { &mut *items }))
    }
}

/// The same with a flaw: items are counted, and that is all.
#[derive(Debug)]
pub struct Flawed {
    flaw: Flaw,
    this: Weak<Self>,
    items: usize,
    bias: Bias,
    state: Mutex<State>,
}

/// A thread's right to its cache.
struct Owned {
    pool: Weak<Flawed>,
    cache: Arc<Cache>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.retire(&self.cache);
        }
    }
}

// There is one pool in a world.
thread_value! {
    static OWNED: RefCell<Option<Owned>> = RefCell::new(None);
}

impl Flawed {
    /// With so many items.
    #[must_use]
    pub fn new(flaw: Flaw, items: usize) -> Arc<Self> {
        let state = State {
            phase: Phase::Caching,
            sweeps: 0,
            calm: 0,
            free: items,
            depot: 0,
            waiters: Vec::new(),
            caches: Vec::new(),
            closed: false,
            gone: 0,
        };
        let (bias, state) = (Bias::new(), Mutex::new(state));
        Arc::new_cyclic(|this| Self { flaw, this: this.clone(), items, bias, state })
    }

    /// Calls `f` with what is in the thread's cache, if it may use that.
    fn with_cache<R>(&self, f: impl FnOnce(&mut usize) -> Option<R>) -> Option<R> {
        let with = |owned: &RefCell<Option<Owned>>| {
            let mut owned = owned.borrow_mut();
            let cache = &owned.get_or_insert_with(|| self.register()).cache;
            let _inside = cache.owner.enter(&self.bias)?;
            cache.items.with(f)
        };
        OWNED.try_with(with).ok().flatten()
    }

    fn register(&self) -> Owned {
        let cache = Arc::new(Cache::default());
        self.state.lock().caches.push(cache.clone());
        Owned { pool: self.this.clone(), cache }
    }

    fn retire(&self, cache: &Arc<Cache>) {
        let mut state = self.state.lock();
        state.caches.retain(|other| !Arc::ptr_eq(other, cache));
        if self.flaw != Flaw::ForgetsTheDead {
            let items = cache.items.with(mem::take);
            Self::put_back(state, items);
        }
    }

    /// Puts back what was in caches, and wakes all for whom there is enough.
    fn put_back(mut state: MutexGuard<'_, State>, items: usize) {
        if state.closed {
            state.gone += items;
        } else {
            state.free += items;
        }
        let free = state.free;
        let woken: Vec<_> = state.waiters.extract_if(.., |(items, _)| *items <= free).collect();
        drop(state);
        for (_, waker) in woken {
            waker.wake();
        }
    }

    fn note_calm(&self, state: &mut State) {
        let is_calm = state.phase == Phase::Scarce && state.waiters.is_empty() && !state.closed;
        let restores = self.flaw == Flaw::RestoresBesideWaiters && state.phase != Phase::Caching;
        if is_calm || restores {
            state.calm += 1;
            if state.calm == CALM {
                state.phase = Phase::Caching;
                self.bias.restore();
            }
        }
    }

    fn take(&self, state: &mut State, items: usize) -> bool {
        let takes = state.free >= items;
        if takes {
            state.free -= items;
            if items == 1 {
                self.note_calm(state);
            }
        }
        takes
    }

    fn sweep(&self) {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Scarce => return,
            Phase::Sweeping => {}
            Phase::Caching => {
                state.phase = Phase::Sweeping;
                state.sweeps += 1;
                self.bias.revoke();
            }
        }
        let nth = state.sweeps;
        drop(state);
        self.bias.barrier();
        while !self.swept(nth) {
            yield_now();
        }
    }

    fn swept(&self, nth: u32) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Sweeping || state.sweeps != nth {
            return true;
        }
        let (mut all, mut items) = (true, 0);
        if self.flaw != Flaw::SweepsNoDepot {
            items += mem::take(&mut state.depot);
        }
        for cache in &state.caches {
            if cache.owner.is_inside() && self.flaw != Flaw::SweepsPastTheBusy {
                all = false;
            } else {
                items += cache.items.with(mem::take);
            }
        }
        if all {
            (state.phase, state.calm) = (Phase::Scarce, 0);
        }
        Self::put_back(state, items);
        all
    }

    fn take_or_queue(&self, waker: &Waker, items: usize) -> Poll<()> {
        let mut state = self.state.lock();
        state.waiters.retain(|(_, other)| !other.will_wake(waker));
        if self.take(&mut state, items) {
            return Poll::Ready(());
        }
        if self.flaw != Flaw::RestoresBesideWaiters {
            state.calm = 0;
        }
        state.waiters.push((items, waker.clone()));
        Poll::Pending
    }

    fn poll(&self, waker: &Waker, items: usize) -> Poll<()> {
        let first = self.take_or_queue(waker, items);
        if first.is_ready() || self.flaw == Flaw::SweepsNothing {
            return first;
        }
        self.sweep();
        self.take_or_queue(waker, items)
    }
}

fn take_one(items: &mut usize) -> Option<()> {
    *items = items.checked_sub(1)?;
    Some(())
}

impl Caching for Arc<Flawed> {
    type Item = ();

    fn get(&self) {
        if self.with_cache(take_one).is_none() {
            block_on_until(None, |waker| self.poll(waker, 1)).expect("no deadline");
        }
    }

    fn get_many(&self, items: usize) -> Vec<()> {
        let own = self.with_cache(|items| Some(mem::take(items)));
        Flawed::put_back(self.state.lock(), own.unwrap_or_default());
        block_on_until(None, |waker| self.poll(waker, items)).expect("no deadline");
        vec![(); items]
    }

    fn try_get(&self) -> Option<()> {
        if self.with_cache(take_one).is_some() || self.take(&mut self.state.lock(), 1) {
            return Some(());
        }
        let sweeps = match self.flaw {
            Flaw::TriesWithoutSweeping => false,
            Flaw::TriesBesideSweep => self.state.lock().phase == Phase::Caching,
            _ => true,
        };
        if sweeps {
            self.sweep();
        }
        self.take(&mut self.state.lock(), 1).then_some(())
    }

    fn put(&self, (): ()) {
        let cached = self.with_cache(|items| {
            let has_room = *items < ROOM;
            *items += usize::from(has_room);
            has_room.then_some(())
        });
        if cached.is_some() {
            return;
        }
        let mut state = self.state.lock();
        if state.phase == Phase::Caching {
            state.depot += 1;
        } else {
            self.note_calm(&mut state);
            Flawed::put_back(state, 1);
        }
    }

    fn uncached(&self) -> usize {
        self.state.lock().free
    }

    fn drain(&self) {
        self.sweep();
        self.state.lock().calm = 0;
    }

    fn close(&self) {
        self.state.lock().closed = true;
        if self.flaw != Flaw::ClosesUnswept {
            self.sweep();
        }
        let mut state = self.state.lock();
        state.gone += mem::take(&mut state.free);
    }

    fn assert_at_rest(&self) {
        self.sweep();
        let state = self.state.lock();
        assert_eq!((state.free, state.depot), (self.items, 0), "rest: an item was lost");
    }

    fn assert_all_gone(&self) {
        assert_eq!(self.state.lock().gone, self.items, "rest: an item was lost");
    }
}
