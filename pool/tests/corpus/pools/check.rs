//! Pools and model say the same.

use std::collections::HashMap;

use pool::PoolStats;

use super::World;
use super::front::Held;
use super::inn::{Inn, Task};

impl World {
    /// After each operation.
    pub(super) fn settle(&mut self) {
        if self.setup.is_eager {
            self.poll_woken();
        }
        for inn in &mut self.inns {
            let stats = inn.stats();
            // What was held above a lowered limit and has gone is gone for good.
            assert!(stats.pages + stats.growing <= inn.bound, "P1: {stats:?}");
            inn.bound = (stats.pages + stats.growing).max(inn.set.limit);
        }
        self.inns.iter().for_each(Inn::check);
        self.nothing_is_lent_twice();
        let all_quiet =
            self.inns.iter().all(Inn::is_quiet) && !self.others.iter().any(|other| other.wakes.is_woken());
        if all_quiet {
            self.check_the_arena();
        }
    }

    fn nothing_is_lent_twice(&self) {
        let mut ranges = Vec::new();
        for (at, inn) in self.inns.iter().enumerate() {
            let size = inn.stats().item_size;
            ranges.extend(inn.held.iter().filter_map(Held::address).map(|start| (start, start + size, at)));
        }
        for span in &self.spans {
            let start = self.arena.ptr(*span).expect("it has memory").addr().get();
            ranges.push((start, start + span.len() as usize * self.arena.quantum(), usize::MAX));
        }
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "lent twice: {pair:x?}");
        }
    }

    /// While nobody has something that it has not looked at.
    fn check_the_arena(&self) {
        let stats = self.arena.stats();
        let growing: usize = self.inns.iter().map(|inn| inn.stats().growing as usize).sum();
        assert_eq!(stats.waiting, growing + self.others.len(), "who waits for the arena");
        let pages = self.inns.iter().map(|inn| {
            let stats = inn.stats();
            stats.pages * Inn::page_quanta(&stats)
        });
        let held: u32 = self.spans.iter().map(|span| span.len()).sum();
        let known = pages.sum::<u32>() + held + stats.free + stats.withheld;
        assert_eq!(known, stats.quanta, "P5: quanta that nobody has");
        // Whoever waits for its own quota is no shortage of others.
        let no_quotas = self.inns.iter().all(|inn| inn.set.quota == u32::MAX);
        for inn in &self.inns {
            let of_inn = inn.stats();
            let elsewhere = stats.waiting > of_inn.growing as usize;
            if elsewhere && no_quotas {
                inn.gives_way(&of_inn);
            }
        }
    }
}

impl Inn {
    /// Whether no page can be given up, as far as can be seen from here.
    pub(super) fn is_drained(&self, stats: &PoolStats) -> bool {
        stats.pages <= self.low()
            || stats.idle < self.reserve() + self.set.per_page as usize
            || stats.waiting > 0
            || (self.set.per_page > 1 && !self.has_idle_page(stats))
    }

    /// Low water comes down with the limit.
    fn low(&self) -> u32 {
        self.set.low.min(self.set.limit)
    }

    /// Whether a page is wholly idle; where that cannot be said, `false`.
    fn has_idle_page(&self, stats: &PoolStats) -> bool {
        let mut pages: HashMap<usize, usize> = HashMap::new();
        for held in &self.held {
            let Some(address) = held.address() else { return false };
            *pages.entry(address / stats.page_size).or_default() += 1;
        }
        let used = if self.set.per_page == 1 { self.held.len() } else { pages.len() };
        self.is_quiet() && used < stats.pages as usize
    }

