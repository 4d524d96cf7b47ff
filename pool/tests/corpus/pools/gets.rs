//! Gets, and what the model says must come of them.

use pool::{GetError, PoolStats, TryGetError};

use super::World;
use super::front::{Got, Held, Manner, Tried};
use super::inn::{Inn, QUANTUM};
use super::script::{By, Wanted};

/// What the model knows before a get.
struct Before {
    /// It can never have so much.
    too_many: bool,
    /// It must have it.
    sure: bool,
}

impl Inn {
    /// Quanta of one page.
    pub(super) fn page_quanta(stats: &PoolStats) -> u32 {
        stats.page_size.div_ceil(QUANTUM) as u32
    }

    /// Whether its pages are too large for the arena, or for its quota.
    pub(super) fn never_fits(&self) -> bool {
        let quanta = Self::page_quanta(&self.stats());
        let arena = self.front.arena();
        quanta > self.set.quota || quanta > arena.quanta()
    }

    /// Whether the arena has a page right now, and nobody waits for it.
    pub(super) fn has_page(&self, stats: &PoolStats) -> bool {
        let (quanta, arena) = (Self::page_quanta(stats), self.front.arena());
        let of_arena = arena.stats();
        let align = if stats.items_per_page > 1 { quanta } else { 1 };
        let largest = of_arena.largest.get(align.ilog2() as usize).copied().unwrap_or(0);
        let left = self.set.quota.saturating_sub(if self.set.quota == u32::MAX { 0 } else { arena.used() });
        of_arena.waiting == 0 && largest >= quanta && left >= quanta
    }

    fn before(&self, manner: Manner, items: usize) -> Before {
        let stats = self.stats();
        let alone = self.tasks.is_empty() && stats.waiting == 0;
        let reserve = if manner.is_critical { 0 } else { self.reserve() };
        let missing = (items + reserve).saturating_sub(stats.idle);
        let one_page = self.set.per_page as usize;
        let room = stats.pages + stats.growing < self.set.limit;
        let sure = missing == 0 || (missing <= one_page && room && self.has_page(&stats));
        let too_many = items > self.most(manner);
        Before { too_many, sure: alone && sure && !too_many && !self.is_closed }
    }

    /// What came of a get that waited, or had time to.
    fn judge(&mut self, manner: Manner, items: usize, before: &Before, got: Got) {
        let asked = items;
        match got {
            Ok(got) => {
                assert!(!self.is_closed || items == 0, "it is closed");
                assert!(!before.too_many, "so many cannot be had");
                assert_eq!(got.iter().map(Held::items).sum::<usize>(), items);
                self.note(manner, u64::MAX, got);
            }
            Err(GetError::TooMany { asked: told, most }) => {
                assert!(before.too_many && (told, most) == (asked, self.most(manner)));
            }
            Err(GetError::Closed) => assert!(self.is_closed),
            Err(GetError::TimedOut(_)) => assert!(manner.is_late && !before.sure, "{:?}", self.stats()),
            Err(GetError::Backend(error)) => assert!(self.never_fits(), "{error:?}"),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn judge_try(&mut self, manner: Manner, items: usize, before: &Before, got: Tried) {
        let stats = self.stats();
        let alone = self.tasks.is_empty();
        match got {
            Ok(got) => self.judge(manner, items, before, Ok(got)),
            Err(TryGetError::TooMany { asked, most }) => {
                self.judge(manner, items, before, Err(GetError::TooMany { asked, most }));
            }
            Err(TryGetError::Closed) => assert!(self.is_closed),
            Err(TryGetError::Exhausted) => {
                assert!(!before.sure, "{stats:?}");
                let full = stats.pages + stats.growing >= self.set.limit;
                assert!(!alone || full || items > 1, "not exhausted: {stats:?}");
            }
            Err(TryGetError::Scarce) => {
                assert!(!before.sure, "{stats:?}");
                let scarce = stats.pages + stats.growing < self.set.limit && !self.has_page(&stats);
                // Who wanted several gathered what there was, which went back.
                let one = items == 1 && self.reserve() == 0;
                assert!(!alone || !one || scarce, "not scarce: {stats:?}");
            }
            Err(TryGetError::Backend(error)) => assert!(self.never_fits(), "{error:?}"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

impl World {
    pub(super) fn try_get(&mut self, wanted: Wanted) {
        let Some(inn) = self.inn(wanted.pool) else { return };
        let manner = Manner { is_critical: wanted.is_critical, is_late: false };
        let before = inn.before(manner, 1);
        let got = inn.front.try_get(manner);
        inn.judge_try(manner, 1, &before, got);
    }

    pub(super) fn try_reserve(&mut self, wanted: Wanted) {
        let Some(inn) = self.inn(wanted.pool) else { return };
        let manner = Manner { is_critical: wanted.is_critical, is_late: false };
        let items = 1 + usize::from(wanted.items) % 8;
        let before = inn.before(manner, items);
        if let Some(got) = inn.front.try_reserve(manner, items) {
            inn.judge_try(manner, items, &before, got);
        }
    }

    /// A thread that has no time.
    pub(super) fn get_now(&mut self, wanted: Wanted) {
        let Some(inn) = self.inn(wanted.pool) else { return };
        let manner = Manner { is_critical: wanted.is_critical, is_late: true };
        let items = 1 + usize::from(wanted.items) % 8;
        let before = inn.before(manner, items);
        let got = inn.front.get(By::Pool, manner, items);
        inn.judge(manner, items, &before, got);
    }

    /// A thread that has all the time in the world, and needs none.
    pub(super) fn get(&mut self, by: By, index: u8) {
        let Some(inn) = self.inn(index) else { return };
        let manner = Manner { is_critical: false, is_late: false };
        let before = inn.before(manner, 1);
        if before.sure || inn.is_closed {
            let got = inn.front.get(by, manner, 1);
            inn.judge(manner, 1, &before, got);
        }
    }

    pub(super) fn begin(&mut self, wanted: Wanted, is_late: bool) {
        if !self.has_room() {
            return;
        }
        let Some(inn) = self.inn(wanted.pool) else { return };
        let manner = Manner { is_critical: wanted.is_critical, is_late };
        // Only objects can be had several at a time by a task.
        let several = inn.front.alive().is_some();
        let items = if several { 1 + usize::from(wanted.items) % 4 } else { 1 };
        let before = inn.before(manner, items);
        if let Some(got) = inn.begin(manner, items) {
            inn.judge(manner, items, &before, got);
        } else {
            assert!(!before.sure && !before.too_many && !inn.is_closed, "{:?}", inn.stats());
            assert!(!is_late, "its time is up");
        }
    }
}
