//! Panics of callers' code, which must keep nobody from the rest of what is owed (P5).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The first panic of what was guarded.
#[derive(Debug, Default)]
pub struct FirstPanic(Option<Box<dyn Any + Send>>);

impl FirstPanic {
    /// Calls `act`; whether it returned.
    pub fn guard(&mut self, act: impl FnOnce()) -> bool {
        let Err(panic) = catch_unwind(AssertUnwindSafe(act)) else { return true };
        match &self.0 {
            None => self.0 = Some(panic),
            // It may panic when it is dropped.
            Some(_) => std::mem::forget(panic),
        }
        false
    }

    /// Lets the panic go on, if there was one, and none goes on already.
    pub fn go_on(&mut self) {
        match self.0.take() {
            Some(panic) if std::thread::panicking() => std::mem::forget(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}
