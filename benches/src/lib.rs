//! What the benches share: an arena and pools over it.

use std::alloc::Layout;

use kva::{Arena, Region, Reserve};
use pool::RawPool;

/// An arena of `bytes` bytes, in quanta of 4 KiB.
///
/// # Panics
/// If the address space cannot be reserved.
#[must_use]
pub fn arena(bytes: usize) -> Arena {
    let region = Region::reserve(bytes, Reserve::new()).expect("address space");
    Arena::new(region, 4096).expect("a good arena")
}

/// A pool of items of `bytes` bytes, with 16 MiB behind it.
///
/// # Panics
/// If there is no memory.
#[must_use]
pub fn pool(bytes: usize) -> RawPool {
    let layout = Layout::from_size_align(bytes, 8).expect("a good layout");
    RawPool::builder(layout, 64).build(arena(16 << 20)).expect("a good pool")
}
