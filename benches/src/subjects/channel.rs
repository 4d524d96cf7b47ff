//! `crossbeam-channel`, used as a pool: a bounded channel that holds what is idle.

use std::mem::MaybeUninit;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::subject::{Boxed, Shared, Stock, boxes};

/// A channel of boxes, and both of its ends.
#[derive(Debug)]
pub struct Channel {
    idle: Receiver<Boxed>,
    back: Sender<Boxed>,
}

impl Shared for Channel {
    const NAME: &'static str = "crossbeam-channel";

    type Item<'a> = Boxed;

    fn new(stock: Stock) -> Self {
        let (back, idle) = bounded(stock.objects());
        let channel = Self { idle, back };
        boxes(stock).for_each(|object| channel.put(object));
        channel
    }

    #[inline]
    fn get(&self) -> Boxed {
        self.idle.recv().expect("a sender is there")
    }

    #[inline]
    fn put(&self, item: Boxed) {
        assert!(self.back.send(item).is_ok(), "a receiver is there");
    }

    #[inline]
    fn first_byte(item: &mut Boxed) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }
}
