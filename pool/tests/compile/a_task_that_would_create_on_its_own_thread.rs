//! A creation on the getter's own thread would block the executor.
//~ E0080: would block the executor

use std::fs::File;

use pool::{Factory, Pool};

fn block_on<F: Future>(future: F) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(future).poll(&mut context).is_ready());
}

fn main() {
    let pool = Pool::from_factory(1, Factory::new(|| File::open("Cargo.toml"))).build().unwrap();
    block_on(pool.get_async());
}
