//! `sharded_slab::Pool`: a slab for each thread, whose objects others may put too.

use std::mem::MaybeUninit;
use std::sync::Arc;

use sharded_slab::Clear;
use sharded_slab::pool::{OwnedRefMut, Pool, RefMut};

use crate::subject::{Block, Shared, Stock, USUAL};

/// A block that is good again without being cleared.
#[derive(Default)]
pub struct Slot(Block<USUAL>);

impl Clear for Slot {
    fn clear(&mut self) {}
}

/// `sharded_slab::Pool` of blocks, which stay where they are. The key is cleared after the guard
/// was dropped: while the guard of who created it is there, clearing has no effect.
pub struct ShardedSlab(Pool<Slot>);

impl Shared for ShardedSlab {
    const NAME: &'static str = "sharded-slab";

    type Item<'a> = RefMut<'a, Slot>;

    fn new(_: Stock) -> Self {
        Self(Pool::new())
    }

    #[inline]
    fn get(&self) -> Self::Item<'_> {
        self.0.create().expect("the shard is not full")
    }

    #[inline]
    fn put<'a>(&'a self, item: Self::Item<'a>) {
        let key = item.key();
        drop(item);
        assert!(self.0.clear(key), "it is there");
    }

    #[inline]
    fn first_byte<'i>(item: &'i mut Self::Item<'_>) -> &'i mut MaybeUninit<u8> {
        item.0.first_byte()
    }
}

/// The same with owned guards: those can be sent to another thread.
pub struct ShardedSlabOwned(Arc<Pool<Slot>>);

impl Shared for ShardedSlabOwned {
    const NAME: &'static str = ShardedSlab::NAME;

    type Item<'a> = OwnedRefMut<Slot>;

    fn new(_: Stock) -> Self {
        Self(Arc::new(Pool::new()))
    }

    #[inline]
    fn get(&self) -> OwnedRefMut<Slot> {
        self.0.clone().create_owned().expect("the shard is not full")
    }

    #[inline]
    fn put(&self, item: OwnedRefMut<Slot>) {
        let key = item.key();
        drop(item);
        assert!(self.0.clear(key), "it is there");
    }

    #[inline]
    fn first_byte(item: &mut OwnedRefMut<Slot>) -> &mut MaybeUninit<u8> {
        item.0.first_byte()
    }
}
