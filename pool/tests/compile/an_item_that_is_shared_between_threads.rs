//! It may go to another thread, but not be seen from two if its object may not.
//~ E0277: cannot be shared between threads safely

use std::cell::Cell;

use kva::{Arena, Region, Reserve};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = pool::Pool::builder(1, || Cell::new(0)).build(arena).unwrap();
    let item = pool.get().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| item.set(1));
        item.set(2);
    });
}
