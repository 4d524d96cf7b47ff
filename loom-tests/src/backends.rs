//! A back-end that a test plays by hand.

use std::alloc::Layout;
use std::collections::VecDeque;
use std::ptr::NonNull;

use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, Committed, GrowId, Span, SpanGrow};
use pool::Backend;

use crate::world::one;

/// Keeps every token it is asked with until the test ends it, or answers from its arena
/// once the test says so. Who asks for a page right now has it from the arena.
#[derive(Debug, Clone)]
pub struct Manual {
    /// Where pages come from.
    pub arena: Arena,
    tokens: Arc<Mutex<Tokens>>,
}

#[derive(Debug, Default)]
struct Tokens {
    kept: VecDeque<SpanGrow>,
    answers: bool,
}

impl Manual {
    /// With no tokens yet.
    #[must_use]
    pub fn new(arena: Arena) -> Self {
        Self { arena, tokens: Arc::default() }
    }

    /// Commits to the oldest token, if there is one that was not withdrawn.
    #[must_use]
    pub fn commit(&self) -> Option<Committed<Span, AllocError>> {
        loop {
            let token = self.tokens.lock().kept.pop_front()?;
            if let Ok(committed) = token.commit() {
                return Some(committed);
            }
        }
    }

    /// Whether any token is kept.
    #[must_use]
    pub fn has_token(&self) -> bool {
        !self.tokens.lock().kept.is_empty()
    }

    /// Delivers a page to the oldest token, if there is one that was not withdrawn.
    ///
    /// # Panics
    /// If the arena has none left.
    pub fn deliver(&self) -> bool {
        let committed = self.commit();
        let some = committed.is_some();
        if let Some(committed) = committed {
            committed.deliver(self.arena.try_alloc(one()).expect("the test left a quantum"));
        }
        some
    }

    /// Takes the oldest token, if there is one that was not withdrawn, and answers from
    /// the arena from now on.
    #[must_use]
    pub fn commit_last(&self) -> Option<Committed<Span, AllocError>> {
        let token = {
            let mut tokens = self.tokens.lock();
            tokens.answers = true;
            tokens.kept.pop_front()
        };
        token?.commit().ok()
    }
}

// SAFETY: pages are spans of an arena.
unsafe impl Backend for Manual {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Backend::granule(&self.arena)
    }

    fn ask(&self, page: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        let mut tokens = self.tokens.lock();
        if grow.is_withdrawn() {
            drop(tokens);
            return Answer::Withdrawn;
        }
        if tokens.answers {
            drop(tokens);
            return Backend::ask(&self.arena, page, grow);
        }
        tokens.kept.push_back(grow);
        Answer::Later
    }

    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        self.arena.try_page(page)
    }

    fn forget(&self, id: GrowId) {
        let mut tokens = self.tokens.lock();
        let at = tokens.kept.iter().position(|token| token.id() == id);
        let token = at.and_then(|at| tokens.kept.remove(at));
        drop(tokens);
        drop(token);
    }

    fn release(&self, page: Span, layout: Layout) {
        Backend::release(&self.arena, page, layout);
    }

    fn base(&self, page: &Span) -> NonNull<u8> {
        Backend::base(&self.arena, page)
    }
}
