//! Strict first-in first-out hand-off: who waits is given what is put, in the order of arrival, and
//! nobody passes by. The fair pool, as it is usually written.
//!
//! What a waiter is handed goes past the lock, and nobody is woken but who has an object. A waiter
//! sleeps at once: to look again a few times before, and give up its processor in between, was tried
//! and is slower with more threads than processors.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::thread::{self, Thread};

use crossbeam_utils::atomic::AtomicCell;

use crate::overtakes::{Overtakes, Ticket};
use crate::subject::{Boxed, Shared, Stock, boxes};

/// Where a thread is handed an object.
struct Slot {
    handed: AtomicCell<Option<Boxed>>,
    thread: Thread,
}

impl Slot {
    fn hand(&self, object: Boxed) {
        self.handed.store(Some(object));
        self.thread.unpark();
    }

    fn wait(&self) -> Boxed {
        loop {
            if let Some(object) = self.handed.take() {
                return object;
            }
            thread::park();
        }
    }
}

thread_local! {
    static SLOT: Arc<Slot> = Arc::new(Slot { handed: AtomicCell::new(None), thread: thread::current() });
}

/// What is under the lock. While somebody is in line, nothing is idle.
struct State {
    idle: Vec<Boxed>,
    line: VecDeque<(Arc<Slot>, Option<Ticket>)>,
    overtakes: Option<Overtakes>,
}

/// The pool.
pub struct HandOff(parking_lot::Mutex<State>);

impl Shared for HandOff {
    const NAME: &'static str = "strict hand-off";

    type Item<'a> = Boxed;

    fn new(stock: Stock) -> Self {
        Self(parking_lot::Mutex::new(State {
            idle: boxes(stock).collect(),
            line: VecDeque::new(),
            overtakes: stock.is_counted().then(Overtakes::default),
        }))
    }

    #[inline]
    fn get(&self) -> Boxed {
        let mut state = self.0.lock();
        if let Some(object) = state.idle.pop() {
            state.overtakes.iter_mut().for_each(Overtakes::passed_by);
            return object;
        }
        let ticket = state.overtakes.as_mut().map(Overtakes::begin_to_wait);
        SLOT.with(|slot| {
            state.line.push_back((slot.clone(), ticket));
            drop(state);
            slot.wait()
        })
    }

    #[inline]
    fn put(&self, item: Boxed) {
        let mut state = self.0.lock();
        let Some((slot, ticket)) = state.line.pop_front() else {
            state.idle.push(item);
            return;
        };
        if let (Some(overtakes), Some(ticket)) = (&mut state.overtakes, ticket) {
            overtakes.served(ticket);
        }
        drop(state);
        slot.hand(item);
    }

    #[inline]
    fn first_byte(item: &mut Boxed) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }

    fn most_overtaken(&self) -> Option<u64> {
        self.0.lock().overtakes.as_ref().map(Overtakes::most)
    }
}
