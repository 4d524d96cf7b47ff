//! This workspace's pool of objects, as its users call it: `get`, and a guard that is dropped.

use std::mem::MaybeUninit;

use pool::{Item, Pool};

use super::stocked::objects;
use crate::subject::{Block, Shared, Stock};

/// `Pool` of blocks.
#[derive(Debug)]
pub struct Ours<const BYTES: usize>(Pool<Block<BYTES>>);

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
        Self(objects(stock))
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
