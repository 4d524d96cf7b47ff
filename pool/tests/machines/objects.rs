//! Objects that are known by their numbers, each of which ends once.

use std::collections::BTreeSet;

use kva::sync::{Arc, Mutex};

/// Where they are made, and which of them there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shop(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    made: usize,
    live: BTreeSet<usize>,
    /// Whether each that ended was good.
    ended: Vec<bool>,
    /// The next so many cannot be made.
    failing: usize,
}

/// What the shop could not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of stock")]
pub(crate) struct OutOfStock;

impl Shop {
    pub(crate) fn make(&self) -> Object {
        let mut books = self.0.lock();
        books.made += 1;
        let number = books.made;
        books.live.insert(number);
        drop(books);
        Object { shop: self.clone(), number, is_good: true, visits: 0, resets: 0 }
    }

    pub(crate) fn try_make(&self) -> Result<Object, OutOfStock> {
        let mut books = self.0.lock();
        if books.failing > 0 {
            books.failing -= 1;
            return Err(OutOfStock);
        }
        drop(books);
        Ok(self.make())
    }

    pub(crate) fn fail(&self, times: usize) {
        self.0.lock().failing = times;
    }

    pub(crate) fn live(&self) -> BTreeSet<usize> {
        self.0.lock().live.clone()
    }

    /// How many were ever made.
    pub(crate) fn made(&self) -> usize {
        self.0.lock().made
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().live.is_empty()
    }

    /// What has ended since it was last asked: whether it was good.
    pub(crate) fn ended(&self) -> Vec<bool> {
        std::mem::take(&mut self.0.lock().ended)
    }
}

#[derive(Debug)]
pub(crate) struct Object {
    shop: Shop,
    pub(crate) number: usize,
    pub(crate) is_good: bool,
    /// How often it was got, by those who got it.
    pub(crate) visits: usize,
    pub(crate) resets: usize,
}

impl Drop for Object {
    fn drop(&mut self) {
        let mut books = self.shop.0.lock();
        assert!(books.live.remove(&self.number), "object {} ends twice", self.number);
        books.ended.push(self.is_good);
    }
}
