//! What is known of pages and items without the pool's lock: where each page starts, which page a
//! pointer lies in, and how each item is marked. Out of band, as all of ours: nothing is written
//! into items.
//!
//! A put into a thread's cache must tell a good pointer from a bad one, and takes no lock.
//!
//! # Invariants
//!
//! 1. Everything here is changed under the pool's lock, but the mark of an item that is [`OUT`]:
//!    that one is its holder's, who may make it [`CACHED`]; and of a cached one its cache's owner may
//!    make `OUT` again.
//! 2. While an item is out, its page's entries stay, but for the place in the buckets. So its holder,
//!    who saw them or saw what came after them, finds them without the lock; or misses them, while
//!    others move beside them, and takes the lock.
//! 3. What is found is verified against where the page starts. So a pointer that is nobody's is
//!    never taken for an item that is out, but if a page of the pool's is just then leaving or
//!    coming at that very place.

#![allow(
    clippy::inline_always,
    reason = "the way past the lock is a few tens of instructions, in its caller's frame"
)]

use std::panic::Location;
use std::ptr::NonNull;

use kva::holds::Holders;
use kva::sync::CHECKED;
use kva::sync::unseen::{AtomicU32, AtomicUsize, SetOnce, StaticRef, zeroed};

use crate::carve::Carve;
use crate::hardening::Traces;
use crate::loan::Slot;

/// Marks of items, where others have their link in a chain of free items: who is out, who is in a
/// thread's cache or in the depot, and where a chain ends.
pub(crate) const OUT: u32 = u32::MAX;
pub(crate) const CACHED: u32 = u32::MAX - 1;
pub(crate) const END: u32 = u32::MAX - 2;

/// Room for the pages that a limit allows. A raised limit adds a segment: what is in the others
/// stays where it is, for those who read without the lock. Each at least doubles the room.
const SEGMENTS: usize = 32;

type Caller = StaticRef<Location<'static>>;

#[derive(Debug)]
struct Segment {
    first_page: u32,
    /// Where each page starts; 0: there is none.
    bases: Box<[AtomicUsize]>,
    /// Each item's mark or link.
    links: Box<[AtomicU32]>,
    /// Who has each item that is out, where things are checked; else empty.
    callers: Box<[Caller]>,
    /// Which client has it, where that is tracked.
    holders: Holders,
    /// Where each item was got and put last, if that is kept.
    traces: Option<Traces>,
    /// Pages by where they start, open addressing: the page's place in this segment plus one; 0: none.
    buckets: Box<[AtomicU32]>,
}

impl Segment {
    fn new(first_page: u32, pages: usize, items: usize, traced: bool) -> Option<Self> {
        let all = pages.checked_mul(items)?;
        let traces = if traced { Some(Traces::new(all)?) } else { None };
        let buckets = pages.checked_mul(2)?.checked_next_power_of_two()?;
        Some(Self {
            first_page,
            bases: zeroed(pages)?,
            links: zeroed(all)?,
            callers: zeroed(if CHECKED { all } else { 0 })?,
            holders: Holders::new(all)?,
            traces,
            buckets: zeroed(buckets)?,
        })
    }

    /// Where the search for a page begins.
    #[inline]
    fn bucket(&self, base: usize) -> usize {
        // Fibonacci hashing: page bases differ in their upper bits only, and the product mixes
        // them into its own upper half.
        let mixed = (base as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 32) as usize & (self.buckets.len() - 1)
    }

    fn next(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }

    /// The place in this segment of the page that starts at `base`.
    fn find(&self, base: usize) -> Option<usize> {
        self.look(base).map(|(_, page)| page as usize - 1)
    }

    /// The bucket of the page that starts at `base`, and what was read there. A second read may find
    /// another page, or none: those beside it move.
    fn look(&self, base: usize) -> Option<(usize, u32)> {
        let mut bucket = self.bucket(base);
        // At least half of the buckets are empty, if nobody moves any meanwhile.
        for _ in 0..self.buckets.len() {
            match self.buckets[bucket].get() {
                0 => return None,
                page if self.bases[page as usize - 1].get() == base => return Some((bucket, page)),
                _ => bucket = self.next(bucket),
            }
        }
        None
    }

