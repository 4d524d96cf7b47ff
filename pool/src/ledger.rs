//! The ledger: how many pages a pool has, has asked for, and may have.
//!
//! Pure arithmetic, no lock, no page. The law is P1:
//!
//! ```text
//! pages + growing <= bound
//! leaving <= pages
//! bound == limit, or limit < bound == the most that was held when the limit was
//!          lowered below it, and what has been given up since is gone for good
//! ```
//!
//! A slot is reserved *before* the pool's lock is dropped to grow, so two getters cannot
//! both see the last one. A limit lowered below what is held cannot take back what is
//! in use: the bound comes down as pages and grows end, and nothing new is begun
//! above the limit meanwhile.
//!
//! A page that is *leaving* is to be given up and counts until it has been: there are objects
//! in it that must be destroyed first, and nobody can say how long that takes.

/// Counts pages and pending grows against the hard limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    pages: u32,
    leaving: u32,
    growing: u32,
    limit: u32,
    bound: u32,
    low: u32,
    high: u32,
}

impl Ledger {
    /// No pages. Wants `low <= high` and `low <= limit`.
    pub(crate) fn new(limit: u32, low: u32, high: u32) -> Self {
        debug_assert!(low <= high && low <= limit);
        Self { pages: 0, leaving: 0, growing: 0, limit, bound: limit, low, high }
    }

    /// Pages held, those that are leaving included.
    pub(crate) const fn pages(&self) -> u32 {
        self.pages
    }

    /// Pages held that are not leaving.
    pub(crate) const fn staying(&self) -> u32 {
        self.pages - self.leaving
    }

    /// Grows pending.
    pub(crate) const fn growing(&self) -> u32 {
        self.growing
    }

    /// The hard limit.
    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    /// Pages never given up when idle: as many as were asked for, and the limit allows.
    pub(crate) fn low(&self) -> u32 {
        self.low.min(self.limit)
    }

    /// Pages kept when idle.
    pub(crate) const fn high(&self) -> u32 {
        self.high
    }

    /// Whether one more grow may begin.
    pub(crate) const fn has_room(&self) -> bool {
        self.pages + self.growing < self.limit
    }

    /// Begins a grow, if there is room.
    #[must_use]
    pub(crate) fn reserve(&mut self) -> bool {
        let room = self.has_room();
        self.growing += u32::from(room);
        room
    }

    /// A grow brought a page.
    pub(crate) fn delivered(&mut self) {
        self.growing -= 1;
        self.pages += 1;
    }

    /// A grow ended without one.
    pub(crate) fn ended(&mut self) {
        self.growing -= 1;
        self.lower_bound();
    }

    /// A page is to be given up.
    pub(crate) fn leaves(&mut self) {
        self.leaving += 1;
    }

    /// A page that was leaving could not be given up.
    pub(crate) fn stays(&mut self) {
        self.leaving -= 1;
    }

    /// A page that was leaving was given up.
    pub(crate) fn released(&mut self) {
        self.leaving -= 1;
        self.pages -= 1;
        self.lower_bound();
    }

    /// Whether more is kept or asked for than the limit, because it was lowered.
    pub(crate) const fn is_over(&self) -> bool {
        self.staying() + self.growing > self.limit
    }

    /// Changes the limit.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
        self.bound = self.bound.max(limit);
        self.lower_bound();
    }

    /// Changes the water marks. Wants `low <= high` and `low <= limit`.
    pub(crate) fn set_water(&mut self, low: u32, high: u32) {
        debug_assert!(low <= high && low <= self.limit);
        self.low = low;
        self.high = high;
    }

    fn lower_bound(&mut self) {
        self.bound = self.limit.max(self.bound.min(self.pages + self.growing));
    }

    /// The law.
    pub(crate) fn check(&self) {
        assert!(self.pages + self.growing <= self.bound, "P1: {self:?}");
        assert!(self.limit <= self.bound, "P1: {self:?}");
        assert!(self.leaving <= self.pages, "{self:?}");
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
