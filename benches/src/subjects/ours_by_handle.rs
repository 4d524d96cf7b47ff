//! This workspace's pool of objects, through each thread's own handle.

use std::mem::MaybeUninit;

use pool::{Local, LocalItem, Pool};

use super::stocked::objects;
use crate::subject::{Block, Seat, Stock, Subject};

/// `Pool` of blocks, used by way of `Local`.
#[derive(Debug)]
pub struct OursByHandle<const BYTES: usize>(Pool<Block<BYTES>>);

/// A thread's handle.
pub struct Handle<'a, const BYTES: usize>(&'a Local<'a, Block<BYTES>>);

impl<const BYTES: usize> Subject for OursByHandle<BYTES> {
    const NAME: &'static str = "ours, by handle";

    type Seat<'a> = Handle<'a, BYTES>;

    fn new(stock: Stock) -> Self {
        Self(objects(stock))
    }

    fn enter<R>(&self, work: impl FnOnce(&Self::Seat<'_>) -> R) -> R {
        work(&Handle(&self.0.local()))
    }

    fn most_overtaken(&self) -> Option<u64> {
        Some(self.0.stats().most_overtaken)
    }
}

impl<'a, const BYTES: usize> Seat for Handle<'a, BYTES> {
    type Item = LocalItem<'a, Block<BYTES>>;

    #[inline]
    fn get(&self) -> Self::Item {
        self.0.get().expect("an object")
    }

    #[inline]
    fn put(&self, item: Self::Item) {
        drop(item);
    }

    #[inline]
    fn first_byte(item: &mut Self::Item) -> &mut MaybeUninit<u8> {
        Block::first_byte(item)
    }
}
