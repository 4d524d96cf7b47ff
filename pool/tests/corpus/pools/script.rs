//! What bytes mean: pools of one arena, and operations on them. Any bytes mean something.

use arbitrary::{Arbitrary, Unstructured};

/// Enough for whatever depends on what was before, and few enough to be minimised.
const MOST_OPS: usize = 400;

/// How a world is made.
#[derive(Debug, Arbitrary, Clone, Copy)]
pub(super) struct Setup {
    pub(super) quanta: u8,
    pub(super) bypass: u8,
    pub(super) pools: u8,
    pub(super) each: [Pooled; 3],
    /// Whether what is woken is polled at once.
    pub(super) is_eager: bool,
}

/// How a pool is made.
#[derive(Debug, Arbitrary, Clone, Copy)]
pub(super) struct Pooled {
    pub(super) is_typed: bool,
    /// 0: it is of nobody in particular.
    pub(super) quota: u8,
    pub(super) size: u8,
    pub(super) per_page: u8,
    pub(super) limit: u8,
    pub(super) water: [u8; 2],
    pub(super) reserve: u8,
    pub(super) bypass: u8,
    pub(super) growing: u8,
    pub(super) rounds: u8,
}

/// What somebody wants of which pool.
#[derive(Debug, Arbitrary, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) pool: u8,
    pub(super) is_critical: bool,
    pub(super) items: u8,
}

/// By which handle.
#[derive(Debug, Arbitrary, Clone, Copy)]
pub(super) enum By {
    Pool,
    Local,
}

#[derive(Debug, Arbitrary, Clone, Copy)]
pub(super) enum Wrong {
    /// Put already, and perhaps given up.
    Twice(u8),
    /// Past the start of an item.
    Within(u8, u8),
    /// Of another pool, or of none.
    Others(u8),
    Address(u16),
}

#[derive(Debug, Arbitrary)]
pub(super) enum Op {
    Try(Wanted),
    /// Of one item, without waiting; of several, until now.
    Now(Wanted),
    Get(By, u8),
    TryReserve(Wanted),
    Begin(Wanted),
    /// Its time is up before it looks.
    BeginLate(Wanted),
    Poll(u8),
    PollWoken,
    Leave(u8),
    Put(By, u8, u8),
    /// Takes one out of a reservation, or destroys an object instead of putting it.
    Use(u8, u8),
    Attach(u8),
    PutWrong(u8, Wrong),
    Limit(u8, u8),
    Water(u8, u8, u8),
    Critical(u8, u8),
    Prime(u8, u8),
    Drain(u8),
    Close(u8),
    /// What others take of the arena.
    Take(u8),
    Free(u8),
    Wait(u8),
    Stop(u8),
}

/// A world, and what is done in it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) setup: Setup,
    pub(super) ops: Vec<Op>,
}

impl Script {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut bytes = Unstructured::new(bytes);
        let setup = bytes.arbitrary().expect("zeroes follow the last byte");
        let ops = std::iter::from_fn(|| if bytes.is_empty() { None } else { bytes.arbitrary().ok() });
        Self { setup, ops: ops.take(MOST_OPS).collect() }
    }
}
