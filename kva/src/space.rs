//! Which quanta are free: pure bookkeeping, no lock, no memory behind it.
//!
//! Free runs are kept in segregated lists by size class, one class a power of two,
//! with boundary tags for coalescing (Knuth, TAOCP 1, 2.5; vmem(9) keeps its free
//! lists the same way). A run is described at its first quantum, and a free run
//! also at its last, so that a free finds both neighbours without searching.
//!
//! # Invariants
//!
//! 1. The quanta are partitioned into runs, free or busy; no two free runs touch.
//! 2. `len[s]` is the length of the run that starts at `s`, with [`BUSY`] set if it
//!    is busy, and 0 where no run starts.
//! 3. For a free run `s..e`, `back[e - 1] == s` and `s` is in the list of its class.
//! 4. For a busy run at `s`, `link[s][0]` is the number of its taking.
//!
//! A stale `back` is harmless: whoever reads it checks by invariant 2 that a free
//! run really starts there and ends here.
//!
//! # Fit
//!
//! Instant fit (vmem's `VM_INSTANTFIT`): the first run of the smallest class in
//! which every run is large enough. Only where there is none are the runs of the
//! smaller classes searched, so that whatever can be satisfied is satisfied.

use crate::list::{Link, List};
use crate::shape::Shape;

const BUSY: u32 = 1 << 31;
const CLASSES: usize = 31;

/// The most quanta an arena may have: lengths share a word with [`BUSY`].
pub(crate) const MAX_QUANTA: u32 = BUSY - 1;

/// Free and busy runs over `[0, n)` quanta.
#[derive(Debug)]
pub(crate) struct Space {
    /// The first quantum's position in the units that alignment is measured in.
    origin: usize,
    len: Vec<u32>,
    back: Vec<u32>,
    link: Vec<Link>,
    classes: [List; CLASSES],
    /// Bit `c` is set while class `c` has a run.
    occupied: u32,
    free: u32,
    serial: u32,
}

/// What is known of a busy run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy {
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) serial: u32,
}

fn class_of(len: u32) -> usize {
    len.ilog2() as usize
}

impl Space {
    /// One free run of `n` quanta, the first of which is at position `origin`. `None`:
    /// there is no memory for its tables.
    pub(crate) fn new(n: u32, origin: usize) -> Option<Self> {
        debug_assert!(0 < n && n <= MAX_QUANTA);
        // Zeroed vectors cost nothing until they are touched, but cannot be had fallibly:
        // so whether there is room for them is tried first.
        let table_bytes = (size_of::<Link>() + 2 * size_of::<u32>()).checked_mul(n as usize)?;
        Vec::<u8>::new().try_reserve_exact(table_bytes).ok()?;
        let mut space = Self {
            origin,
            len: vec![0; n as usize],
            back: vec![0; n as usize],
            link: vec![[0; 2]; n as usize],
            classes: [List::new(); CLASSES],
            occupied: 0,
            free: n,
            serial: 0,
        };
        space.insert(0, n);
        Some(space)
    }

    /// How many quanta there are.
    pub(crate) fn size(&self) -> u32 {
        self.len.len() as u32
    }

    /// How many of them are free.
    pub(crate) fn free(&self) -> u32 {
        self.free
    }

    fn insert(&mut self, start: u32, len: u32) {
        let class = class_of(len);
        self.len[start as usize] = len;
        self.back[(start + len - 1) as usize] = start;
        self.classes[class].push_front(&mut self.link, start);
        self.occupied |= 1 << class;
    }

    /// Takes a free run out of its list; its tags are the caller's to rewrite.
    fn remove(&mut self, start: u32) -> u32 {
        let len = self.len[start as usize];
        debug_assert!(len != 0 && len & BUSY == 0);
        let class = class_of(len);
        self.classes[class].remove(&mut self.link, start);
        if self.classes[class].is_empty() {
            self.occupied &= !(1 << class);
        }
        self.len[start as usize] = 0;
        len
    }

    /// Where in the free run `start..start + len` the shape fits first.
    fn fit(&self, start: u32, len: u32, shape: Shape) -> Option<u32> {
        let position = self.origin + start as usize;
        let pad = (position.next_multiple_of(shape.align() as usize) - position) as u64;
        (pad + u64::from(shape.len()) <= u64::from(len)).then(|| start + pad as u32)
    }

    /// Finds a free run that `shape` fits into, and where in it.
    fn find(&self, shape: Shape) -> Option<(u32, u32)> {
        // Every run of this length or more fits, wherever it starts.
        let enough = u64::from(shape.len()) + u64::from(shape.align()) - 1;
        let sure = enough.next_power_of_two().trailing_zeros();
        let above = if sure < u32::BITS { self.occupied & (u32::MAX << sure) } else { 0 };
        if above != 0 {
            let run = self.classes[above.trailing_zeros() as usize].front().expect("occupied");
            let at = self.fit(run, self.len[run as usize], shape).expect("sure to fit");
            return Some((run, at));
        }
        let mut maybe = self.occupied & (u32::MAX << shape.len().ilog2());
        while maybe != 0 {
            let class = maybe.trailing_zeros() as usize;
            maybe &= maybe - 1;
            for run in self.classes[class].iter(&self.link) {
                if let Some(at) = self.fit(run, self.len[run as usize], shape) {
                    return Some((run, at));
                }
            }
        }
        None
    }

