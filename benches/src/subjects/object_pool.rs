//! `object-pool`: a stack under a lock, which makes another object when it is empty.

use std::mem::MaybeUninit;

use object_pool::{Pool, Reusable};

use crate::subject::{Boxed, Shared, Stock};

/// `object_pool::Pool` of boxes.
pub struct ObjectPool(Pool<Boxed>);

impl Shared for ObjectPool {
    const NAME: &'static str = "object-pool";

    type Item<'a> = Reusable<'a, Boxed>;

    fn new(stock: Stock) -> Self {
        Self(Pool::new(stock.objects(), Boxed::default))
    }

    #[inline]
    fn get(&self) -> Self::Item<'_> {
        self.0.pull(Boxed::default)
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
