//! What one thread gets and another puts, or nobody does until its thread ends.

use std::cell::RefCell;

use bytes::Bytes;
use kva::Arena;
use kva::sync::Mutex;
use pool::OwnedItem;

use super::failure::{self, holds};
use super::object::{Lent, Object};
use super::stamp::Held;

/// Something that is held by nobody who waits.
#[expect(dead_code, reason = "they are held, and dropped")]
pub(crate) enum Parcel {
    Item(Held<Arena>),
    Object(Lent<OwnedItem<Object>>),
    Bytes(Filled),
}

/// Bytes that are all the same.
pub(crate) struct Filled(pub(crate) Bytes, pub(crate) u8);

impl Drop for Filled {
    fn drop(&mut self) {
        let Self(bytes, byte) = self;
        holds!(bytes.iter().all(|it| it == byte), "no item is lent to two", "bytes of {byte} have others'");
    }
}

/// So few that whoever waits is served without them.
const MOST: usize = 4;

/// On the way from one thread to another.
#[derive(Default)]
pub(crate) struct Parcels(Mutex<Vec<Parcel>>);

impl Parcels {
    /// Leaves it to another thread, if there is room.
    pub(crate) fn send(&self, parcel: Parcel) -> bool {
        let mut parcels = self.0.lock();
        let room = parcels.len() < MOST;
        let rest = if room {
            parcels.push(parcel);
            None
        } else {
            Some(parcel)
        };
        // What is put is put with the lock dropped.
        drop(parcels);
        rest.is_none()
    }

    /// Takes one of somebody's, at once.
    pub(crate) fn take(&self) -> Option<Parcel> {
        self.0.lock().pop()
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Parcel>> = const { RefCell::new(Vec::new()) };
}

/// Keeps it until the calling thread ends. Not an object: its reset may panic, and that would be in a
/// destructor of the thread, which ends the process.
pub(crate) fn keep(item: Held<Arena>) {
    KEPT.with_borrow_mut(|kept| kept.push(Parcel::Item(item)));
}
