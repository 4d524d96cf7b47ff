//! A back-end that sleeps would block the executor.
//~ E0080: would block the executor

use kva::{Arena, Region, Reserve};
use pool::{ArenaPages, Classic, Pool};

fn block_on<F: Future>(future: F) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(future).poll(&mut context).is_ready());
}

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = Pool::builder(1, || 0_u64).build(Classic::new(ArenaPages(arena))).unwrap();
    block_on(pool.get_owned_async());
}
