//! Panics of callers' code, which must keep nobody from the rest of what is owed (P5).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Drops what somebody panicked with, of which nobody is told. It may panic in turn, with something
/// that may: that is the last of it, and stays.
pub fn discard(panic: Box<dyn Any + Send>) {
    if let Err(last) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(last);
    }
}

/// The first panic of what was guarded.
#[derive(Debug, Default)]
pub struct FirstPanic(Option<Box<dyn Any + Send>>);

impl FirstPanic {
    /// Calls `act`; whether it returned.
    pub fn guard(&mut self, act: impl FnOnce()) -> bool {
        let Err(panic) = catch_unwind(AssertUnwindSafe(act)) else { return true };
        match &self.0 {
            None => self.0 = Some(panic),
            Some(_) => discard(panic),
        }
        false
    }

    /// Lets the panic go on, if there was one, and none goes on already.
    pub fn go_on(&mut self) {
        match self.0.take() {
            Some(panic) if std::thread::panicking() => discard(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::panic_any;

    use super::*;
    use crate::sync::Arc;

    struct PanicsAgain(Arc<()>);

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic_any(self.0.clone());
        }
    }

    #[test]
    fn the_first_panic_goes_on_and_the_others_are_dropped() {
        let payload = Arc::new(());
        let mut panics = FirstPanic::default();
        for _ in 0..3 {
            assert!(!panics.guard(|| panic_any(payload.clone())));
        }
        assert_eq!(Arc::strong_count(&payload), 2, "one goes on");
        let first = catch_unwind(AssertUnwindSafe(|| panics.go_on())).unwrap_err();
        drop(first);
        assert_eq!(Arc::strong_count(&payload), 1);
    }

    #[test]
    fn what_goes_on_already_is_not_joined() {
        struct GoesOn(FirstPanic);
        impl Drop for GoesOn {
            fn drop(&mut self) {
                self.0.go_on();
            }
        }
        let payload = Arc::new(());
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let mut panics = GoesOn(FirstPanic::default());
            panics.0.guard(|| panic_any(payload.clone()));
            panic!("with that in hand");
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"with that in hand"));
        assert_eq!(Arc::strong_count(&payload), 1);
    }

    #[test]
    fn what_panics_when_it_is_dropped_ends_nothing() {
        let inner = Arc::new(());
        discard(Box::new(PanicsAgain(inner.clone())));
        assert_eq!(Arc::strong_count(&inner), 2, "what it panicked with stays");
    }
}
