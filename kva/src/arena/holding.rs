//! What an arena tells of itself to [`holds`](crate::holds).

use super::{Arena, Inner};
use crate::holds::{Holds, Resource, Vitals};
use crate::shape::Span;
use crate::sync::{Arc, Weak};

impl Arena {
    /// How its pools are known to be its. No part of the API.
    #[doc(hidden)]
    pub fn holds(&self) -> &Holds {
        &self.inner.holds
    }

    pub(super) fn make_known(&self) {
        self.inner.holds.register("arena", None, None, || {
            let weak = Arc::downgrade(&self.inner);
            let resource: Weak<dyn Resource> = weak;
            resource
        });
    }
}

impl Inner {
    /// The calling thread got a span.
    #[inline]
    pub(super) fn note_got(&self, span: Span) {
        self.holds.got(&self.holders, span.start as usize, span.len);
    }

    /// The calling thread is about to free what may be a span of its own; whether it is.
    #[inline]
    pub(super) fn note_puts(&self, span: Span) -> bool {
        let at = span.start as usize;
        let known = self.holders.is_known(at) && self.lock().check_held(span).is_ok();
        if known {
            self.holds.puts(&self.holders, at, span.len);
        }
        known
    }
}

impl Resource for Inner {
    fn vitals(&self) -> Vitals {
        let state = self.lock();
        let space = &state.space;
        // What is withheld is nobody's either.
        let free = u64::from(space.free()) + u64::from(space.withheld());
        Vitals {
            // Spans may be moved out of the way.
            settled: !state.closed && !state.clients.any_relocates(),
            out: u64::from(space.size()) - free,
            free,
            waiting: state.requests.waiting(),
            // Sleepers leave with a span, or because it is closed.
            listed: None,
            reclaimers: state.hooks.living(),
            ..Vitals::default()
        }
    }
}
