//! This workspace's pool of objects, as its users call it: `get`, and a guard that is dropped.

use std::alloc::Layout;
use std::mem::MaybeUninit;

use kva::Arena;
use pool::{Item, Pool};

use crate::subject::{Block, Shared, Stock};

/// `Pool` of blocks.
#[derive(Debug)]
pub struct Ours<const BYTES: usize>(Pool<Block<BYTES>>);

/// The hard limit of a pool that is not to be scarce, in pages.
pub(super) const AMPLE_PAGES: u32 = 1024;

/// The smallest page there is, in bytes.
const PAGE: usize = 4096;

/// The hard limit that `stock` asks for, in pages.
pub(super) const fn pages(stock: Stock) -> u32 {
    match stock {
        Stock::Scarce { .. } => 1,
        Stock::Ample(_) => AMPLE_PAGES,
    }
}

/// How many items a page has: all there are, if they are to be scarce, else as many as the pool
/// would make of its own.
pub(super) const fn items_per_page(stock: Stock, item: Layout) -> u32 {
    match stock {
        Stock::Scarce { objects, .. } => objects as u32,
        Stock::Ample(_) if item.size() < PAGE => (PAGE / item.size()) as u32,
        Stock::Ample(_) => 1,
    }
}

/// An arena with room for all the pages of such items.
pub(super) fn room(item: Layout) -> Arena {
    crate::arena(item.size().next_multiple_of(PAGE) * AMPLE_PAGES as usize)
}

impl<const BYTES: usize> Ours<BYTES> {
    /// A pool that was made elsewhere.
    #[must_use]
    pub const fn over(pool: Pool<Block<BYTES>>) -> Self {
        Self(pool)
    }
}

impl<const BYTES: usize> Shared for Ours<BYTES> {
    const NAME: &'static str = "ours";

    type Item<'a> = Item<'a, Block<BYTES>>;

    fn new(stock: Stock) -> Self {
        let layout = Layout::new::<Block<BYTES>>();
        let builder =
            Pool::builder(pages(stock), Block::default).items_per_page(items_per_page(stock, layout));
        Self(builder.build(room(layout)).expect("a good pool"))
    }

    #[inline]
    fn get(&self) -> Self::Item<'_> {
        self.0.get().expect("an object")
    }

    #[inline]
    fn put<'a>(&'a self, item: Self::Item<'a>) {
        drop(item);
    }

    #[inline]
    fn first_byte<'i>(item: &'i mut Self::Item<'_>) -> &'i mut MaybeUninit<u8> {
        Block::first_byte(item)
    }

    fn most_overtaken(&self) -> Option<u64> {
        Some(self.0.stats().most_overtaken)
    }
}