    /// Whether `shape` would fit if nothing were busy.
    pub(crate) fn could_ever_fit(&self, shape: Shape) -> bool {
        self.fit(0, self.size(), shape).is_some()
    }

    /// Takes a run of `shape`.
    pub(crate) fn take(&mut self, shape: Shape) -> Option<Busy> {
        let (run, at) = self.find(shape)?;
        let end = run + self.remove(run);
        if at > run {
            self.insert(run, at - run);
        }
        let taken_end = at + shape.len();
        if end > taken_end {
            self.insert(taken_end, end - taken_end);
        }
        self.free -= shape.len();
        Some(self.mark(at, shape.len()))
    }

    fn mark(&mut self, start: u32, len: u32) -> Busy {
        self.serial = self.serial.wrapping_add(1);
        self.len[start as usize] = BUSY | len;
        self.link[start as usize][0] = self.serial;
        Busy { start, len, serial: self.serial }
    }

    /// The busy run that starts at `start`, if one does.
    pub(crate) fn busy_at(&self, start: u32) -> Option<Busy> {
        let len = *self.len.get(start as usize)?;
        (len & BUSY != 0).then(|| Busy { start, len: len & !BUSY, serial: self.link[start as usize][0] })
    }

    /// Whether `shape` fits at the start of the busy run: then it can be passed on.
    pub(crate) fn suits(&self, busy: Busy, shape: Shape) -> bool {
        self.fit(busy.start, busy.len, shape) == Some(busy.start)
    }

    /// Passes a busy run on to somebody else without its ever being free, cut to
    /// `shape`, which it must suit. What is left over becomes free.
    pub(crate) fn pass_on(&mut self, busy: Busy, shape: Shape) -> Busy {
        debug_assert_eq!(self.busy_at(busy.start), Some(busy));
        debug_assert!(self.suits(busy, shape));
        if busy.len == shape.len() {
            return self.mark(busy.start, busy.len);
        }
        let (kept, rest) = self.split(busy, shape.len());
        self.give(rest);
        kept
    }

    /// Cuts a busy run in two, both busy, the first of them `len` quanta long.
    pub(crate) fn split(&mut self, busy: Busy, len: u32) -> (Busy, Busy) {
        debug_assert_eq!(self.busy_at(busy.start), Some(busy));
        debug_assert!(0 < len && len < busy.len);
        (self.mark(busy.start, len), self.mark(busy.start + len, busy.len - len))
    }

    /// Gives a busy run back, and joins it with its free neighbours.
    pub(crate) fn give(&mut self, busy: Busy) {
        debug_assert_eq!(self.busy_at(busy.start), Some(busy));
        let Busy { mut start, mut len, .. } = busy;
        self.len[start as usize] = 0;
        self.free += len;
        if let Some(next) = self.len.get((start + len) as usize)
            && *next != 0
            && *next & BUSY == 0
        {
            len += self.remove(start + len);
        }
        if start > 0 {
            let before = self.back[start as usize - 1];
            // Only a free run that starts at `before` and ends here has this length.
            if before < start && self.len[before as usize] == start - before {
                len += self.remove(before);
                start = before;
            }
        }
        self.insert(start, len);
    }

    /// The longest run whose start is a multiple of `align` quanta.
    pub(crate) fn largest(&self, align: u32) -> u32 {
        self.runs()
            .map(|(start, len)| {
                let position = self.origin + start as usize;
                let pad = position.next_multiple_of(align as usize) - position;
                len.saturating_sub(u32::try_from(pad).unwrap_or(u32::MAX))
            })
            .max()
            .unwrap_or(0)
    }

