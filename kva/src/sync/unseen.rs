//! Words that loom does not see: `std`'s atomics in both worlds, all accesses Relaxed.
//!
//! For what needs no exploring: words that decide nothing, such as counts for statistics, and
//! words that change only while nobody else relies on them, such as the mark of an item that is
//! out, which is its holder's. To loom each access of its own atomics is another place where threads
//! may interleave. Of these there are too many, and nothing is to be found.

#![allow(clippy::disallowed_types, reason = "this is the shim")]

use std::alloc::{Layout, alloc_zeroed};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{self, Ordering::Relaxed};

macro_rules! word {
    ($name:ident, $value:ty) => {
        /// A word.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(atomic::$name);

        impl $name {
            /// A word of `value`.
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            /// Loads.
            #[inline]
            pub fn get(&self) -> $value {
                self.0.load(Relaxed)
            }

            /// Stores.
            #[inline]
            pub fn set(&self, value: $value) {
                self.0.store(value, Relaxed);
            }
        }

        impl Zeroable for $name {}
    };
}

/// What is good if all its bytes are zero.
pub trait Zeroable: private::Sealed {}

mod private {
    pub trait Sealed {}
    impl Sealed for super::AtomicU32 {}
    impl Sealed for super::AtomicU64 {}
    impl Sealed for super::AtomicUsize {}
    impl<T> Sealed for super::StaticRef<T> {}
}

word!(AtomicU32, u32);
word!(AtomicU64, u64);
word!(AtomicUsize, usize);

impl AtomicU64 {
    /// Adds one, for which nobody else may be storing: no locked instruction.
    #[inline]
    pub fn count(&self) {
        self.set(self.get().wrapping_add(1));
    }
}

impl AtomicU64 {
    /// Sets bits.
    pub fn insert(&self, bits: u64) {
        self.0.fetch_or(bits, Relaxed);
    }

    /// Clears bits.
    pub fn remove(&self, bits: u64) {
        self.0.fetch_and(!bits, Relaxed);
    }

    /// Adds, wrapping; what was there.
    pub fn add(&self, value: u64) -> u64 {
        self.0.fetch_add(value, Relaxed)
    }
}

/// A reference, or none.
#[derive(Debug)]
#[repr(transparent)]
pub struct StaticRef<T: 'static>(atomic::AtomicPtr<T>);

impl<T> Zeroable for StaticRef<T> {}

impl<T: Sync> StaticRef<T> {
    /// Loads.
    #[inline]
    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: only `set` stores, and all bytes zero are no reference.
        unsafe { self.0.load(Relaxed).as_ref() }
    }

    /// Stores.
    #[inline]
    pub fn set(&self, value: Option<&'static T>) {
        self.0.store(value.map_or(ptr::null_mut(), |value| ptr::from_ref(value).cast_mut()), Relaxed);
    }
}

/// So many of them, all zero, which the system backs with memory as far as they are touched.
/// `None`: there is no memory for that.
#[must_use]
pub fn zeroed<T: Zeroable>(len: usize) -> Option<Box<[T]>> {
    let layout = Layout::array::<T>(len).ok()?;
    if layout.size() == 0 {
        return Some(Box::default());
    }
    // SAFETY: the layout's size is not zero.
    let first = ptr::NonNull::new(unsafe { alloc_zeroed(layout) })?;
    let all = ptr::slice_from_raw_parts_mut(first.as_ptr().cast::<T>(), len);
    // SAFETY: allocated just now with this layout, and zeroes are good values (`Zeroable`).
    Some(unsafe { Box::from_raw(all) })
}

/// Set once, by somebody who holds a lock, and read without it.
#[derive(Debug)]
pub struct SetOnce<T>(OnceLock<T>);

impl<T> SetOnce<T> {
    /// Not set yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// What it was set to.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// Sets it.
    ///
    /// # Panics
    /// If it was set before.
    pub fn set(&self, value: T) {
        assert!(self.0.set(value).is_ok(), "set once");
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}
