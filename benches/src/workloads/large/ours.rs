//! An arena of ours, which has its queue and its bound on bypass inside.
//!
//! The thread of a waiter wakes long after it was served, with many singles granted in between. So where
//! overtakes are counted, it leaves a token in the arena's queue instead of sleeping there: whoever
//! frees what it wants delivers to it, and notes the count. A lock around all calls keeps the count from
//! going on meanwhile.

use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use kva::sync::atomic::{AtomicU64, Ordering};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, GrowId, GrowTable, Refusal, Region, Shape, Sink, Span};

use super::{Waitable, Waited};
use crate::contestants::OURS;

/// An arena of numbers.
pub(crate) struct Ours {
    arena: Arena,
    counted: Option<Counted>,
}

/// How many singles are granted.
struct Counted {
    /// Held around each call of the arena.
    turn: Mutex<()>,
    /// Changed under that lock.
    granted: Arc<AtomicU64>,
    /// The large request.
    slot: Arc<GrowTable>,
}

/// Where the large request ends, with what had been granted by then.
struct End {
    ends: Sender<(Result<Span, Refusal<AllocError>>, u64)>,
    granted: Arc<AtomicU64>,
}

impl Sink<Span, AllocError> for End {
    fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
        // Relaxed: under the lock of `Counted`, as all changes.
        let granted = self.granted.load(Ordering::Relaxed);
        self.ends.send((end, granted)).expect("it is waited for");
    }
}

impl Ours {
    /// Calls the arena, in turn where singles are counted.
    #[inline]
    fn in_turn<T>(&self, call: impl FnOnce(&Arena) -> T) -> T {
        let _turn = self.counted.as_ref().map(|counted| counted.turn.lock());
        call(&self.arena)
    }
}

impl Counted {
    fn wait(&self, arena: &Arena, shape: Shape, until: Instant) -> Waited<Span> {
        let (ends, end) = channel();
        let sink = Arc::new(End { ends, granted: Arc::clone(&self.granted) });
        let turn = self.turn.lock();
        // Relaxed: under the lock.
        let before = self.granted.load(Ordering::Relaxed);
        let grow = self.slot.reserve(0, arena.clock().now(), sink);
        let id = grow.id();
        match arena.ask(shape, grow) {
            Answer::Now(committed, Ok(span)) => committed.deliver(span),
            Answer::Now(committed, Err(error)) => committed.refuse(error),
            Answer::Later => {}
            other => unreachable!("an arena does not answer {other:?}"),
        }
        drop(turn);
        let answer = end.recv_timeout(until.saturating_duration_since(Instant::now())).or_else(|_| {
            let _turn = self.turn.lock();
            if self.slot.withdraw(id) {
                arena.forget(id);
            }
            // It may have been served just before.
            end.try_recv()
        });
        match answer {
            Ok((span, granted)) => {
                let span = Some(span.expect("it is not too large"));
                Waited { span, overtaken: Some(granted - before) }
            }
            // Relaxed: it is an estimate of what would have been more.
            Err(_) => Waited { span: None, overtaken: Some(self.granted.load(Ordering::Relaxed) - before) },
        }
    }
}

impl Waitable for Ours {
    const NAME: &'static str = OURS;

    type Span = Span;

    fn new(quanta: u32, counted: bool) -> Self {
        let counted = counted.then(|| Counted {
            turn: Mutex::new(()),
            granted: Arc::new(AtomicU64::new(0)),
            slot: GrowTable::new(1),
        });
        Self { arena: Arena::new(Region::numbers(quanta), 1).expect("a good arena"), counted }
    }

    #[inline]
    fn try_single(&self) -> Option<Span> {
        const SINGLE: Shape = match Shape::new(1) {
            Ok(single) => single,
            Err(_) => panic!("it is not empty"),
        };
        self.in_turn(|arena| {
            let single = arena.try_alloc(SINGLE).ok()?;
            if let Some(counted) = &self.counted {
                // Relaxed: under the lock.
                counted.granted.fetch_add(1, Ordering::Relaxed);
            }
            Some(single)
        })
    }

    #[inline]
    fn free(&self, span: Span) {
        self.in_turn(|arena| arena.free(span)).expect("it was taken");
    }

    fn wait(&self, shape: Shape, until: Instant) -> Waited<Span> {
        match &self.counted {
            Some(counted) => counted.wait(&self.arena, shape, until),
            None => Waited { span: self.arena.alloc_deadline(shape, until).ok(), overtaken: None },
        }
    }

    #[cfg(test)]
    fn is_waited_for(&self) -> bool {
        self.arena.stats().waiting > 0
    }
}
