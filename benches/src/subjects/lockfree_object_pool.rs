//! `lockfree-object-pool`, the linear one: bit sets over pages of objects, and no lock. It makes 32
//! more objects whenever there is none.

use std::mem::MaybeUninit;

use lockfree_object_pool::{LinearObjectPool, LinearReusable};

use crate::subject::{Block, Shared, Stock, USUAL};

/// `LinearObjectPool` of blocks, which stay where they are.
pub struct Linear(LinearObjectPool<Block<USUAL>>);

impl Shared for Linear {
    const NAME: &'static str = "lockfree-object-pool";

    type Item<'a> = LinearReusable<'a, Block<USUAL>>;

    fn new(_: Stock) -> Self {
        Self(LinearObjectPool::new(Block::default, |_| ()))
    }

    #[inline]
    fn get(&self) -> Self::Item<'_> {
        self.0.pull()
    }

    #[inline]
    fn put<'a>(&'a self, item: Self::Item<'a>) {
        drop(item);
    }

    #[inline]
    fn first_byte<'i>(item: &'i mut Self::Item<'_>) -> &'i mut MaybeUninit<u8> {
        item.first_byte()
    }
}
