//! A hook with a stash: it frees what lies where something is wanted, and remembers where that is.

use std::ops::Range;

use kva::sync::Mutex;
use kva::{Arena, Reclaim, Shortage, Span};

pub(crate) struct Stash {
    arena: Arena,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spans: Vec<Span>,
    freed: Vec<Span>,
    window: Option<Range<u32>>,
}

impl Stash {
    /// A handle of the arena that it is to be a hook of.
    pub(crate) fn new(arena: Arena) -> Self {
        Self { arena, state: Mutex::default() }
    }

    pub(crate) fn keep(&self, span: Span) {
        self.state.lock().spans.push(span);
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state.lock().spans.clone()
    }

    pub(crate) fn take_all(&self) -> Vec<Span> {
        std::mem::take(&mut self.state.lock().spans)
    }

    /// What it has freed since it was last asked.
    pub(crate) fn freed(&self) -> Vec<Span> {
        std::mem::take(&mut self.state.lock().freed)
    }

    /// Where something is wanted, as it was told last.
    pub(crate) fn window(&self) -> Option<Range<u32>> {
        self.state.lock().window.clone()
    }
}

impl Reclaim for Stash {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let mut state = self.state.lock();
        state.window = shortage.window();
        let of_use: Vec<_> = state.spans.extract_if(.., |span| shortage.is_within(*span)).collect();
        state.freed.extend(&of_use);
        drop(state);
        for span in of_use {
            self.arena.free(span).unwrap();
        }
    }
}
