//! This workspace's pool with another bound on bypass: what the default was chosen among.

use std::mem::MaybeUninit;

use pool::{Item, Pool};

use super::stocked::objects_with;
use crate::subject::{Block, Shared, Stock, USUAL};

/// `Pool` of blocks, whose waiters are overtaken at most `TIMES` times.
#[derive(Debug)]
pub struct OursBypass<const TIMES: u32>(Pool<Block<USUAL>>);

impl<const TIMES: u32> Shared for OursBypass<TIMES> {
    const NAME: &'static str = match TIMES {
        0 => "ours, bypass 0",
        8 => "ours, bypass 8",
        32 => "ours, bypass 32",
        128 => "ours, bypass 128",
        2048 => "ours, bypass 2048",
        _ => panic!("it has no name"),
    };

    type Item<'a> = Item<'a, Block<USUAL>>;

    fn new(stock: Stock) -> Self {
        Self(objects_with(stock, |builder| builder.bypass(TIMES)))
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
