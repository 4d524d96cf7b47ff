//! This workspace's pool of memory, through each thread's own handle.

use std::mem::MaybeUninit;

use pool::{RawLocal, RawPool};

use super::stocked::memory;
use crate::subject::{Memory, Seat, Stock, Subject};

/// `RawPool` of memory for blocks, used by way of `RawLocal`.
#[derive(Debug)]
pub struct OursRawByHandle<const BYTES: usize>(RawPool);

impl<const BYTES: usize> Subject for OursRawByHandle<BYTES> {
    const NAME: &'static str = "ours, raw by handle";

    type Seat<'a> = RawLocal<'a>;

    fn new(stock: Stock) -> Self {
        Self(memory::<BYTES>(stock))
    }

    fn enter<R>(&self, work: impl FnOnce(&RawLocal<'_>) -> R) -> R {
        work(&self.0.local())
    }

    fn most_overtaken(&self) -> Option<u64> {
        Some(self.0.stats().most_overtaken)
    }
}

impl Seat for RawLocal<'_> {
    type Item = Memory;

    #[inline]
    fn get(&self) -> Memory {
        let item = RawLocal::get(self).expect("an item");
        // SAFETY: the pool lends it to nobody else until it is put.
        unsafe { Memory::new(item) }
    }

    #[inline]
    fn put(&self, item: Memory) {
        // SAFETY: who had it alone gave it up.
        unsafe { RawLocal::put(self, item.into_inner()) }.expect("it is out");
    }

    #[inline]
    fn first_byte(item: &mut Memory) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }
}
