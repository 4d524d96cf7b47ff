//! A back-end that sleeps could not be left for another event.
//~ E0080: could not be left for another event

use kva::{Arena, Region, Reserve};
use pool::{ArenaPages, Classic, Pool};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = Pool::builder(1, || 0_u64).build(Classic::new(ArenaPages(arena))).unwrap();
    drop(pool.reserve_event(1));
}
