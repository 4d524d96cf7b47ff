//! Nothing, for what it costs by itself to send a word to another thread: the limit where one thread
//! gets and another puts.

use std::mem::MaybeUninit;

use crate::subject::{Block, Shared, Stock};

/// A word, made from nothing.
#[derive(Debug)]
pub struct RingAlone;

impl Shared for RingAlone {
    const NAME: &'static str = "the ring alone";

    type Item<'a> = Block<8>;

    fn new(_: Stock) -> Self {
        Self
    }

    #[inline]
    fn get(&self) -> Block<8> {
        Block::default()
    }

    #[inline]
    fn put(&self, _: Block<8>) {}

    #[inline]
    fn first_byte(item: &mut Block<8>) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }
}
