//! The allocators that people would use instead, called through `GlobalAlloc`. None of them is
//! installed, so each is alone with its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use mimalloc::MiMalloc;
use tikv_jemallocator::Jemalloc;

use crate::subject::{Block, Memory, Shared, Stock};

/// An allocator with a name.
pub trait Named: GlobalAlloc + Sync + Sized + 'static {
    /// As [`Shared::NAME`].
    const NAME: &'static str;

    /// The allocator.
    const ALLOCATOR: Self;
}

impl Named for MiMalloc {
    const NAME: &'static str = "mimalloc";
    const ALLOCATOR: Self = Self;
}

impl Named for Jemalloc {
    const NAME: &'static str = "jemalloc";
    const ALLOCATOR: Self = Self;
}

impl Named for System {
    const NAME: &'static str = "glibc malloc";
    const ALLOCATOR: Self = Self;
}

/// An allocator of memory for blocks.
#[derive(Debug)]
pub struct Allocator<A, const BYTES: usize>(A);

impl<A: Named, const BYTES: usize> Shared for Allocator<A, BYTES> {
    const NAME: &'static str = A::NAME;

    type Item<'a> = Memory;

    fn new(stock: Stock) -> Self {
        assert!(matches!(stock, Stock::Ample(_)), "an allocator has no bound");
        Self(A::ALLOCATOR)
    }

    #[inline]
    fn get(&self) -> Memory {
        // SAFETY: a block is not of size zero.
        let memory = unsafe { self.0.alloc(Layout::new::<Block<BYTES>>()) };
        let memory = NonNull::new(memory).expect("memory");
        // SAFETY: the allocator gives it to nobody else until it is freed.
        unsafe { Memory::new(memory) }
    }

    #[inline]
    fn put(&self, item: Memory) {
        // SAFETY: it was allocated here, with this layout; who had it alone gave it up.
        unsafe { self.0.dealloc(item.into_inner().as_ptr(), Layout::new::<Block<BYTES>>()) };
    }

    #[inline]
    fn first_byte(item: &mut Memory) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }
}
