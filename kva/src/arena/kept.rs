//! A span on its way from under the lock to its taker.

use super::Inner;
use crate::panics::FirstPanic;
use crate::shape::Span;

/// A span that was taken. Before its taker has it, what was decided with it is done: hooks and wakers,
/// which are callers' code. If they panic, it is free again (P5).
pub(super) struct Kept<'a> {
    inner: &'a Inner,
    span: Option<Span>,
}

impl<'a> Kept<'a> {
    pub(super) const fn new(inner: &'a Inner, span: Span) -> Self {
        Self { inner, span: Some(span) }
    }

    /// It is its taker's.
    pub(super) fn into_span(mut self) -> Span {
        self.span.take().expect("a span is taken once")
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            let mut panics = FirstPanic::default();
            panics.guard(|| self.inner.give_back(span));
            panics.go_on();
        }
    }
}
