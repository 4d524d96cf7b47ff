//! Who holds an item, written into it: two who were lent the same see it.

use std::ptr::NonNull;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicU64, Ordering::Relaxed};
use pool::{Backend, RawPool};

use super::failure::{self, holds};

/// In the upper bits of each stamp. What others leave in memory has none: they write bytes below 128.
const HELD: u64 = 0xF3A1 << 48;
/// What is left by who gives an item back.
const FREE: u64 = 0x0F0F_0F0F_0F0F_0F0F;

/// A stamp that nobody else ever has.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    HELD | NEXT.fetch_add(1, Relaxed)
}

/// An object's holder.
#[derive(Debug, Default)]
pub(crate) struct Holder(AtomicU64);

impl Holder {
    pub(crate) fn take(&self, me: u64) {
        // Relaxed: the pool orders those who have it one after the other, which is what is checked.
        let before = self.0.swap(me, Relaxed);
        holds!(before == 0, "no object is lent to two", "{before:#x} has it, and {me:#x}");
    }

    pub(crate) fn give(&self, me: u64) {
        let before = self.0.swap(0, Relaxed);
        holds!(before == me, "no object is lent to two", "{before:#x} has what {me:#x} gives back");
    }

    /// Nobody has what is reset, validated or destroyed.
    pub(crate) fn assert_free(&self, what: &str) {
        let now = self.0.load(Relaxed);
        holds!(now == 0, "callers' code has an object alone", "{what}, while {now:#x} has it");
    }
}

/// The words that are stamped: all of a small item, 16 of a large one and its last.
fn words(item: NonNull<u8>, len: usize) -> impl Iterator<Item = *mut u64> {
    let step = (len / 16).next_multiple_of(8).max(8);
    let words = (0..len / 8 * 8).step_by(step).chain([len - 8]);
    words.map(move |at| item.as_ptr().wrapping_add(at).cast())
}

/// Stamps what was just lent.
///
/// # Safety
/// It is the caller's: `len` accessible bytes, at least 8, at a multiple of 8.
pub(crate) unsafe fn take(item: NonNull<u8>, len: usize, me: u64) {
    let mut another = None;
    for word in words(item, len) {
        // SAFETY: the caller's. Volatile: who is lent the same by mistake is to be seen.
        let before = unsafe { word.read_volatile() };
        if before >> 48 == HELD >> 48 && before != me {
            another = Some(before);
        }
        // SAFETY: as above.
        unsafe { word.write_volatile(me) };
    }
    if let Some(another) = another {
        failure::report(format!("no item is lent to two: {item:?} is {another:#x}'s, and lent to {me:#x}"));
    }
}

/// Looks whether it is still the caller's, and says that it is nobody's.
///
/// # Safety
/// As for [`take`].
pub(crate) unsafe fn give(item: NonNull<u8>, len: usize, me: u64) {
    for word in words(item, len) {
        // SAFETY: the caller's.
        let now = unsafe { word.read_volatile() };
        // The last word may be one of the others.
        holds!(now == me || now == FREE, "no item is lent to two", "{item:?} of {me:#x} has {now:#x}");
        // SAFETY: as above.
        unsafe { word.write_volatile(FREE) };
    }
}

/// An item of a raw pool, stamped until it is dropped.
pub(crate) struct Held<B: Backend> {
    pool: RawPool<B>,
    item: NonNull<u8>,
    me: u64,
}

// SAFETY: an item is memory that only its holder has, and may be put by any thread.
unsafe impl<B: Backend> Send for Held<B> {}

impl<B: Backend> Held<B> {
    /// `item` was just lent by `pool`.
    pub(crate) fn new(pool: &RawPool<B>, item: NonNull<u8>) -> Self {
        let me = unique();
        // SAFETY: it was lent, and is as long as the layout says; pools here have items of words.
        unsafe { take(item, pool.item_layout().size(), me) };
        Self { pool: pool.clone(), item, me }
    }
}

impl<B: Backend> Drop for Held<B> {
    fn drop(&mut self) {
        // SAFETY: it is ours until it is put.
        unsafe { give(self.item, self.pool.item_layout().size(), self.me) };
        // SAFETY: as above, and nobody uses it any more.
        let put = unsafe { self.pool.put(self.item) };
        holds!(put.is_ok(), "what was lent can be put", "{put:?} by {:?}", self.pool.name());
    }
}

/// How many of something were made, and are gone.
#[derive(Debug, Default, Clone)]
pub(crate) struct Census(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    made: AtomicU64,
    gone: AtomicU64,
}

impl Census {
    /// One more, until what is returned is dropped.
    pub(crate) fn one_more(&self) -> Counted {
        self.0.made.fetch_add(1, Relaxed);
        Counted(self.clone())
    }

    /// How many there are.
    pub(crate) fn alive(&self) -> u64 {
        // In this order: one that goes meanwhile was made before.
        let gone = self.0.gone.load(Relaxed);
        self.0.made.load(Relaxed).saturating_sub(gone)
    }
}

/// One of a census.
#[derive(Debug)]
pub(crate) struct Counted(Census);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.gone.fetch_add(1, Relaxed);
    }
}
