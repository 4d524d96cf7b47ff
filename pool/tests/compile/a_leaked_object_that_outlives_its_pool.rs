//! It is leaked, but in the pool's memory.
//~ E0505: cannot move out of `pool` because it is borrowed

use kva::{Arena, Region, Reserve};
use pool::Item;

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = pool::Pool::builder(1, || 0_u64).build(arena).unwrap();
    let leaked = Item::leak(pool.get().unwrap());
    drop(pool);
    assert_eq!(*leaked, 0);
}
