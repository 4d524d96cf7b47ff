//! What an arena says of itself.

use crate::requests::Requests;
use crate::space::Space;

/// A snapshot of an [`Arena`](crate::Arena).
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # let mut spans = Vec::new();
/// use kva::{Arena, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(8), 1)?;
/// for _ in 0..8 {
///     spans.push(arena.try_alloc(Shape::new(1)?)?);
/// }
/// for span in spans.into_iter().filter(|span| span.start() % 2 == 0) {
///     arena.free(span)?;
/// }
/// let stats = arena.stats();
/// assert_eq!((stats.free, stats.free_runs, stats.largest[0]), (4, 4, 1));
/// assert_eq!(stats.fragmentation(), 0.75); // 3 of the 4 are not in the largest run
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArenaStats {
    /// Size in quanta.
    pub quanta: u32,
    /// Length of a quantum in bytes; 1 in an arena of numbers, which has no memory.
    pub quantum: usize,
    /// Quanta whose memory is accessible, in spans or not. Of borrowed memory, all. How much of it the
    /// kernel has given pages to, it alone knows: unless
    /// [populated](crate::Reserve::populate), what was never touched costs nothing.
    pub committed: u32,
    /// Those of them that are in no span, free or withheld.
    pub committed_unused: u32,
    /// Free quanta that anybody may have.
    pub free: u32,
    /// How many runs the free quanta are in.
    pub free_runs: u32,
    /// `largest[k]` is the longest free run, in quanta, that starts at a multiple of
    /// 2^k quanta. As long as there is any such run in an empty arena.
    pub largest: Vec<u32>,
    /// Requests that wait, asleep or as tokens.
    pub waiting: usize,
    /// Quanta that are free and withheld, for the request that has waited longest.
    pub withheld: u32,
    /// How many spans were granted past the request that was overtaken most often, of those that
    /// have ended.
    pub most_overtaken: u64,
}

impl ArenaStats {
    /// But for what is committed, which the arena knows.
    pub(crate) fn of(space: &mut Space, requests: &Requests) -> Self {
        let bits = space.size().ilog2();
        Self {
            quanta: space.size(),
            quantum: 0,
            committed: 0,
            committed_unused: 0,
            free: space.free(),
            free_runs: space.runs().count() as u32,
            largest: (0..=bits).map(|k| space.largest(1 << k)).collect(),
            waiting: requests.waiting(),
            withheld: space.withheld(),
            most_overtaken: requests.most_overtaken(),
        }
    }

    /// Bytes of memory that is [committed](Self::committed): what the arena holds of the system.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// use kva::{Arena, Region, Reserve, Shape};
    ///
    /// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let span = arena.try_alloc(Shape::new(3)?)?;
    /// let stats = arena.stats();
    /// assert_eq!((stats.committed_bytes(), stats.unused_bytes()), (3 * 4096, 0));
    /// arena.free(span)?; // and kept, unless `Decommit` says otherwise
    /// assert_eq!(arena.stats().unused_bytes(), 3 * 4096);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn committed_bytes(&self) -> usize {
        self.committed as usize * self.quantum
    }

    /// Bytes of it that nobody uses: in no span.
    #[must_use]
    pub const fn unused_bytes(&self) -> usize {
        self.committed_unused as usize * self.quantum
    }

    /// How much of what is free cannot be had in one piece: 0.0 where all of it is one
    /// run, towards 1.0 the more it is scattered. 0.0 where nothing is free.
    #[must_use]
    pub fn fragmentation(&self) -> f64 {
        if self.free == 0 {
            return 0.0;
        }
        1.0 - f64::from(self.largest[0]) / f64::from(self.free)
    }
}
