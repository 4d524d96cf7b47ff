//! Filling what is put, and seeing that it is as it was filled.

use std::ptr::NonNull;

/// Linux's `POISON_FREE`. As a pointer it is none on x86-64 and aarch64: the upper bits differ.
const POISON: u8 = 0x6b;

/// So many bytes are compared at a time, so that the compiler does it in a few vectors.
const STEP: usize = 64;

/// What is wrong with the filling of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spoilt {
    /// The first byte that changed, and what it is now.
    pub(super) offset: usize,
    pub(super) found: u8,
    /// How many changed.
    pub(super) bytes: usize,
}

/// Fills the first `bytes` of an item.
///
/// # Safety
/// The item is as long, and the caller's alone.
pub(super) unsafe fn fill(item: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { item.write_bytes(POISON, bytes) };
}

/// What changed of the first `bytes` of an item since they were filled.
///
/// # Safety
/// As for [`fill`], which was called for as many. Whoever breaks that with a write of theirs while this
/// looks is whom this is to find: it reads what is there, and decides nothing else by it.
pub(super) unsafe fn spoilt(item: NonNull<u8>, bytes: usize) -> Option<Spoilt> {
    // SAFETY: the caller's promise; it was filled, so it is initialised.
    let all = unsafe { std::slice::from_raw_parts(item.as_ptr(), bytes) };
    let differs = |step: &[u8]| step.iter().fold(0, |bits, byte| bits | (byte ^ POISON)) != 0;
    let at = all.chunks(STEP).position(differs)? * STEP;
    let mut changed = all[at..].iter().enumerate().filter(|(_, byte)| **byte != POISON);
    let (offset, &found) = changed.next()?;
    Some(Spoilt { offset: at + offset, found, bytes: 1 + changed.count() })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_byte_that_changes_is_found(
            len in 1_usize..300,
            writes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut item = vec![0; len];
            let start = NonNull::from(&mut item[..]).cast();
            // SAFETY: it is as long, and ours.
            unsafe { fill(start, len) };
            let mut expected = vec![POISON; len];
            for (at, byte) in writes {
                expected[at.index(len)] = byte;
            }
            prop_assert!(item.iter().all(|byte| *byte == POISON));
            item.copy_from_slice(&expected);
            let start = NonNull::from(&mut item[..]).cast();
            let first = expected.iter().position(|byte| *byte != POISON);
            let naive = first.map(|offset| Spoilt {
                offset,
                found: expected[offset],
                bytes: expected.iter().filter(|byte| **byte != POISON).count(),
            });
            // SAFETY: as above.
            prop_assert_eq!(unsafe { spoilt(start, len) }, naive);
        }
    }
}
