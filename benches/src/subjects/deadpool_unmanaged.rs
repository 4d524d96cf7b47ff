//! `deadpool::unmanaged`, from threads: its future is driven by `futures-executor`.

use std::mem::MaybeUninit;

use deadpool::unmanaged::{Object, Pool};
use futures_executor::block_on;

use crate::subject::{Boxed, Shared, Stock, boxes};

/// `deadpool::unmanaged::Pool` of boxes.
#[derive(Debug)]
pub struct DeadpoolUnmanaged(Pool<Boxed>);

impl Shared for DeadpoolUnmanaged {
    const NAME: &'static str = "deadpool unmanaged";

    type Item<'a> = Object<Boxed>;

    fn new(stock: Stock) -> Self {
        Self(Pool::from(boxes(stock).collect::<Vec<_>>()))
    }

    #[inline]
    fn get(&self) -> Object<Boxed> {
        block_on(self.0.get()).expect("it is not closed")
    }

    #[inline]
    fn put(&self, item: Object<Boxed>) {
        drop(item);
    }

    #[inline]
    fn first_byte(item: &mut Object<Boxed>) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }
}
