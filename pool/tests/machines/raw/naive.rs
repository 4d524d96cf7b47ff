//! What a pool of memory has to do, from who has what and who waits for what.

/// A getter, as the model knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Getter {
    pub(super) number: usize,
    pub(super) items: usize,
    pub(super) critical: bool,
    /// How many that came later have had something since.
    pub(super) overtaken: u32,
}

/// What there is. None of it is what the pool says of itself, but for `growing` and who was granted what
/// without having been told yet.
#[derive(Debug)]
pub(super) struct Naive {
    pub(super) per_page: usize,
    pub(super) limit: u32,
    pub(super) low: u32,
    pub(super) high: u32,
    pub(super) reserve: usize,
    pub(super) closed: bool,
    /// Pages held, and quanta that are free: as the arena has it.
    pub(super) pages: u32,
    pub(super) quanta_free: u32,
    /// Items that are out, with those that were granted.
    pub(super) out: usize,
}

impl Naive {
    pub(super) fn free(&self) -> usize {
        self.pages as usize * self.per_page - self.out
    }

    fn capacity(&self) -> usize {
        self.limit as usize * self.per_page
    }

    pub(super) fn reserve(&self) -> usize {
        self.reserve.min(self.capacity() - 1)
    }

    /// What one of this class leaves to others.
    fn leaves(&self, critical: bool) -> usize {
        if critical { 0 } else { self.reserve() }
    }

    /// The most that a getter of this class may have at once.
    pub(super) fn most(&self, critical: bool) -> usize {
        self.capacity() - self.leaves(critical)
    }

    /// What a getter of this class could have now, of what is free.
    pub(super) fn supply(&self, critical: bool) -> usize {
        self.free().saturating_sub(self.leaves(critical))
    }

    /// Pages that could be had now.
    pub(super) fn to_be_had(&self) -> u32 {
        self.limit.saturating_sub(self.pages).min(self.quanta_free)
    }

    /// Whether one who does not wait can have so much, where nobody else waits.
    pub(super) fn can_have(&self, items: usize, critical: bool) -> bool {
        let all = self.free() + self.to_be_had() as usize * self.per_page;
        items + self.leaves(critical) <= all
    }

    /// Who of those that wait, oldest first, could be served with what is free.
    pub(super) fn next<'a>(&self, line: &'a [Getter]) -> Option<&'a Getter> {
        let ordinary = line.iter().find(|getter| !getter.critical);
        let critical = line.iter().find(|getter| getter.critical);
        let is_oldest = |getter: &Getter| line[0] == *getter;
        ordinary.filter(|getter| getter.items <= self.supply(false) && is_oldest(getter)).or_else(|| {
            // What is no more than the reserve is not the ordinary ones'.
            critical.filter(|getter| {
                getter.items <= self.supply(true) && (getter.items <= self.reserve() || is_oldest(getter))
            })
        })
    }

    /// How many items it takes to serve all of them.
    pub(super) fn demand(&self, line: &[Getter]) -> usize {
        let wanted: usize = line.iter().map(|getter| getter.items).sum();
        wanted + if line.iter().any(|getter| !getter.critical) { self.reserve() } else { 0 }
    }
}
