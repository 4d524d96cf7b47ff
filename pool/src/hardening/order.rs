//! Which free item is lent, drawn: heap feng shui needs to know.
//!
//! Who writes past the end of an item, or after its put, wants a certain other item there: gets and
//! puts are arranged until one is. That works as far as the order of items can be foretold. A free
//! list gives out a fresh page in the order of addresses, and what was put last first. Linux shuffles
//! fresh pages (`CONFIG_SLAB_FREELIST_RANDOM`); `hardened_malloc` draws a slot of a slab each time. So
//! does this: any free item of the page is as likely, after each put anew. A page of one item
//! has no order; those that are idle are put at either end of a list, so that what was put last is lent
//! next no more than half of the time. Quarantine does better there.
//!
//! What is drawn is unknown to whoever does not see the addresses, if the seed is: `ChaCha8`, as in
//! `hardened_malloc`. It hampers and does not prevent: of `n` free items of a page one is hit with chance
//! `1 / n`.

use std::fmt;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::Hardening;

/// Numbers that nobody can foretell.
pub(super) struct Draw(ChaCha8Rng);

impl fmt::Debug for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draw") // whoever knows its state knows the order
    }
}

impl Draw {
    /// Who draws: of one seed, each draws otherwise.
    pub(super) const ORDER: u64 = 0;
    pub(super) const QUARANTINE: u64 = 1;

    /// For who draws, if that is wanted.
    pub(super) fn of(hardening: &Hardening, who: u64) -> Option<Self> {
        if !hardening.random_order {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(hardening.seed.unwrap_or_else(system_seed));
        rng.set_stream(who);
        Some(Self(rng))
    }

    /// One of `0..below`, each as likely but for one part in four thousand million.
    pub(super) fn below(&mut self, below: u32) -> u32 {
        // Lemire, "Fast Random Integer Generation in an Interval", 2019; without the rejection.
        ((u64::from(self.0.next_u32()) * u64::from(below)) >> 32) as u32
    }

    fn flips(&mut self) -> bool {
        self.below(2) == 1
    }
}

fn system_seed() -> u64 {
    let mut seed = [0; 8];
    let got = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    // It fills as many as eight bytes at once, or has none: getrandom(2).
    assert_eq!(got, Ok(seed.len()), "the system has no randomness for an order of items");
    u64::from_ne_bytes(seed)
}

/// An item was never handed out since its page came.
const FRESH: u32 = 1 << 31;

/// The most items a page may have for that.
pub(crate) const MOST_ITEMS: u32 = FRESH - 1;

/// The free items of each page, in no order: a row a page, of which as many are good as are free.
#[derive(Debug)]
pub(crate) struct Order {
    items: usize,
    rows: Vec<u32>,
    draw: Draw,
}

/// An item that was drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) index: u32,
    /// Whether it was never handed out.
    pub(crate) fresh: bool,
}

impl Order {
    /// `Some` if it is wanted, for pages of so many items. [`reserve`](Self::reserve) makes room.
    pub(crate) fn of(hardening: Option<&Hardening>, items: u32) -> Option<Self> {
        let draw = Draw::of(hardening?, Draw::ORDER)?;
        Some(Self { items: items as usize, rows: Vec::new(), draw })
    }

    /// Makes room for so many pages in all. `false`: there is no memory for that.
    #[must_use]
    pub(crate) fn reserve(&mut self, pages: usize) -> bool {
        let Some(words) = pages.checked_mul(self.items) else { return false };
        self.rows.try_reserve_exact(words.saturating_sub(self.rows.len())).is_ok()
    }

    /// A page came, all of whose items are free.
    pub(crate) fn insert(&mut self, page: u32) {
        let start = page as usize * self.items;
        // Pages are numbered from zero on, each for the first time after all before it.
        self.rows.resize(self.rows.len().max(start + self.items), 0);
        for (at, word) in self.rows[start..start + self.items].iter_mut().enumerate() {
            *word = at as u32 | FRESH;
        }
    }

    /// One of the `free` items of a page, which is not free any more.
    pub(crate) fn take(&mut self, page: u32, free: u32) -> Drawn {
        let row = &mut self.rows[page as usize * self.items..][..free as usize];
        let at = self.draw.below(free) as usize;
        let word = row[at];
        row[at] = row[row.len() - 1];
        Drawn { index: word & !FRESH, fresh: word & FRESH != 0 }
    }

    /// An item of a page, of which `free` others are, is free again.
    pub(crate) fn put(&mut self, page: u32, free: u32, index: u32) {
        self.rows[page as usize * self.items + free as usize] = index;
    }

    /// Which end of a list a page goes to.
    pub(crate) fn flips(&mut self) -> bool {
        self.draw.flips()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn order(seed: u64, items: u32) -> Order {
        let hardening = Hardening::new().random_order(true).seed(seed);
        let mut order = Order::of(Some(&hardening), items).unwrap();
        assert!(order.reserve(2));
        order.insert(0);
        order.insert(1);
        order
    }

    fn all(order: &mut Order, items: u32) -> Vec<u32> {
        (1..=items).rev().map(|free| order.take(1, free).index).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(all(&mut order(7, 64), 64), all(&mut order(7, 64), 64));
        assert_ne!(all(&mut order(7, 64), 64), all(&mut order(8, 64), 64));
        let ascending: Vec<_> = (0..64).collect();
        assert_ne!(all(&mut order(7, 64), 64), ascending);
    }

    #[test]
    fn the_system_seeds_each_otherwise() {
        let hardening = Hardening::new().random_order(true);
        let numbers = || {
            let mut draw = Draw::of(&hardening, Draw::ORDER).unwrap();
            [(); 4].map(|()| draw.below(u32::MAX))
        };
        assert_ne!(numbers(), numbers());
    }

    proptest! {
        /// Beside a set: each free item is drawn once, and is fresh once.
        #[test]
        fn what_is_drawn_was_free(seed: u64, items in 1_u32..20, steps in prop::collection::vec(any::<(bool, prop::sample::Index)>(), 1..200)) {
            let mut order = order(seed, items);
            let (mut out, mut seen) = (BTreeSet::new(), BTreeSet::new());
            for (take, which) in steps {
                let free = items - out.len() as u32;
                if take && free > 0 {
                    let drawn = order.take(1, free);
                    prop_assert!(drawn.index < items);
                    prop_assert!(out.insert(drawn.index), "it was out");
                    prop_assert_eq!(seen.insert(drawn.index), drawn.fresh);
                } else if !take && !out.is_empty() {
                    let index = *which.get(&out.iter().copied().collect::<Vec<_>>());
                    out.remove(&index);
                    order.put(1, free, index);
                }
            }
        }
    }
}
