//! What went wrong first: kept until the supervisor says it, with the tables of everybody.

use std::any::Any;
use std::panic;

use kva::sync::GlobalMutex;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};

// Relaxed: what was said is behind the lock.
static FAILED: AtomicBool = AtomicBool::new(false);
static FIRST: GlobalMutex<Option<String>> = GlobalMutex::new(None);

/// An equation does not hold, or what must not happen did. Only the first is kept: the others come of it.
pub(crate) fn report(what: impl Into<String>) {
    FIRST.with(|first| {
        first.get_or_insert_with(|| what.into());
    });
    FAILED.store(true, Relaxed);
}

/// The first, once.
pub(crate) fn first() -> Option<String> {
    FAILED.load(Relaxed).then(|| FIRST.with(Option::take)).flatten()
}

pub(crate) fn is_reported() -> bool {
    FAILED.load(Relaxed)
}

/// Reports the law by name with its figures, if it does not hold. To be used where `failure` is in scope.
macro_rules! holds {
    ($law:expr, $name:literal, $($figures:tt)+) => {
        if !$law {
            failure::report(format!(concat!($name, ": {}"), format_args!($($figures)+)));
        }
    };
}
pub(crate) use holds;

/// What callers' code panics with here. Anything else is a failure.
struct Planned;

/// Panics as planned, and says nothing on the standard error.
pub(crate) fn panic_as_planned() -> ! {
    panic::resume_unwind(Box::new(Planned))
}

/// Whether a panic was planned. If not, it is reported.
pub(crate) fn was_planned(panic: &(dyn Any + Send), whose: &str) -> bool {
    if panic.is::<Planned>() {
        return true;
    }
    let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    report(format!("nobody panics but by plan: {whose}: {said}"));
    false
}