    fn check(&self) {
        let stats = self.stats();
        let set = self.set;
        let items: usize = stats.pages as usize * set.per_page as usize;
        assert_eq!((stats.hard_limit, stats.items_per_page), (set.limit, set.per_page));
        assert_eq!(stats.critical_reserve as usize, self.reserve());
        assert_eq!((stats.low_water, stats.high_water), (self.low(), set.high.min(set.limit)));
        assert_eq!(stats.idle + stats.out, items, "{stats:?}");
        assert_eq!(stats.gets - stats.puts, stats.out as u64, "{stats:?}");
        assert!(stats.growing <= set.growing || stats.waiting == 0, "{stats:?}");
        assert_eq!(stats.closed, self.is_closed);
        let held: usize = self.held.iter().map(Held::items).sum();
        let unknown: usize = self.tasks.iter().filter(|task| task.is_woken()).map(|task| task.items).sum();
        assert!(
            (held..=held + unknown).contains(&stats.out),
            "{held} and up to {unknown} are out: {stats:?}"
        );
        assert!((self.asleep().count()..=self.tasks.len()).contains(&stats.waiting), "{stats:?}");
        assert!(stats.waiting == 0 || stats.cached == 0, "P2: nothing is cached while somebody waits");
        assert!(stats.most_overtaken <= u64::from(set.bypass), "P4: {stats:?}");
        if let Some(alive) = self.front.alive() {
            // Whoever was served constructs what it has when it looks.
            let to_come = stats.live.checked_sub(alive).expect("an object that nobody has");
            assert!(to_come <= unknown, "{alive} objects: {stats:?}");
        }
        if stats.waiting == 0 {
            assert_eq!(stats.growing, 0, "nobody needs what was asked for: {stats:?}");
        }
        if self.is_closed {
            assert_eq!((stats.idle - self.idle_beside_held(&stats), stats.waiting), (0, 0), "{stats:?}");
        }
        if self.is_quiet() && !self.is_closed {
            self.nobody_waits_beside_it(&stats);
            self.everybody_is_covered(&stats);
        }
        self.nothing_is_above(&stats);
    }

    /// Idle items in pages that have others which are out.
    fn idle_beside_held(&self, stats: &PoolStats) -> usize {
        if self.set.per_page == 1 { 0 } else { stats.idle }
    }

    /// P2, the first law: whoever's turn it is has what there is for it.
    fn nobody_waits_beside_it(&self, stats: &PoolStats) {
        let oldest =
            |is_critical: bool| self.tasks.iter().find(|task| task.manner.is_critical == is_critical);
        let (ordinary, critical) = (oldest(false), oldest(true));
        let came_before =
            |one: &Task, other: Option<&Task>| other.is_none_or(|other| one.number < other.number);
        if let Some(task) = ordinary
            && came_before(task, critical)
        {
            assert!(task.items > self.supply(stats, false), "P2: it waits beside it: {stats:?}");
        }
        if let Some(task) = critical
            && (task.items <= self.reserve() || came_before(task, ordinary))
        {
            assert!(task.items > stats.idle, "P2: it waits beside it: {stats:?}");
        }
    }

    /// P2, the second law: what was asked for is enough for all who wait, if so much may be asked for.
    fn everybody_is_covered(&self, stats: &PoolStats) {
        let wanted: usize = self.tasks.iter().map(|task| task.items).sum();
        let reserve = if self.tasks.iter().any(|task| !task.manner.is_critical) { self.reserve() } else { 0 };
        let per_page = self.set.per_page as usize;
        let covered = wanted + reserve <= stats.idle + stats.growing as usize * per_page;
        let no_more = stats.pages + stats.growing >= self.set.limit || stats.growing >= self.set.growing;
        assert!(self.tasks.is_empty() || covered || no_more, "P2: nobody asks for them: {stats:?}");
        assert!(stats.growing as usize <= (wanted + reserve).div_ceil(per_page), "too many: {stats:?}");
    }

    /// The fourth law: what need not be held goes.
    fn nothing_is_above(&self, stats: &PoolStats) {
        if !self.has_idle_page(stats) || stats.cached > 0 {
            return;
        }
        assert!(stats.pages + stats.growing <= self.set.limit, "above the limit: {stats:?}");
        let spare = stats.idle >= self.reserve() + self.set.per_page as usize;
        let high = self.set.high;
        assert!(stats.waiting > 0 || !spare || stats.pages <= high, "above high water: {stats:?}");
    }

    /// What is idle above low water goes to who waits elsewhere.
    fn gives_way(&self, stats: &PoolStats) {
        let spare = stats.idle >= self.reserve() + self.set.per_page as usize && stats.pages > self.low();
        let goes = spare && stats.waiting == 0 && stats.cached == 0 && self.has_idle_page(stats);
        assert!(!goes, "somebody waits elsewhere: {stats:?}");
    }
}
