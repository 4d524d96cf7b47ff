//! How idle pages go because somebody asks for them: whoever drains, or waits for the same back-end.

use std::ops::Range;

use kva::sync::BATCH;
use kva::{Reclaim, Shortage};

use crate::backend::Backend;
use crate::core::Core;
use crate::state::State;
use crate::todo::Todo;

impl<B: Backend> Core<B> {
    /// Gives up idle pages until only `keep` are held, or none is idle; how many it gave.
    pub(crate) fn give_up_idle(&self, keep: impl Fn(&mut State<B>) -> u32) -> usize {
        self.give_up_idle_while(keep, None, BATCH, || true)
    }

    /// As [`give_up_idle`](Self::give_up_idle), of the pages that are `within` these addresses only,
    /// at first so many and then more at a time, while `more` of them are wanted.
    fn give_up_idle_while(
        &self,
        keep: impl Fn(&mut State<B>) -> u32,
        within: Option<&Range<usize>>,
        mut batch: usize,
        more: impl Fn() -> bool,
    ) -> usize {
        let (mut all, mut swept) = (0, false);
        loop {
            let (given, cached) = {
                let mut todo = Todo::new(self);
                let mut state = self.lock();
                if all == 0 {
                    state.pages.try_guards();
                }
                let keep = keep(&mut state);
                let cached = state.is_worth_sweeping(keep);
                let given = (0..batch).take_while(|_| state.give_up_idle(keep, within, &mut todo)).count();
                state.settle(&mut todo);
                drop(state);
                todo.act();
                // Some may have stayed that were to go, the last of them.
                (given.min(todo.gone), cached)
            };
            all += given;
            if given < batch {
                if !cached || swept || !more() {
                    return all;
                }
                // What is in caches keeps pages from being idle.
                self.sweep();
                swept = true;
            } else if !more() {
                return all;
            }
            batch = BATCH.min(2 * batch);
        }
    }
}

/// Gives back what is idle above low water when somebody else waits for the back-end.
///
/// Those in the window first: they are what helps, and low water may allow no others.
impl<B: Backend> Reclaim for Core<B> {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let keep = |state: &mut State<B>| {
            state.gives_way = true;
            state.ledger.low()
        };
        let window = shortage.addresses();
        if let Some(window) = &window {
            let only = WindowOnly::new(self, window);
            let given = self.give_up_idle_while(keep, Some(window), BATCH, || true);
            drop(only);
            if given > 0 && shortage.is_over() {
                return;
            }
        }
        let keep = |state: &mut State<B>| {
            state.wanted.window.clone_from(&window);
            keep(state)
        };
        self.give_up_idle_while(keep, None, 1, || !shortage.is_over());
    }
}

/// While pages are looked for in a window; until it is dropped, whatever panics.
pub(crate) struct WindowOnly<'a, B: Backend>(pub(crate) &'a Core<B>);

impl<'a, B: Backend> WindowOnly<'a, B> {
    fn new(core: &'a Core<B>, window: &Range<usize>) -> Self {
        let mut state = core.lock();
        state.wanted.window = Some(window.clone());
        state.wanted.only = true;
        drop(state);
        Self(core)
    }
}

impl<B: Backend> Drop for WindowOnly<'_, B> {
    fn drop(&mut self) {
        // What was kept back meanwhile goes by the next change.
        self.0.lock().wanted.only = false;
    }
}
