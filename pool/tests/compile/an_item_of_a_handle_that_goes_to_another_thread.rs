//! It goes back to the cache of the thread that got it.
//~ E0277: `Rc<pool::cache::Owned>` cannot be shared between threads safely
//~ E0277: `NonNull<u8>` cannot be shared between threads safely

use kva::{Arena, Region, Reserve};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = pool::Pool::builder(2, || 0_u64).build(arena).unwrap();
    let local = pool.local();
    let (item, shared) = (local.get().unwrap(), local.get().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || drop(item));
        scope.spawn(|| *shared == 0);
    });
}
