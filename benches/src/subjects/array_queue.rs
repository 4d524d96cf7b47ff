//! `crossbeam`'s `ArrayQueue`: lock-free, bounded, first-in first-out. It does not wait.

use std::mem::MaybeUninit;

use crate::subject::{Boxed, Shared, Stock, boxes};

/// `ArrayQueue` of boxes.
#[derive(Debug)]
pub struct ArrayQueue(crossbeam_queue::ArrayQueue<Boxed>);

impl Shared for ArrayQueue {
    const NAME: &'static str = "ArrayQueue";

    type Item<'a> = Boxed;

    fn new(stock: Stock) -> Self {
        let queue = Self(crossbeam_queue::ArrayQueue::new(stock.objects()));
        boxes(stock).for_each(|object| queue.put(object));
        queue
    }

    #[inline]
    fn get(&self) -> Boxed {
        self.0.pop().expect("an object")
    }

    #[inline]
    fn put(&self, item: Boxed) {
        assert!(self.0.push(item).is_ok(), "there is room for all objects");
    }

    #[inline]
    fn first_byte(item: &mut Boxed) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }
}
