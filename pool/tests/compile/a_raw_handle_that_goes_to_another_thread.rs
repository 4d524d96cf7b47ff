//! What it finds is the cache of the thread that made it.
//~ E0277: cannot be sent between threads safely
//~ E0277: cannot be shared between threads safely

use std::alloc::Layout;

use kva::{Arena, Region, Reserve};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = pool::RawPool::builder(Layout::new::<u64>(), 1).build(arena).unwrap();
    let (local, shared) = (pool.local(), pool.local());
    std::thread::scope(|scope| {
        scope.spawn(move || drop(local));
        scope.spawn(|| drop(shared.get()));
    });
}
