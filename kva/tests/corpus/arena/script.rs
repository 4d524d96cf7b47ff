//! What bytes mean: an arena, and operations on it. Any bytes mean something.

use arbitrary::{Arbitrary, Unstructured};
use kva::{Fit, Placement, Shape};

use super::naive::Wish;

/// Enough for whatever depends on what was before, and few enough to be minimised.
const MOST_OPS: usize = 400;

/// How an arena is made.
#[derive(Debug, Arbitrary, Clone, Copy)]
pub(super) struct Setup {
    pub(super) quanta: u8,
    pub(super) bypass: u8,
    pub(super) memory: Memory,
    /// Of two clients; 0: no quota.
    pub(super) quotas: [u8; 2],
    /// Whether the first client moves its spans.
    pub(super) moves: bool,
    /// Whether what is woken is polled at once.
    pub(super) is_eager: bool,
}

/// What is behind it.
#[derive(Debug, Arbitrary, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Numbers,
    Borrowed,
    /// Reserved, and given back to the kernel or not.
    Reserved(Back),
}

#[derive(Debug, Arbitrary, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    Never,
    Advised,
    Protected,
}

/// A placement in small numbers.
#[derive(Debug, Arbitrary, Clone, Copy)]
pub(super) struct Wanted {
    len: u8,
    /// Two bits of alignment, more of the rest: most requests are plain.
    more: u8,
    room: [u8; 2],
}

/// What a hook does with what it has stashed.
#[derive(Debug, Arbitrary, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Nothing,
    All,
    One,
    OfUse,
    /// Moves the window, and then gives what is of use.
    Aims(u8),
}

#[derive(Debug, Arbitrary)]
pub(super) enum Op {
    Try(u8, Wanted),
    TryAt(u8, u8, u8),
    Now(u8, Wanted),
    Begin(u8, Wanted),
    Poll(u8),
    PollWoken,
    Leave(u8),
    Reserve(u8, Wanted),
    Ask(u8),
    Withdraw(u8),
    Free(u8),
    FreeTo(u8, u8),
    Yield(u8, u8),
    FreeAgain(u8),
    FreeElsewhere(u8),
    Stash(u8),
    Hook(Gives),
    Mover(u8),
    Reap,
    AddRegion(u8),
    Close,
}

/// An arena, and what is done to it.
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

impl Wanted {
    /// In an arena of so many quanta: most that it means can be had there.
    pub(super) fn wish(self, quanta: u32) -> Wish {
        // Not so long that a window is aimed by strides.
        let len = 1 + u32::from(self.len) % 12;
        let more = u32::from(self.more);
        let placement = Placement::from(Shape::aligned(len, 1 << (more & 3)).expect("a good shape"));
        let mut wish = Wish { placement, phase: 0, nocross: 0, room: (0, u32::MAX) };
        if more & 4 == 0 {
            return wish;
        }
        wish.phase = (more >> 3) % placement.shape().align();
        wish.placement = placement.phase(wish.phase).expect("less than the alignment");
        if more & 32 != 0 {
            wish.nocross = len.next_power_of_two();
            wish.placement = wish.placement.nocross(wish.nocross).expect("no less than the length");
        }
        let [a, b] = self.room.map(|end| u32::from(end) % (quanta + 1));
        if let Ok(within) = wish.placement.within(a.min(b)..a.max(b)) {
            (wish.placement, wish.room) = (within, (a.min(b), a.max(b)));
        }
        wish.placement = wish.placement.fit(if more & 64 == 0 { Fit::Instant } else { Fit::Best });
        wish
    }
}
