//! Where a fork has its level-1 table from: an idea at work.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use anyhow::Result;
use kva::sync::Mutex;
use kva::{Arena, Span};
use pool::{Backend, GetError, RawPool};

use super::idea::Idea;
use super::memory::TABLE;
use super::pager::{Pager, Ticking};

/// Why a fork has no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTable {
    /// EAGAIN: its deadline passed.
    Again,
    /// The run is over.
    Over,
}

/// Gives out level-1 tables.
pub(crate) trait Tables: Send + Sync {
    /// A table; `root`: for one that must not fail.
    fn get(&self, root: bool) -> Result<NonNull<u8>, NoTable>;
    /// Takes it back, from the same thread.
    fn put(&self, table: NonNull<u8>);
    /// How many it keeps that nobody uses.
    fn idle(&self) -> u64;
    /// Ends all waits.
    fn close(&self);
}

/// What there is to be said of pools.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most tables at once.
    pub(crate) hard: u32,
    /// The most that are kept for later.
    pub(crate) low: u32,
    /// How long a fork waits before it fails.
    pub(crate) deadline: Duration,
}

/// The tables of `idea`; forks that have no deadline wait until `end`.
pub(crate) fn of(idea: Idea, pager: Pager, limits: Limits, end: Instant) -> Result<Box<dyn Tables>> {
    let pager = Pager { asks_for_more: idea >= Idea::More, ..pager };
    let arena = pager.arena.clone();
    Ok(match idea {
        Idea::Wait | Idea::More => Box::new(Private { pager, stash: None, end }),
        Idea::Stash => Box::new(Private { pager, stash: Some(Mutex::default()), end }),
        Idea::Pool => Box::new(Pooled::new(Ticking::start(pager)?, limits)?),
        Idea::Window | Idea::Shape | Idea::Move => Box::new(Pooled::new(arena, limits)?),
    })
}

/// What is taken from the pager, and given back to it or kept for ever.
struct Private {
    pager: Pager,
    stash: Option<Mutex<Vec<Span>>>,
    end: Instant,
}

impl Private {
    fn arena(&self) -> &Arena {
        &self.pager.arena
    }
}

impl Tables for Private {
    fn get(&self, _: bool) -> Result<NonNull<u8>, NoTable> {
        let kept = || self.stash.as_ref().and_then(|stash| stash.lock().pop());
        let span = self.pager.table(kept, self.end).ok().flatten().ok_or(NoTable::Over)?;
        Ok(self.arena().ptr(span).expect("the arena has memory"))
    }

    fn put(&self, table: NonNull<u8>) {
        // SAFETY: it is one of ours, which its fork has no more use for.
        let span = unsafe { self.arena().span_at(table) }.expect("it was got");
        match &self.stash {
            Some(stash) => stash.lock().push(span),
            None => self.arena().free(span).expect("it was got"),
        }
    }

    fn idle(&self) -> u64 {
        self.stash.as_ref().map_or(0, |stash| stash.lock().len() as u64)
    }

    fn close(&self) {}
}

impl Drop for Private {
    fn drop(&mut self) {
        let stash = self.stash.take().map(|stash| std::mem::take(&mut *stash.lock()));
        for span in stash.into_iter().flatten() {
            self.arena().free(span).expect("it was kept");
        }
    }
}

/// A pool of tables, a table a page.
struct Pooled<B: Backend> {
    pool: RawPool<B>,
    limits: Limits,
    low: Mutex<u32>,
}

impl<B: Backend> Pooled<B> {
    fn new(backend: B, limits: Limits) -> Result<Self> {
        let table = Layout::from_size_align(TABLE, TABLE)?;
        let pool = RawPool::builder(table, limits.hard)
            .critical_reserve(1)
            .low_water(0)
            .high_water(0)
            .name("level-1 tables")
            .build(backend)?;
        Ok(Self { pool, limits, low: Mutex::new(0) })
    }

    /// Low water is the most that were ever used at once, up to the bound.
    fn raise_low_water(&self) {
        let most = u32::try_from(self.pool.stats().most_out).unwrap_or(u32::MAX).min(self.limits.low);
        let low = &mut *self.low.lock();
        if *low < most {
            *low = most;
            self.pool.set_water(most, most).expect("low is not above high");
        }
    }
}

impl<B: Backend> Tables for Pooled<B> {
    fn get(&self, root: bool) -> Result<NonNull<u8>, NoTable> {
        let request = self.pool.request().timeout(self.limits.deadline);
        let request = if root { request.critical() } else { request };
        let table = request.get().map_err(|error| match error {
            GetError::TimedOut(_) => NoTable::Again,
            // It was closed, or what it gets its pages from.
            _ => NoTable::Over,
        })?;
        self.raise_low_water();
        Ok(table)
    }

    fn put(&self, table: NonNull<u8>) {
        // SAFETY: its fork has no more use for it, and puts it once.
        unsafe { self.pool.put(table) }.expect("it was got");
    }

    fn idle(&self) -> u64 {
        self.pool.stats().idle as u64
    }

    fn close(&self) {
        self.pool.close();
    }
}
