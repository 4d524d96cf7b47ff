//! Pools whose threads have caches, as worlds use them: that of production, and [one](flawed) as
//! one writes it after reading of magazines.

use std::alloc::Layout;
use std::mem;

use kva::Arena;
use kva::sync::GlobalMutex;
use pool::{Builder, RawPool};

use crate::world::{self, Item, arena, assert_arena_whole, assert_pool_at_rest, get, pages};

pub mod flawed;

/// So many operations, while nobody waits, end the scarcity. An even number.
const CALM: usize = 4;

/// A pool whose threads have caches of two items. All of its items are put at the end, by whoever
/// has them.
pub trait Caching: Sized + Send + Sync + 'static {
    /// What it has.
    type Item: Send + 'static;

    /// Gets an item, waiting for it.
    fn get(&self) -> Self::Item;

    /// Gets several, waiting for all of them.
    fn get_many(&self, items: usize) -> Vec<Self::Item>;

    /// Gets an item if there is one.
    fn try_get(&self) -> Option<Self::Item>;

    /// Puts an item.
    fn put(&self, item: Self::Item);

    /// Puts them.
    fn put_all(&self, items: impl IntoIterator<Item = Self::Item>) {
        for item in items {
            self.put(item);
        }
    }

    /// How many items are in the pool and in no cache.
    fn uncached(&self) -> usize;

    /// Takes back what is in caches, and gives up what nobody needs.
    fn drain(&self);

    /// What is put from now on goes where it came from, and so does what is in the pool.
    fn close(&self);

    /// Asserts that all is back and nobody waits.
    fn assert_at_rest(&self);

    /// Asserts of a closed pool that all went back to where it came from.
    fn assert_all_gone(&self);

    /// The thread has an item in its cache, and room for another, for which it takes no lock.
    fn warm_up(&self) {
        self.put(self.get());
    }

    /// Gets an item, in a pool that is scarce after that, and not any more after one more operation.
    /// To be called while nobody waits and there is an item.
    fn almost_calm(&self) -> Self::Item {
        self.drain();
        let mut item = self.get();
        for _ in 1..CALM / 2 {
            self.put(item);
            item = self.get();
        }
        item
    }
}

/// The one in production: items are the pages of an arena.
#[derive(Debug)]
pub struct Production {
    pool: RawPool,
    arena: Arena,
    /// Out from the first to the last.
    others: GlobalMutex<Vec<Item>>,
}

/// A pool of fewer items has no caches, if that is left to it; one of so many has one.
const ITEMS_FOR_ONE_CACHE: u32 = 8;

impl Production {
    /// Of so many items. Each thread has a cache.
    ///
    /// # Panics
    /// If there are more than eight.
    #[must_use]
    pub fn new(items: u32) -> Self {
        Self::build(items, 1, |builder| builder.magazine_rounds(1))
    }

    /// The same, but only the first thread that would have a cache has one, as long as it lives.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_one_cache(items: u32) -> Self {
        Self::with_room_for_pages(items, 1)
    }

    /// The same, and the limit allows so many pages, for all but one of which the arena has no room.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_room_for_pages(items: u32, limit: u32) -> Self {
        let this = Self::build(ITEMS_FOR_ONE_CACHE, limit, |builder| builder);
        let others = this.get_many((ITEMS_FOR_ONE_CACHE - items) as usize);
        this.others.with(|list| *list = others);
        this
    }

    fn build(items: u32, limit: u32, with: impl FnOnce(Builder<Layout>) -> Builder<Layout>) -> Self {
        let arena = arena((items as usize).next_power_of_two(), 0);
        // On one page, which is found at the first look wherever it lies: what is not found goes past
        // the caches.
        let builder = with(pages(limit).items_per_page(items).max_growing(1).bypass(0));
        let pool = builder.build(arena.clone()).expect("a good pool");
        Self { pool, arena, others: GlobalMutex::new(Vec::new()) }
    }

    fn put_others(&self) {
        self.put_all(self.others.with(mem::take));
    }
}

impl Caching for Production {
    type Item = Item;

    fn get(&self) -> Item {
        get(&self.pool).expect("an item comes")
    }

    fn get_many(&self, items: usize) -> Vec<Item> {
        let items = self.pool.get_many(items).expect("items come");
        items.into_iter().map(Item::from).collect()
    }

    fn try_get(&self) -> Option<Item> {
        self.pool.try_get().map(Item::from).ok()
    }

    fn put(&self, item: Item) {
        world::put(&self.pool, item);
    }

    fn uncached(&self) -> usize {
        let stats = self.pool.stats();
        stats.idle - stats.cached
    }

    fn drain(&self) {
        self.pool.drain();
    }

    fn close(&self) {
        self.pool.close();
    }

    fn assert_at_rest(&self) {
        self.put_others();
        assert_pool_at_rest(&self.pool, 0);
        assert_arena_whole(&self.arena);
    }

    fn assert_all_gone(&self) {
        self.put_others();
        assert_arena_whole(&self.arena);
    }
}
