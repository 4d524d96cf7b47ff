//! What the typed pools lend: objects whose making, resetting and destroying goes wrong now and then.

use std::fmt;
use std::ops::{Deref, DerefMut};

use kva::sync::Arc;

use super::chance::Chance;
use super::failure::{self, holds};
use super::stamp::{Census, Counted, Holder, unique};

const TEXT: &[u8] = b"whose is it?";

/// One object.
pub(crate) struct Object {
    holder: Holder,
    /// Memory of its own, so that one that is lost is seen in the heap.
    text: Vec<u8>,
    chance: Arc<Chance>,
    _counted: Counted,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error("not this time")]
pub(crate) struct NotNow;

/// What makes them, and counts them.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    pub(crate) chance: Arc<Chance>,
    pub(crate) census: Census,
}

impl Maker {
    /// Makes one, or fails, or panics.
    pub(crate) fn make(&self) -> Result<Object, NotNow> {
        if self.chance.one_in(64) {
            return Err(NotNow);
        }
        if self.chance.one_in(128) {
            failure::panic_as_planned();
        }
        Ok(self.make_surely())
    }

    /// One to attach.
    pub(crate) fn make_surely(&self) -> Object {
        Object {
            holder: Holder::default(),
            text: TEXT.to_vec(),
            chance: self.chance.clone(),
            _counted: self.census.one_more(),
        }
    }
}

impl Object {
    /// What its last user left is taken away.
    pub(crate) fn reset(&mut self) {
        self.holder.assert_free("a reset");
        self.text.truncate(TEXT.len());
        if self.chance.one_in(256) {
            failure::panic_as_planned();
        }
    }

    pub(crate) fn is_good(&mut self) -> bool {
        self.holder.assert_free("a validation");
        if self.chance.one_in(256) {
            failure::panic_as_planned();
        }
        !self.chance.one_in(32)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.holder.assert_free("a destructor");
        if self.chance.one_in(256) && !std::thread::panicking() {
            failure::panic_as_planned();
        }
    }
}

/// A guard of an object that knows who has it, until it is dropped.
pub(crate) struct Lent<G: DerefMut<Target = Object>> {
    guard: Option<G>,
    me: u64,
}

impl<G: DerefMut<Target = Object>> Lent<G> {
    pub(crate) fn new(mut guard: G) -> Self {
        let me = unique();
        guard.holder.take(me);
        holds!(guard.text == TEXT, "what is lent was reset", "{:?}", guard.text.escape_ascii().to_string());
        guard.text.push(b'?');
        Self { guard: Some(guard), me }
    }

    /// The guard, of an object that is to be nobody's.
    pub(crate) fn into_guard(mut self) -> G {
        let mut guard = self.guard.take().expect("until now");
        guard.text.truncate(TEXT.len());
        guard.holder.give(self.me);
        guard
    }
}

impl<G: DerefMut<Target = Object>> Drop for Lent<G> {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.holder.give(self.me);
        }
    }
}

impl<G: DerefMut<Target = Object>> fmt::Debug for Lent<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({:#x})", self.me)
    }
}

impl<G: DerefMut<Target = Object>> Deref for Lent<G> {
    type Target = Object;
    fn deref(&self) -> &Object {
        self.guard.as_ref().expect("until it is dropped")
    }
}
