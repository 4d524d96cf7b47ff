//! The memory behind an arena's quanta: which region a quantum is in, and what of it is committed.
//!
//! Regions are added and never go, so they are found without the arena's lock: whoever has a span
//! had it from under that lock, which the region was added under.
//!
//! # Committed quanta
//!
//! Making memory accessible is a system call, and memory that was not decommitted still is. So
//! there is a bit for each quantum, set when it is made accessible and cleared when it is not any
//! more. A bit is changed by who holds the span that its quantum is in, and by nobody else; the
//! words are shared with neighbours, so they are changed by read-modify-write operations.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use super::ArenaError;
use crate::region::Region;
use crate::shape::Span;
use crate::space::{MAX_QUANTA, Runs};
use crate::sync::unseen::{AtomicU32, AtomicU64, SetOnce, zeroed};

/// A region, and what of it is committed.
#[derive(Debug)]
pub(super) struct Place {
    region: Region,
    /// A bit for each quantum; empty where nothing has to be committed.
    committed: Box<[AtomicU64]>,
}

/// A region that was added, and its first quantum.
#[derive(Debug)]
struct Added {
    first: u32,
    place: Place,
}

/// Chunk `k` has room for `4 << k` regions.
const CHUNKS: usize = 20;

/// All regions of an arena.
#[derive(Debug)]
pub(super) struct Regions {
    /// The one it was made with, and how many quanta that has: nearly always there is no other.
    first: Place,
    quanta: u32,
    /// How long a quantum is.
    bytes: usize,
    added: [SetOnce<Box<[SetOnce<Added>]>>; CHUNKS],
    count: AtomicU32,
}

/// How many quanta `region` has, all free; and whether it will do.
pub(super) fn runs(region: &Region, quantum: usize) -> Result<Runs, ArenaError> {
    let granule = region.granule();
    if region.base().is_none() && quantum != 1 {
        return Err(ArenaError::NumbersQuantum(quantum));
    }
    if !quantum.is_power_of_two() || quantum < granule {
        return Err(ArenaError::Quantum { quantum, granule });
    }
    let base = region.base().map_or(0, |base| base.addr().get());
    if !base.is_multiple_of(quantum) {
        return Err(ArenaError::Misaligned { base, quantum });
    }
    let quanta = region.len() / quantum;
    let n = u32::try_from(quanta).ok().filter(|n| (1..=MAX_QUANTA).contains(n));
    let n = n.ok_or(ArenaError::Size(quanta))?;
    Runs::new(n, base / quantum).ok_or(ArenaError::Tables(quanta))
}

/// How many quanta there are with so many more.
pub(super) fn sum(size: u32, more: u32) -> Result<u32, ArenaError> {
    let sum = size.checked_add(more).filter(|sum| *sum <= MAX_QUANTA);
    sum.ok_or(ArenaError::Size(size as usize + more as usize))
}

impl Place {
    pub(super) fn new(region: Region, quantum: usize) -> Result<Self, ArenaError> {
        let quanta = region.len() / quantum;
        let words = if region.commits() { quanta.div_ceil(64) } else { 0 };
        let committed = zeroed(words).ok_or(ArenaError::Tables(quanta))?;
        Ok(Self { region, committed })
    }

    /// The words that have the bits of these quanta, and which bits.
    fn words(&self, quanta: Range<u32>) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let words = quanta.start as usize / 64..(quanta.end as usize).div_ceil(64);
        let (start, end) = (u64::from(quanta.start), u64::from(quanta.end));
        self.committed.get(words.clone()).unwrap_or_default().iter().zip(words).map(move |(word, at)| {
            let first = at as u64 * 64;
            let below = |bit: u64| if bit >= 64 { u64::MAX } else { (1 << bit) - 1 };
            (word, below(end.saturating_sub(first)) & !below(start.saturating_sub(first)))
        })
    }
}

impl Regions {
    pub(super) fn new(first: Region, quantum: usize) -> Result<Self, ArenaError> {
        let quanta = (first.len() / quantum) as u32;
        let added = [const { SetOnce::new() }; CHUNKS];
        let (first, count) = (Place::new(first, quantum)?, AtomicU32::new(0));
        Ok(Self { first, quanta, bytes: quantum, added, count })
    }

    /// Adds a region, whose first quantum is `first`. Under the arena's lock. `Err`: there are too
    /// many.
    pub(super) fn add(&self, place: &mut Option<Place>, first: u32) -> Result<(), ArenaError> {
        let at = self.count.get();
        let (chunk, offset) = Self::position(at);
        let chunk_len = 4 << chunk;
        let chunk = self.added.get(chunk).ok_or(ArenaError::Size(first as usize))?;
        if chunk.get().is_none() {
            chunk.set((0..chunk_len).map(|_| SetOnce::new()).collect());
        }
        let slots = chunk.get().expect("just set");
        if let Some(place) = place.take() {
            slots[offset].set(Added { first, place });
            self.count.set(at + 1);
        }
        Ok(())
    }

    const fn position(at: u32) -> (usize, usize) {
        let chunk = (at / 4 + 1).ilog2();
        (chunk as usize, (at - 4 * ((1 << chunk) - 1)) as usize)
    }

