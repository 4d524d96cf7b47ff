//! What it finds is the cache of the thread that made it.
//~ E0277: cannot be sent between threads safely
//~ E0277: cannot be shared between threads safely

use kva::{Arena, Region, Reserve};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = pool::Pool::builder(1, || 0_u64).build(arena).unwrap();
    let (local, shared) = (pool.local(), pool.local());
    std::thread::scope(|scope| {
        scope.spawn(move || drop(local));
        scope.spawn(|| drop(shared.get()));
    });
}
