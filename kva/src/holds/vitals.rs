//! What a pool or an arena says of itself.

use arrayvec::ArrayVec;

use super::Client;

/// So many waiting clients are listed. A pool with more of them counts as one that can go on.
pub const MOST_LISTED: usize = 32;

/// What a pool or an arena says of itself, of one moment under its lock. In items or quanta.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// Whether nothing is under way: nobody was told to look, and nothing comes but by a put or from
    /// the arena below it.
    pub settled: bool,
    /// How much is out.
    pub out: u64,
    /// How much is free, of no use to who waits now.
    pub free: u64,
    /// How many wait.
    pub waiting: usize,
    /// The clients among those who wait, asleep and without a deadline; `None`: they are not listed,
    /// and nobody stops waiting otherwise than with what it waited for.
    pub listed: Option<ArrayVec<Client, MOST_LISTED>>,
    /// Pending requests to the arena below, and those of them that wait there as tokens.
    pub growing: usize,
    pub tokens: usize,
    /// How many quanta it holds of the arena below, unless it may give some back without a put.
    pub holds_below: Option<u64>,
    /// How many may be asked to give back what they can spare.
    pub reclaimers: usize,
}

/// A pool or an arena. Asked with no lock held.
pub trait Resource: Send + Sync {
    /// How it is now.
    fn vitals(&self) -> Vitals;
}
