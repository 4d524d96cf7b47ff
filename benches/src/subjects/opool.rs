//! `opool`: a lock-free queue, which makes another object when it is empty.

use std::mem::MaybeUninit;

use opool::{Pool, PoolAllocator, RefGuard};

use crate::subject::{Boxed, Shared, Stock};

/// What `opool` makes objects with.
pub struct Boxes;

impl PoolAllocator<Boxed> for Boxes {
    fn allocate(&self) -> Boxed {
        Boxed::default()
    }
}

/// `opool::Pool` of boxes.
pub struct Opool(Pool<Boxes, Boxed>);

impl Shared for Opool {
    const NAME: &'static str = "opool";

    type Item<'a> = RefGuard<'a, Boxes, Boxed>;

    fn new(stock: Stock) -> Self {
        Self(Pool::new_prefilled(stock.objects(), Boxes))
    }

    #[inline]
    fn get(&self) -> Self::Item<'_> {
        self.0.get()
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
