//! The arena and the model say the same.

use kva::Arena;

use super::World;
use super::line::Asked;
use super::naive::free_runs;

impl World {
    /// After each operation.
    pub(super) fn settle(&mut self) {
        self.take_ends();
        if self.setup.is_eager {
            self.poll_woken();
            self.take_ends();
        }
        self.check();
    }

    fn check(&self) {
        let taken = self.taken();
        let known = taken.iter().filter(|taken| **taken).count() as u32;
        let stats = self.arena().stats();
        let waits: Vec<&Asked> = self.line.waits().collect();
        assert_eq!(stats.quanta, self.quanta());
        assert_eq!(stats.waiting, waits.len(), "who waits");
        assert!(!self.is_closed || waits.is_empty(), "nobody waits for what is closed");
        let unknown = stats.quanta - stats.free - stats.withheld - known;
        if self.line.any_unknown() {
            return;
        }
        assert_eq!(unknown, 0, "P5: quanta that nobody has: {stats:?}");
        let used = self.who.each_ref().map(Arena::used);
        assert_eq!(used, [0, 1, 2].map(|who| self.has(who)), "who has how much");
        for (used, quota) in used.iter().zip(self.quotas) {
            assert!(*used <= quota, "a client has {used} of {quota}");
        }
        self.nobody_waits_beside_it(&taken, &waits, stats.withheld);
        if stats.withheld == 0 {
            let runs = free_runs(&self.parts, &taken);
            assert_eq!(stats.free_runs as usize, runs.len(), "{runs:?}");
            assert_eq!(stats.largest[0], runs.iter().map(|run| run.1).max().unwrap_or(0));
        }
    }

    /// P2, as far as an arena promises it: the oldest has what fits, and so has anybody else whom
    /// nothing but the window is withheld from.
    fn nobody_waits_beside_it(&self, taken: &[bool], waits: &[&Asked], withheld: u32) {
        let in_line: Vec<_> =
            waits.iter().filter(|asked| self.may_have(asked.who, asked.wish.len())).collect();
        let Some(head) = in_line.iter().min_by_key(|asked| asked.at) else {
            assert_eq!(withheld, 0, "a window is for somebody");
            return;
        };
        assert!(!head.wish.fits(&self.parts, taken), "P2: the oldest waits beside it: {head:?}");
        if self.line.bypass == 1000 && withheld == 0 {
            for asked in in_line {
                assert!(!asked.wish.fits(&self.parts, taken), "P2: it waits beside it: {asked:?}");
            }
        }
    }
}
