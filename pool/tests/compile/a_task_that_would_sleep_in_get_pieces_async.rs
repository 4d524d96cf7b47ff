//! A back-end that sleeps would block the executor.
//~ E0080: would block the executor

use std::alloc::Layout;

use kva::{Arena, Region, Reserve};
use pool::{ArenaPages, Classic, RawPool};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = RawPool::builder(Layout::new::<u64>(), 1).build(Classic::new(ArenaPages(arena))).unwrap();
    drop(pool.request().get_pieces_async(8));
}
