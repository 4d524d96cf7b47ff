//! A guard that borrows cannot outlive what it borrows.
//~ E0505: cannot move out of `pool` because it is borrowed

use kva::{Arena, Region, Reserve};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = pool::Pool::builder(1, || 0_u64).build(arena).unwrap();
    let item = pool.get().unwrap();
    drop(pool);
    assert_eq!(*item, 0);
}
