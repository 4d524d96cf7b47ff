//! What is written through a guard stays in the pool: it must live as long as what was there.
//~ : lifetime may not live long enough

use kva::{Arena, Region, Reserve};
use pool::Item;

fn shorter<'a>(item: Item<'a, &'static str>) -> Item<'a, &'a str> {
    item
}

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = pool::Pool::builder(1, || "for ever").build(arena).unwrap();
    drop(shorter(pool.get().unwrap()));
}
