//! What a factory makes is an object, and no memory to put anything else into.
//~ E0080: `Pool::from_factory` pools them

use std::alloc::Layout;

use pool::{Factory, RawPool};

fn main() {
    let factory = Factory::new(|| Ok::<_, std::io::Error>(0_u64));
    drop(RawPool::builder(Layout::new::<u64>(), 1).build(factory));
}
