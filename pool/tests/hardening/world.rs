//! Pools whose violations are noted, and those who commit them.

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use kva::sync::{Arc, Mutex};
use pool::{Builder, Hardening, RawPool, Violation, ViolationKind};

/// What a pool was told, and the reports.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<(ViolationKind, String)>>>);

impl Told {
    /// Notes what it is told, and lets it go on.
    pub(crate) fn by(&self, hardening: Hardening) -> Hardening {
        let told = self.0.clone();
        hardening.on_violation(move |violation: &Violation<'_>| {
            told.lock().push((violation.kind(), violation.to_string()));
        })
    }

    /// What was told since.
    pub(crate) fn take(&self) -> Vec<(ViolationKind, String)> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Pages of 16 items of 256 bytes.
pub(crate) fn items(hard_limit: u32) -> Builder<Layout> {
    RawPool::builder(Layout::from_size_align(256, 8).unwrap(), hard_limit).items_per_page(16)
}

/// Writes to an item that was put: the bug.
pub(crate) fn use_after_put(item: NonNull<u8>, offset: usize) {
    // SAFETY: within the item.
    let byte = unsafe { item.add(offset) };
    // SAFETY: the arena has the memory still, and nobody else uses it in these tests.
    unsafe { byte.write(1) };
}

/// The message of its panic.
pub(crate) fn message<R>(f: impl FnOnce() -> R) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    *panic.downcast::<String>().expect("a message that was written")
}

#[inline(never)]
pub(crate) fn got_by_alice(pool: &RawPool) -> NonNull<u8> {
    pool.get().unwrap()
}

#[inline(never)]
pub(crate) fn put_by_bob(pool: &RawPool, item: NonNull<u8>) {
    // SAFETY: what the tests do with it after this is the bug.
    unsafe { pool.put(item) }.unwrap();
}