    fn insert(&self, at: usize, base: usize) {
        self.bases[at].set(base);
        let mut bucket = self.bucket(base);
        while self.buckets[bucket].get() != 0 {
            bucket = self.next(bucket);
        }
        self.buckets[bucket].set(at as u32 + 1);
    }

    /// Leaves no gap in any run of buckets: the next that may move into it does (Knuth 6.4, R).
    fn remove(&self, at: usize) {
        let base = self.bases[at].get();
        let (mut gap, _) = self.look(base).expect("a page that is held is in the table");
        let mut bucket = self.next(gap);
        loop {
            let page = self.buckets[bucket].get();
            if page == 0 {
                break;
            }
            let home = self.bucket(self.bases[page as usize - 1].get());
            let mask = self.buckets.len() - 1;
            let distance = |to: usize| to.wrapping_sub(home) & mask;
            if distance(gap) < distance(bucket) {
                self.buckets[gap].set(page);
                gap = bucket;
            }
            bucket = self.next(bucket);
        }
        self.buckets[gap].set(0);
        self.bases[at].set(0);
    }
}

/// What is known of pages and items without the pool's lock.
#[derive(Debug)]
pub(crate) struct Index {
    carve: Carve,
    /// The bits of an address that are its page's.
    page_bits: usize,
    /// 2^64 divided by an item's stride, rounded up: for offsets below 2^32 the upper half of a
    /// product with it is the quotient (Granlund and Montgomery, "Division by Invariant Integers
    /// using Multiplication", 1994). 0: pages are longer, or items a byte.
    inverse: u64,
    first: Segment,
    later: [SetOnce<Segment>; SEGMENTS],
}

/// What lies at an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum At {
    Item(Slot),
    /// So many bytes into an item, or past the last one.
    Inside(usize),
    /// No page starts where one would.
    Nothing,
}

impl Index {
    /// No pages, and room for so many. `None`: there is no memory for that.
    pub(crate) fn new(carve: Carve, pages: u32, traced: bool) -> Option<Self> {
        let inverse = (u64::MAX / carve.stride as u64).wrapping_add(1);
        let is_exact = carve.items == 1 || carve.page.size() as u64 <= 1 << 32;
        Some(Self {
            carve,
            page_bits: carve.page_of(usize::MAX),
            inverse: if is_exact { inverse } else { 0 },
            first: Segment::new(0, pages as usize, carve.items as usize, traced)?,
            later: [const { SetOnce::new() }; SEGMENTS],
        })
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(&self.first).chain(self.later.iter().map_while(SetOnce::get))
    }

    /// How many pages there is room for.
    fn room(&self) -> usize {
        self.segments().last().map_or(0, |last| last.first_page as usize + last.bases.len())
    }

