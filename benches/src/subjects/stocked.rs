//! How this workspace's pools are made for each stock.

use std::alloc::Layout;

use kva::Arena;
use pool::{Builder, Objects, Pool, RawPool};

use crate::subject::{Block, Stock};

/// A pool of blocks.
pub(super) fn objects<const BYTES: usize>(stock: Stock) -> Pool<Block<BYTES>> {
    objects_with(stock, |builder| builder)
}

/// A pool of blocks, with something of its own.
pub(super) fn objects_with<const BYTES: usize>(
    stock: Stock,
    own: impl FnOnce(Builder<Objects<Block<BYTES>>>) -> Builder<Objects<Block<BYTES>>>,
) -> Pool<Block<BYTES>> {
    let layout = Layout::new::<Block<BYTES>>();
    let builder = Pool::builder(pages(stock), Block::default).items_per_page(items_per_page(stock, layout));
    own(builder).build(room(layout)).expect("a good pool")
}

/// A pool of memory for blocks.
pub(super) fn memory<const BYTES: usize>(stock: Stock) -> RawPool {
    let layout = Layout::new::<Block<BYTES>>();
    let builder = RawPool::builder(layout, pages(stock)).items_per_page(items_per_page(stock, layout));
    builder.build(room(layout)).expect("a good pool")
}

/// The hard limit of a pool that is not to be scarce, in pages.
const AMPLE_PAGES: u32 = 1024;

/// The smallest page there is, in bytes.
const PAGE: usize = 4096;

/// The hard limit that `stock` asks for, in pages.
const fn pages(stock: Stock) -> u32 {
    match stock {
        Stock::Scarce { .. } => 1,
        Stock::Ample(_) => AMPLE_PAGES,
    }
}

/// How many items a page has: all there are, if they are to be scarce, else as many as the pool
/// would make of its own.
const fn items_per_page(stock: Stock, item: Layout) -> u32 {
    match stock {
        Stock::Scarce { objects, .. } => objects as u32,
        Stock::Ample(_) if item.size() < PAGE => (PAGE / item.size()) as u32,
        Stock::Ample(_) => 1,
    }
}

/// An arena with room for all the pages of such items.
fn room(item: Layout) -> Arena {
    crate::arena(item.size().next_multiple_of(PAGE) * AMPLE_PAGES as usize)
}
