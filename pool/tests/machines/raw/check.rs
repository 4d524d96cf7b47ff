//! What is checked after each operation, and at the end.

use std::collections::BTreeSet;

use super::super::support::{QUANTUM, assert_rests, put};
use super::world::{Had, World};

impl World {
    /// After a drain nothing is idle but what low water keeps, or who waits and the reserve need; and that
    /// is.
    pub(super) fn drained(&mut self, (pages, free): (u32, usize)) {
        self.look();
        let (low, reserve) = (self.naive.low.min(self.naive.limit), self.naive.reserve());
        if !self.naive.closed {
            assert!(self.naive.pages >= pages.min(low), "below low water: {:?}", self.naive);
            assert!(self.naive.free() >= free.min(reserve), "the reserve is gone: {:?}", self.naive);
        }
        let keeps = self.naive.pages <= low || self.naive.free() < reserve + self.naive.per_page;
        assert!(!self.has_idle_page() || keeps || !self.line().is_empty(), "{:?}", self.naive);
    }

    /// Whether a page is known to have no item out.
    fn has_idle_page(&mut self) -> bool {
        let pages: BTreeSet<_> = self.addresses().into_iter().map(|item| item & !(QUANTUM - 1)).collect();
        let granted: usize = self.granted().iter().map(|getter| getter.items).sum();
        let in_use = pages.len() + granted;
        let of_one = self.naive.per_page == 1;
        // Items of pages of one are not aligned to anything; each is a page.
        let in_use = if of_one { self.addresses().len() + granted } else { in_use };
        self.naive.pages as usize > in_use
    }

    pub(super) fn check(&mut self) {
        self.look();
        let (stats, line) = (self.pool.stats(), self.line());
        let naive = &self.naive;
        let says = format!("{naive:?}, {line:?}, {stats:?}");
        // What the pool says of itself.
        assert_eq!((stats.pages, stats.out, stats.idle), (naive.pages, naive.out, naive.free()), "{says}");
        assert_eq!(stats.gets - stats.puts, stats.out as u64, "{says}");
        assert_eq!((stats.hard_limit, stats.closed), (naive.limit, naive.closed), "{says}");
        // P1.
        let used = stats.pages + stats.growing;
        assert!(used <= self.bound, "P1: {used} of {}: {says}", self.bound);
        self.bound = naive.limit.max(self.bound.min(used));
        // P2: law 1 and law 2, as soon as all that were woken have looked.
        if self.tasks.is_quiet() {
            assert_eq!(naive.next(&line), None, "it could be served: {says}");
            let covered = naive.demand(&line) <= naive.free() + stats.growing as usize * naive.per_page;
            assert!(covered || naive.limit <= used || line.is_empty(), "a page is not asked for: {says}");
            assert!(stats.growing == 0 || naive.quanta_free == 0, "nobody takes what is there: {says}");
        }
        // Law 6.
        let never = line.iter().find(|getter| getter.items > naive.most(getter.critical));
        assert_eq!(never, None, "it waits for what will never be: {says}");
        // Law 3.
        let needed = naive.demand(&line).div_ceil(naive.per_page);
        assert!(stats.growing as usize <= needed, "more is asked for than anybody needs: {says}");
        // Laws 4 and 5.
        let (over, spare) = (naive.pages > naive.limit, naive.free() >= naive.reserve() + naive.per_page);
        let keeps = stats.cached > 0
            || !(over || naive.closed || (line.is_empty() && spare && naive.pages > naive.high));
        assert!(keeps || !self.has_idle_page(), "a page is kept: {says}");
        if self.naive.closed {
            assert_eq!((line.len(), stats.growing), (0, 0), "{says}");
        }
        assert!(stats.most_overtaken <= u64::from(self.setup.bypass), "P4: {says}");
    }

    /// Each of those that wait has its turn; then all is as it was (P5, P6).
    pub(super) fn end(mut self) {
        for span in self.others.drain(..) {
            self.memory.free(span).unwrap();
        }
        self.pool.set_water(0, 4).unwrap();
        self.pool.set_critical_reserve(0).unwrap();
        // There never is so much.
        let most = self.naive.limit.min(self.memory.quanta()) as usize * self.naive.per_page;
        self.tasks.0.retain(|waiting| waiting.about.items <= most);
        while !self.tasks.0.is_empty() {
            let before = self.tasks.0.len();
            let ended = self.tasks.run();
            self.ended(ended);
            for had in std::mem::take(&mut self.held) {
                match had {
                    Had::One(item) => put(&self.pool, item).unwrap(),
                    Had::Pieces(buf) => drop(buf),
                }
            }
            let woken = !self.tasks.is_quiet();
            assert!(woken || self.tasks.0.len() < before, "{:?} wait for ever", self.tasks());
        }
        for had in std::mem::take(&mut self.held) {
            match had {
                Had::One(item) => put(&self.pool, item).unwrap(),
                Had::Pieces(buf) => drop(buf),
            }
        }
        assert_rests(&self.pool, &self.memory);
    }
}
