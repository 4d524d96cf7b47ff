//! A peer behind a mutex and a condvar, as one would write it: whoever frees wakes who waits, and until that
//! one has the lock, whoever comes takes what is free.
#![allow(clippy::disallowed_types, reason = "peers are measured as people write them")]

use std::time::Instant;

use kva::Shape;
use parking_lot::{Condvar, Mutex};

use super::{Waitable, Waited};
use crate::source::{Room, Unshared};

/// A source that is waited for.
pub(crate) struct Barging<S> {
    state: Mutex<State<S>>,
    freed: Condvar,
}

struct State<S> {
    source: S,
    /// Singles granted so far.
    granted: u64,
    waiting: usize,
}

impl<S: Unshared + Send> Waitable for Barging<S>
where
    S::Span: Send,
{
    const NAME: &'static str = S::LOCKED;

    type Span = S::Span;

    /// To count costs it nothing.
    fn new(quanta: u32, _: bool) -> Self {
        let source = S::new(Room { quanta, spans: quanta });
        Self { state: Mutex::new(State { source, granted: 0, waiting: 0 }), freed: Condvar::new() }
    }

    #[inline]
    fn try_single(&self) -> Option<S::Span> {
        let mut state = self.state.lock();
        let single = state.source.alloc(Shape::new(1).expect("it is not empty"));
        state.granted += u64::from(single.is_some());
        single
    }

    #[inline]
    fn free(&self, span: S::Span) {
        let mut state = self.state.lock();
        state.source.free(span);
        let is_waited_for = state.waiting > 0;
        drop(state);
        if is_waited_for {
            self.freed.notify_all();
        }
    }

    fn wait(&self, shape: Shape, until: Instant) -> Waited<S::Span> {
        let mut state = self.state.lock();
        let before = state.granted;
        let mut span = state.source.alloc(shape);
        state.waiting += 1;
        while span.is_none() && !self.freed.wait_until(&mut state, until).timed_out() {
            span = state.source.alloc(shape);
        }
        state.waiting -= 1;
        Waited { span, overtaken: Some(state.granted - before) }
    }

    #[cfg(test)]
    fn is_waited_for(&self) -> bool {
        self.state.lock().waiting > 0
    }
}
