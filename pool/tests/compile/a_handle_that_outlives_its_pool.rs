//! It borrows the pool, whose cache it has.
//~ E0505: cannot move out of `pool`

use kva::{Arena, Region, Reserve};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = pool::Pool::builder(1, || 0_u64).build(arena).unwrap();
    let local = pool.local();
    drop(pool);
    drop(local.get());
}
