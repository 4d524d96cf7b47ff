//! A back-end that sleeps could not be left for another event.
//~ E0080: could not be left for another event

use std::alloc::Layout;

use kva::{Arena, Region, Reserve};
use pool::{ArenaPages, Classic, RawPool};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = RawPool::builder(Layout::new::<u64>(), 1).build(Classic::new(ArenaPages(arena))).unwrap();
    drop(pool.get_event());
}
