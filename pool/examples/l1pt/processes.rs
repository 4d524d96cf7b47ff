//! What processes have: pages that are in use, and may be moved unless they are wired.
//!
//! A process knows its pages by number, as it knows them by virtual address: what is behind a
//! number may change while it runs, what is in there does not.

use std::collections::HashMap;
use std::time::Instant;

use kva::sync::Mutex;
use kva::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kva::{AllocError, Arena, Relocate, Relocation, Shape, Span};

use super::memory::{self, PAGE};

/// What a process knows a page by.
pub(crate) type Number = u64;

#[derive(Debug, Default)]
struct Map {
    pages: HashMap<Number, Span>,
    /// The way back, by the first quantum.
    numbers: HashMap<u32, Number>,
    next: Number,
}

/// The pages of all processes.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    map: Mutex<Map>,
    pub(crate) moved: AtomicU64,
    /// Pages whose contents were wrong. There are none.
    pub(crate) damaged: AtomicU64,
}

impl Processes {
    /// Takes a page, waiting until `deadline` at most.
    pub(crate) fn take(&self, arena: &Arena, deadline: Instant) -> Result<Number, AllocError> {
        let page = Shape::new(1).expect("not empty");
        Ok(self.add(arena, arena.alloc_deadline(page, deadline)?))
    }

    /// A page that was taken: it is filled, and has a number from now on.
    pub(crate) fn add(&self, arena: &Arena, span: Span) -> Number {
        let map = &mut *self.map.lock();
        let number = map.next;
        map.next += 1;
        let base = arena.ptr(span).expect("the arena has memory");
        // SAFETY: the span was just taken, and is not moved before it is in the map.
        unsafe { memory::fill(base, PAGE, number) };
        map.pages.insert(number, span);
        map.numbers.insert(span.start(), number);
        number
    }

    /// Gives a page back, having looked whether it is as it was.
    pub(crate) fn give(&self, arena: &Arena, number: Number) {
        let span = {
            let map = &mut *self.map.lock();
            let span = map.pages.remove(&number).expect("it is given once");
            map.numbers.remove(&span.start());
            span
        };
        let base = arena.ptr(span).expect("the arena has memory");
        // SAFETY: it is not in the map any more, so that nobody moves it; `add` filled it.
        let intact = unsafe { memory::is_intact(base, PAGE, number) };
        self.damaged.fetch_add(u64::from(!intact), Relaxed);
        arena.free(span).expect("it was taken");
    }
}

/// Processes do not write to their pages while they run; if they did, they would have to be kept
/// from it meanwhile, as [`kva::Relocate`] has it.
#[derive(Debug)]
pub(crate) struct Mover {
    pub(crate) arena: Arena,
    pub(crate) processes: kva::sync::Arc<Processes>,
}

impl Relocate for Mover {
    fn relocate(&self, from: Span, to: Span) -> Relocation {
        let map = &mut *self.processes.map.lock();
        let Some(&number) = map.numbers.get(&from.start()).filter(|number| map.pages[*number] == from) else {
            return Relocation::Later; // on its way into the map, or out of it
        };
        let address = |span| self.arena.ptr(span).expect("the arena has memory");
        // SAFETY: what is in the map is used under its lock only, and `to` is nobody else's.
        unsafe { memory::copy_page(address(from), address(to)) };
        map.numbers.remove(&from.start());
        map.numbers.insert(to.start(), number);
        map.pages.insert(number, to);
        self.processes.moved.fetch_add(1, Relaxed);
        Relocation::Moved
    }
}
