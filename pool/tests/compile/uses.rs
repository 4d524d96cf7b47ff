//! What is right compiles, and is built: or the errors that only a build finds were not seen in
//! the others.

use std::cell::Cell;

use kva::{Arena, Region, Reserve};
use pool::{ArenaPages, AsyncFactory, Classic, Factory, Growers, Item, OwnedItem, Pool, Reservation};

fn main() {
    let arena = Arena::new(Region::reserve(1 << 20, Reserve::new()).unwrap(), 4096).unwrap();
    let pool = Pool::builder(2, || Cell::new(0_u64)).build(arena.clone()).unwrap();
    let item: Item<'_, Cell<u64>> = pool.get().unwrap();
    std::thread::scope(|scope| scope.spawn(move || item.set(1)).join().unwrap());
    let item: OwnedItem<Cell<u64>> = pool.get_owned().unwrap();
    let future = pool.get_async();
    let reserved: Reservation<Cell<u64>> = pool.try_reserve(1).unwrap();
    drop(future);
    drop(pool);
    std::thread::spawn(move || drop((item, reserved))).join().unwrap();

    let sleeps = Pool::builder(2, || 0_u64).build(Classic::new(ArenaPages(arena))).unwrap();
    let seven: u64 = OwnedItem::detach(sleeps.get_owned().unwrap()) + 7;
    assert_eq!(seven, 7);

    // A factory's, which has its error to say.
    let create = || Ok::<_, std::io::Error>(Cell::new(7));
    let own: Pool<Cell<u64>, Factory<_, _>> = Pool::from_factory(1, Factory::new(create)).build().unwrap();
    assert_eq!(own.get().unwrap().get(), 7);
    let growers = Pool::from_factory(1, Growers::new(1, create)).low_water(1).build().unwrap();
    let futures = Pool::from_factory(1, AsyncFactory::new(move || std::future::ready(create())));
    let futures = futures.validate_async(|cell| Box::pin(async move { cell.get() == 7 })).build().unwrap();
    drop((growers.get_async(), futures.get_owned_async(), futures.request().reserve_async(1)));
    std::thread::spawn(move || drop((growers, futures.get_owned().unwrap()))).join().unwrap();
}
