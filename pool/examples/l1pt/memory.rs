//! What is in the pages: words that follow from a seed, so that a page that was moved wrongly, or
//! lent to two, is found out.

use std::ptr::NonNull;

/// The quantum of the arena, in bytes.
pub(crate) const PAGE: usize = 4096;
/// A level-1 table, in pages; and at multiples of what.
pub(crate) const TABLE_PAGES: u32 = 4;
/// A level-1 table, in bytes.
pub(crate) const TABLE: usize = TABLE_PAGES as usize * PAGE;

/// Writes `bytes` bytes from `base` on.
///
/// # Safety
/// They are the caller's alone, and `base` is aligned for words.
pub(crate) unsafe fn fill(base: NonNull<u8>, bytes: usize, seed: u64) {
    let words = NonNull::slice_from_raw_parts(base.cast::<std::mem::MaybeUninit<u64>>(), bytes / 8);
    // SAFETY: by this function's contract; they need not be initialised.
    let words = unsafe { &mut *words.as_ptr() };
    for (word, value) in words.iter_mut().zip(Random(seed)) {
        word.write(value);
    }
}

/// Whether they still are as they were filled.
///
/// # Safety
/// As for [`fill`], which was called for all of them or what they were copied from.
pub(crate) unsafe fn is_intact(base: NonNull<u8>, bytes: usize, seed: u64) -> bool {
    let words = NonNull::slice_from_raw_parts(base.cast::<u64>(), bytes / 8);
    // SAFETY: by this function's contract.
    let words = unsafe { words.as_ref() };
    words.iter().copied().eq(Random(seed).take(words.len()))
}

/// Copies a page.
///
/// # Safety
/// Both are the caller's alone, and different.
pub(crate) unsafe fn copy_page(from: NonNull<u8>, to: NonNull<u8>) {
    // SAFETY: by this function's contract.
    unsafe { to.copy_from_nonoverlapping(from, PAGE) };
}

/// Steele, Lea and Flood's `SplitMix64`: the same load in each run, from any seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        let word = self.next().expect("it has no end");
        ((u128::from(word) * u128::from(n)) >> 64) as u32
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u32 + 1) as usize);
        }
    }
}

impl Iterator for Random {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ (z >> 31))
    }
}
