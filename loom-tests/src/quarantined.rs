//! Pools that keep what was put from whoever comes next: that of production, and one as one writes it
//! who thinks of the free list only.

use std::task::Waker;

use kva::Arena;
use kva::sync::{Arc, GlobalMutex, Mutex, block_on};
use pool::{Hardening, PutError, RawPool};

use crate::world::{self, Item, arena, assert_arena_whole, assert_pool_at_rest, get, pages};

/// A pool of two items, one of which is out from the first to the last, and a quarantine of one.
pub trait Quarantined: Send + Sync + 'static {
    /// What it has.
    type Item: Copy + Send + 'static;

    /// Gets the item, waiting for it.
    fn get(&self) -> Self::Item;

    /// Puts it; whether it was out.
    fn put(&self, item: Self::Item) -> bool;

    /// Gives up what nobody needs, if all of it is there.
    fn drain(&self);

    /// Asserts that all is back and nobody waits.
    fn assert_at_rest(&self);
}

/// The one in production.
#[derive(Debug)]
pub struct Production {
    pool: RawPool,
    arena: Arena,
    other: GlobalMutex<Option<Item>>,
}

impl Production {
    /// Nothing is in quarantine.
    ///
    /// # Panics
    /// Never: it is a good pool.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it is not one of many values")]
    pub fn new() -> Self {
        let arena = arena(2, 0);
        // Who puts twice is told so, and no more.
        let harden = Hardening::new().quarantine(1).on_violation(|_| ());
        let builder = pages(1).items_per_page(2).max_growing(1).bypass(0).harden(harden);
        let pool = builder.build(arena.clone()).expect("a good pool");
        let other = get(&pool).expect("an item comes");
        Self { pool, arena, other: GlobalMutex::new(Some(other)) }
    }
}

impl Quarantined for Production {
    type Item = Item;

    fn get(&self) -> Item {
        get(&self.pool).expect("an item comes")
    }

    fn put(&self, item: Item) -> bool {
        match world::try_put(&self.pool, item) {
            Ok(()) => true,
            Err(PutError::DoublePut(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn drain(&self) {
        self.pool.drain();
    }

    fn assert_at_rest(&self) {
        if let Some(other) = self.other.with(Option::take) {
            assert!(self.put(other), "it was out");
        }
        assert_pool_at_rest(&self.pool, 0);
        assert_arena_whole(&self.arena);
    }
}

/// What is wrong with the naive one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Whoever finds nothing free waits, and a drain looks at what is free: both forget the ring.
    ForgetsRing,
    /// A put that finds nobody in line puts it there, whoever has looked into it just now.
    WhileScarce,
    /// A put looks whether its item is out, and marks it later.
    NoClaim,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    ring: usize,
    out: bool,
    scarce: bool,
    waiter: Option<Waker>,
}

impl State {
    fn sweep(&mut self) {
        self.free += std::mem::take(&mut self.ring);
        self.scarce = true;
    }
}

/// The same with a flaw: items are counted, and that is all.
#[derive(Debug)]
pub struct Naive {
    flaw: Flaw,
    state: Mutex<State>,
}

impl Naive {
    /// The item is free.
    #[must_use]
    pub fn new(flaw: Flaw) -> Arc<Self> {
        Arc::new(Self { flaw, state: Mutex::new(State { free: 1, ..State::default() }) })
    }
}

impl Quarantined for Arc<Naive> {
    type Item = ();

    fn get(&self) {
        block_on(|waker, _| {
            let mut state = self.state.lock();
            if state.free == 0 && self.flaw != Flaw::ForgetsRing && !state.scarce {
                state.sweep();
                // As in production, it looks again after the lock was free.
                drop(state);
                state = self.state.lock();
            }
            if state.free > 0 {
                state.free -= 1;
                state.out = true;
                return std::ops::ControlFlow::Break(());
            }
            state.waiter = Some(waker.clone());
            std::ops::ControlFlow::Continue(None)
        });
    }

    fn put(&self, (): ()) -> bool {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.out) {
            return false;
        }
        if self.flaw == Flaw::NoClaim {
            // It fills the item, unlocked, and only then says that it is put.
            state.out = true;
            drop(state);
            state = self.state.lock();
            state.out = false;
        }
        let waiter = state.waiter.take();
        let spare = waiter.is_none() && (!state.scarce || self.flaw == Flaw::WhileScarce);
        if spare {
            state.ring += 1;
        } else {
            state.free += 1;
        }
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        true
    }

    fn drain(&self) {
        let mut state = self.state.lock();
        if self.flaw != Flaw::ForgetsRing {
            state.sweep();
        }
    }

    fn assert_at_rest(&self) {
        self.drain();
        let state = self.state.lock();
        assert_eq!((state.free, state.ring), (1, 0), "rest: an item was lost or kept");
        assert!(state.waiter.is_none());
    }
}
