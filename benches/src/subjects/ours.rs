//! This workspace's pool of objects, as its users call it: `get`, and a guard that is dropped.

use std::mem::MaybeUninit;

use pool::{Builder, Item, Pool};

use super::stocked::objects_with;
use crate::subject::{Block, Shared, Stock};

/// `Pool` of blocks, whose waiters are overtaken at most `BYPASS` times: the default, or one of those
/// that it was chosen among.
#[derive(Debug)]
pub struct Ours<const BYTES: usize, const BYPASS: u32 = { Builder::DEFAULT_BYPASS }>(Pool<Block<BYTES>>);

impl<const BYTES: usize> Ours<BYTES> {
    /// A pool that was made elsewhere.
    #[must_use]
    pub const fn over(pool: Pool<Block<BYTES>>) -> Self {
        Self(pool)
    }
}

impl<const BYTES: usize, const BYPASS: u32> Shared for Ours<BYTES, BYPASS> {
    const NAME: &'static str = match BYPASS {
        Builder::DEFAULT_BYPASS => "ours",
        0 => "ours, bypass 0",
        8 => "ours, bypass 8",
        32 => "ours, bypass 32",
        128 => "ours, bypass 128",
        2048 => "ours, bypass 2048",
        _ => panic!("it has no name"),
    };

    type Item<'a> = Item<'a, Block<BYTES>>;

    fn new(stock: Stock) -> Self {
        Self(objects_with(stock, |builder| builder.bypass(BYPASS)))
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
