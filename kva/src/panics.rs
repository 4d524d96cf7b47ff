//! Panics of callers' code, which must keep nobody from the rest of what is owed (P5).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The first panic of what was guarded.
#[derive(Debug, Default)]
pub struct FirstPanic(Option<Box<dyn Any + Send>>);

impl FirstPanic {
    /// Calls `act`; whether it returned.
    pub fn guard(&mut self, act: impl FnOnce()) -> bool {
        let acted = catch_unwind(AssertUnwindSafe(act));
        acted.map_err(|panic| self.0.get_or_insert(panic)).is_ok()
    }

    /// Lets the panic go on, if there was one, and none goes on already.
    pub fn go_on(&mut self) {
        if let Some(panic) = self.0.take()
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