    /// The free runs, as start and length, in no order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        self.classes
            .iter()
            .flat_map(|class| class.iter(&self.link))
            .map(|start| (start, self.len[start as usize]))
    }

    /// Checks the invariants, in time proportional to the size.
    #[cfg(all(test, not(loom)))]
    fn check(&self) {
        let mut at = 0;
        let (mut free, mut free_runs, mut after_free) = (0, 0, false);
        while at < self.size() {
            let len = self.len[at as usize];
            assert_ne!(len, 0, "no run starts at {at}");
            let is_free = len & BUSY == 0;
            let len = len & !BUSY;
            if is_free {
                assert!(!after_free, "two free runs touch at {at}");
                assert_eq!(self.back[(at + len - 1) as usize], at);
                free += len;
                free_runs += 1;
            }
            after_free = is_free;
            at += len;
        }
        assert_eq!(at, self.size());
        assert_eq!(free, self.free);
        assert_eq!(self.runs().count(), free_runs);
        for (class, list) in self.classes.iter().enumerate() {
            assert_eq!(self.occupied & (1 << class) != 0, !list.is_empty());
            assert!(list.iter(&self.link).all(|run| class_of(self.len[run as usize]) == class));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(len: u32, align: u32) -> Shape {
        Shape::aligned(len, align).unwrap()
    }

    #[test]
    fn frees_join_on_both_sides() {
        let mut space = Space::new(12, 0).unwrap();
        let [a, b, c] = [4, 4, 4].map(|len| space.take(shape(len, 1)).unwrap());
        assert_eq!(space.take(shape(1, 1)), None);
        space.give(a);
        space.give(c);
        assert_eq!((space.free(), space.largest(1)), (8, 4));
        space.give(b);
        assert_eq!(space.runs().collect::<Vec<_>>(), [(0, 12)]);
        space.check();
    }

    #[test]
    fn alignment_counts_from_the_origin() {
        let mut space = Space::new(8, 3).unwrap();
        let taken = space.take(shape(4, 4)).unwrap();
        assert_eq!(taken.start, 1, "position 4");
        assert_eq!(space.largest(4), 3, "position 8 on");
    }

    #[test]
    fn what_fits_only_just_is_found() {
        let mut space = Space::new(7, 0).unwrap();
        let first = space.take(shape(1, 1)).unwrap();
        assert_eq!(first.start, 0);
        // Quanta 1..7 are free: a run of 6 quanta in which 4 at a multiple of 2 fit,
        // though not in any run of its class.
        assert_eq!(space.take(shape(4, 2)).unwrap().start, 2);
        space.check();
    }

    #[test]
    fn passing_on_keeps_what_is_asked_and_frees_the_rest() {
        let mut space = Space::new(8, 0).unwrap();
        let all = space.take(shape(8, 1)).unwrap();
        let kept = space.pass_on(all, shape(3, 1));
        assert_eq!((kept.start, kept.len, space.free()), (0, 3, 5));
        assert_ne!(kept.serial, all.serial, "the old receipt is worthless");
        space.check();
    }

    #[derive(Debug, Clone)]
    enum Op {
        Take(u32, u32),
        Give(usize),
        PassOn(usize, u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (1u32..20, 0u32..4).prop_map(|(len, log)| Op::Take(len, 1 << log)),
            2 => any::<prop::sample::Index>().prop_map(|i| Op::Give(i.index(1 << 16))),
            1 => (any::<prop::sample::Index>(), 1u32..20).prop_map(|(i, len)| Op::PassOn(i.index(1 << 16), len)),
        ]
    }

    proptest! {
        /// The clever structure beside a naive one: a vector of who owns each quantum.
        #[test]
        fn agrees_with_a_vector_of_owners(n in 1u32..80, origin in 0usize..9, ops in prop::collection::vec(op(), 1..120)) {
            let mut space = Space::new(n, origin).unwrap();
            let mut owner = vec![None; n as usize];
            let mut held: Vec<Busy> = Vec::new();
            for op in ops {
                match op {
                    Op::Take(len, align) => {
                        let fits = |start: u32| (origin + start as usize).is_multiple_of(align as usize)
                            && start + len <= n
                            && owner[start as usize..(start + len) as usize].iter().all(Option::is_none);
                        let possible = (0..n).any(fits);
                        let taken = space.take(shape(len, align));
                        prop_assert_eq!(taken.is_some(), possible);
                        if let Some(busy) = taken {
                            prop_assert!(busy.len == len && fits(busy.start));
                            owner[busy.start as usize..(busy.start + len) as usize].fill(Some(busy.serial));
                            held.push(busy);
                        }
                    }
                    Op::Give(i) if !held.is_empty() => {
                        let busy = held.swap_remove(i % held.len());
                        owner[busy.start as usize..(busy.start + busy.len) as usize].fill(None);
                        space.give(busy);
                        prop_assert_ne!(space.busy_at(busy.start), Some(busy));
                    }
                    Op::PassOn(i, len) if !held.is_empty() => {
                        let i = i % held.len();
                        if held[i].len >= len {
                            let old = held[i];
                            held[i] = space.pass_on(old, shape(len, 1));
                            owner[old.start as usize..(old.start + old.len) as usize].fill(None);
                            owner[old.start as usize..(old.start + len) as usize].fill(Some(held[i].serial));
                        }
                    }
                    _ => {}
                }
                space.check();
                prop_assert_eq!(space.free() as usize, owner.iter().filter(|o| o.is_none()).count());
                for busy in &held {
                    prop_assert_eq!(space.busy_at(busy.start), Some(*busy));
                }
            }
            for busy in held {
                space.give(busy);
            }
            prop_assert_eq!(space.runs().collect::<Vec<_>>(), vec![(0, n)]);
        }
    }
}