    /// Makes room for `pages` in all, under the pool's lock. `false`: there is no memory for that.
    #[must_use]
    pub(crate) fn reserve(&self, pages: u32) -> bool {
        let room = self.room();
        if pages as usize <= room {
            return true;
        }
        // As many again, so that the segments suffice for any limit.
        let more = (pages as usize - room).max(room.min(u32::MAX as usize - room));
        let traced = self.first.traces.is_some();
        let segment = Segment::new(room as u32, more, self.carve.items as usize, traced);
        let free = self.later.iter().find(|segment| segment.get().is_none());
        match (segment, free) {
            (Some(segment), Some(free)) => {
                free.set(segment);
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn segment(&self, page: u32) -> (&Segment, usize) {
        if (page as usize) < self.first.bases.len() {
            (&self.first, page as usize)
        } else {
            self.later_segment(page)
        }
    }

    #[cold]
    fn later_segment(&self, page: u32) -> (&Segment, usize) {
        let found = self.segments().filter(|segment| segment.first_page <= page).last();
        let segment = found.expect("there is room for all pages");
        (segment, (page - segment.first_page) as usize)
    }

    /// A page came that starts at `base`.
    pub(crate) fn insert(&self, page: u32, base: NonNull<u8>) {
        let (segment, at) = self.segment(page);
        segment.insert(at, base.addr().get());
    }

    /// A page is gone.
    pub(crate) fn remove(&self, page: u32) {
        let (segment, at) = self.segment(page);
        segment.remove(at);
    }

    /// The mark or link of an item.
    #[inline]
    pub(crate) fn link(&self, slot: Slot) -> &AtomicU32 {
        let (segment, at) = self.segment(slot.page);
        &segment.links[at * self.carve.items as usize + slot.index as usize]
    }

    /// Notes who has an item that is out, where things are checked.
    #[inline]
    pub(crate) fn note_caller(&self, slot: Slot, caller: Option<&'static Location<'static>>) {
        if CHECKED {
            let (segment, at) = self.segment(slot.page);
            segment.callers[at * self.carve.items as usize + slot.index as usize].set(caller);
        }
    }

    /// Who has an item that is out, where things are checked.
    #[inline]
    pub(crate) fn caller(&self, slot: Slot) -> Option<&'static Location<'static>> {
        if !CHECKED {
            return None;
        }
        let (segment, at) = self.segment(slot.page);
        segment.callers[at * self.carve.items as usize + slot.index as usize].get()
    }

    /// Which client has an item that is out, and others, where that is tracked; and its place there.
    pub(crate) fn holders(&self, slot: Slot) -> (&Holders, usize) {
        let (segment, at) = self.segment(slot.page);
        (&segment.holders, at * self.carve.items as usize + slot.index as usize)
    }

    /// The traces of an item, if they are kept, and its place among them.
    #[cfg(feature = "hardening")]
    pub(crate) fn traces(&self, slot: Slot) -> Option<(&Traces, usize)> {
        let (segment, at) = self.segment(slot.page);
        let traces = segment.traces.as_ref()?;
        Some((traces, at * self.carve.items as usize + slot.index as usize))
    }

    /// Tells `f` who has the items that are out, where that is known: in builds that check.
    pub(crate) fn each_out(&self, mut f: impl FnMut(&'static Location<'static>)) {
        for segment in self.segments() {
            let out = segment.callers.iter().zip(&segment.links).filter(|(_, link)| link.get() == OUT);
            out.filter_map(|(caller, _)| caller.get()).for_each(&mut f);
        }
    }

    /// What starts at `ptr`.
    pub(crate) fn at(&self, ptr: NonNull<u8>) -> At {
        let address = ptr.addr().get();
        let base = self.carve.page_of(address);
        let Some(page) = self.page_at(base) else { return At::Nothing };
        let offset = address - base;
        let index = offset / self.carve.stride;
        let last = self.carve.items as usize - 1;
        if index > last || index * self.carve.stride != offset {
            return At::Inside(offset - index.min(last) * self.carve.stride);
        }
        At::Item(Slot { page, index: index as u32 })
    }

    /// Whether any page has memory of one that would start at `base`. In builds that do not check, only
    /// whether one starts there: pages of one item may start wherever a granule does.
    pub(crate) fn overlaps(&self, base: NonNull<u8>) -> bool {
        let base = base.addr().get();
        if !CHECKED || self.carve.items > 1 {
            return self.page_at(base).is_some();
        }
        let (size, granule, lead) = (self.carve.page.size(), self.carve.granule, self.carve.lead());
        let base = base - lead;
        let first = (base + 1).saturating_sub(size).max(1).next_multiple_of(granule);
        (first..base + size).step_by(granule).any(|base| self.page_at(base + lead).is_some())
    }

    /// Which item it is that starts at `ptr`, where it is known that one does that is out.
    pub(crate) fn slot(&self, ptr: NonNull<u8>) -> Slot {
        loop {
            // It can be missed only while others move beside it (invariant 2), each time once.
            if let At::Item(slot) = self.at(ptr) {
                return slot;
            }
        }
    }

    fn page_at(&self, base: usize) -> Option<u32> {
        match self.first.find(base) {
            Some(at) => Some(at as u32),
            None => self.later_page_at(base),
        }
    }

    #[cold]
    fn later_page_at(&self, base: usize) -> Option<u32> {
        self.segments().skip(1).find_map(|segment| Some(segment.first_page + segment.find(base)? as u32))
    }

    /// As [`mark`](Self::mark), where that did not find it.
    #[cold]
    pub(crate) fn mark_of_later_look(&self, ptr: NonNull<u8>) -> Option<&AtomicU32> {
        match self.at(ptr) {
            At::Item(slot) => Some(self.link(slot)),
            _ => None,
        }
    }

    /// The mark of the item that starts at `ptr`, if the first look finds it: most do. Else
    /// [`at`](Self::at) tells.
    #[inline(always)]
    pub(crate) fn mark(&self, ptr: NonNull<u8>) -> Option<&AtomicU32> {
        let (address, first) = (ptr.addr().get(), &self.first);
        let base = address & self.page_bits;
        let page = first.buckets.get(first.bucket(base))?.get() as usize;
        let at = page.wrapping_sub(1);
        if first.bases.get(at)?.get() != base {
            return None;
        }
        let offset = address - base;
        let index = ((offset as u128 * u128::from(self.inverse)) >> 64) as usize;
        let is_item = index < self.carve.items as usize && index * self.carve.stride == offset;
        if is_item { first.links.get(at * self.carve.items as usize + index) } else { None }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::alloc::Layout;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn index(size: usize, items: u32, pages: u32) -> Index {
        let layout = Layout::from_size_align(size, 1).unwrap();
        Index::new(Carve::new(layout, 4096, Some(items)).unwrap(), pages, false).unwrap()
    }

    fn ptr(address: usize) -> NonNull<u8> {
        NonNull::without_provenance(address.try_into().unwrap())
    }

    #[test]
    fn a_raised_limit_moves_nothing() {
        let index = index(64, 64, 2);
        index.insert(1, ptr(0x5000));
        let slot = Slot { page: 1, index: 3 };
        let link = index.link(slot);
        link.set(OUT);
        for limit in [3, 10, 11, 100, 1000] {
            assert!(index.reserve(limit));
            index.insert(limit - 1, ptr(limit as usize * 0x10_0000));
            assert_eq!(
                index.at(ptr(limit as usize * 0x10_0000)),
                At::Item(Slot { page: limit - 1, index: 0 })
            );
        }
        assert!(std::ptr::eq(link, index.link(slot)));
        assert_eq!(index.at(ptr(0x5000 + 3 * 64)), At::Item(slot));
    }

    proptest! {
        #[test]
        fn pages_are_found_as_in_a_map(
            steps in prop::collection::vec((any::<bool>(), 0_u32..24, 1_usize..4096), 1..200),
        ) {
            let index = index(4096, 1, 5);
            assert!(index.reserve(24));
            let mut model = BTreeMap::new();
            for (come, page, place) in steps {
                let base = place * 4096;
                if !come {
                    if model.remove(&page).is_some() {
                        index.remove(page);
                    }
                } else if !model.contains_key(&page) && !model.values().any(|&other| other == base) {
                    model.insert(page, base);
                    index.insert(page, ptr(base));
                }
                for (&page, &base) in &model {
                    prop_assert_eq!(index.at(ptr(base)), At::Item(Slot { page, index: 0 }));
                }
                if !model.values().any(|&other| other == base) {
                    prop_assert_eq!(index.at(ptr(base)), At::Nothing);
                }
            }
        }

        #[test]
        fn items_are_found_as_by_division(stride in 1_usize..5000, items in 1_u32..300, offset in any::<prop::sample::Index>()) {
            let index = index(stride, items, 1);
            let bytes = index.carve.page.size();
            let base = bytes.next_power_of_two() * 2;
            index.insert(0, ptr(base));
            let offset = if items == 1 { 0 } else { offset.index(bytes) };
            let (quotient, rest) = (offset / stride, offset % stride);
            let expected = if quotient < items as usize && rest == 0 {
                At::Item(Slot { page: 0, index: quotient as u32 })
            } else {
                At::Inside(offset - quotient.min(items as usize - 1) * stride)
            };
            let ptr = ptr(base + offset);
            let mark = index.mark(ptr);
            let found = index.at(ptr);
            // Items of a byte are left to the other.
            let is_item = matches!(expected, At::Item(_)) && (stride > 1 || offset == 0);
            prop_assert_eq!(mark.is_some(), is_item);
            if let (Some(mark), At::Item(slot)) = (mark, &found) {
                prop_assert!(std::ptr::eq(mark, index.link(*slot)));
            }
            prop_assert_eq!(found, expected);
        }
    }
}
