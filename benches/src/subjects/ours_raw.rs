//! This workspace's pool of memory: `get`, and an unsafe `put`.

use std::mem::MaybeUninit;

use pool::RawPool;

use super::stocked::memory;
use crate::subject::{Memory, Shared, Stock};

/// `RawPool` of memory for blocks.
#[derive(Debug)]
pub struct OursRaw<const BYTES: usize>(RawPool);

impl<const BYTES: usize> Shared for OursRaw<BYTES> {
    const NAME: &'static str = "ours, raw";

    type Item<'a> = Memory;

    fn new(stock: Stock) -> Self {
        Self(memory::<BYTES>(stock))
    }

    #[inline]
    fn get(&self) -> Memory {
        let item = self.0.get().expect("an item");
        // SAFETY: the pool lends it to nobody else until it is put.
        unsafe { Memory::new(item) }
    }

    #[inline]
    fn put(&self, item: Memory) {
        // SAFETY: who had it alone gave it up.
        unsafe { self.0.put(item.into_inner()) }.expect("it is out");
    }

    #[inline]
    fn first_byte(item: &mut Memory) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }

    fn most_overtaken(&self) -> Option<u64> {
        Some(self.0.stats().most_overtaken)
    }
}