    fn get(&self, at: u32) -> &Added {
        let (chunk, offset) = Self::position(at);
        let added = self.added[chunk].get().and_then(|chunk| chunk[offset].get());
        added.expect("what is counted was added")
    }

    /// The region that has a quantum, and its first quantum.
    #[inline]
    fn find(&self, quantum: u32) -> (&Place, u32) {
        if quantum < self.quanta {
            return (&self.first, 0);
        }
        self.find_added(quantum)
    }

    #[cold]
    fn find_added(&self, quantum: u32) -> (&Place, u32) {
        let (mut low, mut high) = (0, self.count.get());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.get(middle).first <= quantum { low = middle } else { high = middle }
        }
        let added = self.get(low);
        (&added.place, added.first)
    }

    /// Whether there is memory, and not just numbers.
    pub(super) fn have_memory(&self) -> bool {
        self.first.region.base().is_some()
    }

    /// Where the memory of a quantum starts.
    pub(super) fn address(&self, start: u32, quantum: usize) -> Option<NonNull<u8>> {
        let (place, first) = self.find(start);
        let base = place.region.base()?;
        NonNull::new(base.as_ptr().wrapping_add((start - first) as usize * quantum))
    }

    /// The quantum that starts at `address`, or else within which region it is, if in any.
    pub(super) fn quantum_at(&self, address: usize, quantum: usize) -> Option<Result<u32, ()>> {
        // Not by their number: who asks may have no span of those that were added last, and so did
        // not come by the lock that they were added under.
        let chunks = self.added.iter().map_while(SetOnce::get).flatten();
        let added = chunks.map_while(SetOnce::get).map(|added| (&added.place, added.first));
        std::iter::once((&self.first, 0)).chain(added).find_map(|(place, first)| {
            let offset = address.wrapping_sub(place.region.base()?.addr().get());
            // What is left over of a region, past its last quantum, is not the arena's.
            let bytes = place.region.len() / quantum * quantum;
            let at = || first + (offset / quantum) as u32;
            (offset < bytes).then(|| if offset.is_multiple_of(quantum) { Ok(at()) } else { Err(()) })
        })
    }

    /// Whether the memory of a span that was just taken is accessible already.
    #[inline]
    pub(super) fn is_committed(&self, span: Span) -> bool {
        let (place, first) = self.find(span.start);
        let quanta = || span.start - first..span.start - first + span.len;
        place.committed.is_empty() || place.words(quanta()).all(|(word, bits)| word.get() & bits == bits)
    }

    /// How many of these quanta have memory that is accessible, all in one region. Where it never has
    /// to be made so, all of them; where there is none, none.
    pub(super) fn committed(&self, (start, len): (u32, u32)) -> u32 {
        let (place, first) = self.find(start);
        if place.region.base().is_none() {
            0
        } else if place.committed.is_empty() {
            len
        } else {
            let words = place.words(start - first..start - first + len);
            words.map(|(word, bits)| (word.get() & bits).count_ones()).sum()
        }
    }

    /// How many quanta of all regions have memory that is accessible.
    pub(super) fn all_committed(&self) -> u32 {
        let more = (0..self.count.get()).map(|at| self.get(at));
        let places = more.map(|added| (added.first, &added.place));
        let all = std::iter::once((0, &self.first)).chain(places);
        all.map(|(first, place)| self.committed((first, (place.region.len() / self.bytes) as u32))).sum()
    }

    /// Makes the memory of a span that was just taken accessible.
    pub(super) fn commit(&self, span: Span, quantum: usize) -> io::Result<()> {
        let (place, first) = self.find(span.start);
        let quanta = span.start - first..span.start - first + span.len;
        place.region.commit(quanta.start as usize * quantum, span.len as usize * quantum)?;
        for (word, bits) in place.words(quanta) {
            word.insert(bits);
        }
        Ok(())
    }

    /// Whether the memory of a freed span goes back to the kernel.
    #[inline]
    pub(super) fn decommit_any(&self, span: Span) -> bool {
        self.find(span.start).0.region.decommits()
    }

    /// Gives the memory of a span back to the kernel, by its region's policy. The span must be
    /// held by the caller and used by nobody.
    pub(super) fn decommit(&self, span: Span, quantum: usize) {
        let (place, first) = self.find(span.start);
        let quanta = span.start - first..span.start - first + span.len;
        if place.region.decommit(quanta.start as usize * quantum, span.len as usize * quantum) {
            for (word, bits) in place.words(quanta) {
                word.remove(bits);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_each_other() {
        let mut next = (0, 0);
        for at in 0..1000 {
            assert_eq!(Regions::position(at), next);
            next = if next.1 + 1 == 4 << next.0 { (next.0 + 1, 0) } else { (next.0, next.1 + 1) };
        }
    }

    #[test]
    fn bits_of_quanta() {
        let memory = Region::reserve(200 * 4096, crate::Reserve::new()).unwrap();
        let place = Place::new(memory, 4096).unwrap();
        for (start, end) in [(0, 1), (0, 64), (63, 65), (10, 200), (64, 128), (199, 200)] {
            let bits: u32 = place.words(start..end).map(|(_, bits)| bits.count_ones()).sum();
            assert_eq!(bits, end - start);
            let first = place.words(start..end).next().unwrap().1;
            assert_eq!(first.trailing_zeros(), start % 64);
        }
    }
}
