//! Callers' code, counted call by call, of which one call panics, or two.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::task::{RawWaker, RawWakerVTable, Waker};
use std::thread;

use kva::sync::{Arc, Mutex};

/// What callers' code panics with. Dropping it panics too, which whoever drops it has to stop.
struct Payload(Fuse);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.0.lock().dropped += 1;
        if !thread::panicking() {
            resume_unwind(Box::new(()));
        }
    }
}

/// All calls of one run. Cheap to clone: clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Fuse(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    made: usize,
    by_kind: BTreeMap<&'static str, usize>,
    /// Which calls panic.
    at: Vec<usize>,
    blown: Vec<&'static str>,
    /// How many are in [`Fuse::pause`].
    paused: usize,
    dropped: usize,
}

impl Fuse {
    /// These calls panic.
    pub(crate) fn at(calls: &[usize]) -> Self {
        Self(Arc::new(Mutex::new(Calls { at: calls.to_vec(), ..Calls::default() })))
    }

    /// A call of callers' code. While another panic unwinds it does not panic: no destructor may.
    pub(crate) fn call(&self, kind: &'static str) {
        let mut calls = self.0.lock();
        if calls.paused > 0 {
            return;
        }
        let panics = calls.at.contains(&calls.made) && !thread::panicking();
        calls.made += 1;
        *calls.by_kind.entry(kind).or_default() += 1;
        if panics {
            calls.blown.push(kind);
            drop(calls);
            // No word of it on standard error: there are thousands.
            resume_unwind(Box::new(Payload(self.clone())));
        }
    }

    /// No call panics any more, nor is any counted as one of the run.
    pub(crate) fn disarm(&self) {
        self.0.lock().at.clear();
    }

    /// What is called meanwhile is the test's own, and not counted.
    pub(crate) fn pause<R>(&self, act: impl FnOnce() -> R) -> R {
        self.0.lock().paused += 1;
        let result = act();
        self.0.lock().paused -= 1;
        result
    }

    /// What panicked.
    pub(crate) fn blown(&self) -> Vec<&'static str> {
        self.0.lock().blown.clone()
    }

    /// How often what was panicked with was dropped.
    pub(crate) fn payloads_dropped(&self) -> usize {
        self.0.lock().dropped
    }

    pub(crate) fn made(&self) -> usize {
        self.0.lock().made
    }

    pub(crate) fn kinds(&self) -> BTreeMap<&'static str, usize> {
        self.0.lock().by_kind.clone()
    }

    /// A waker that calls when it is cloned, woken and dropped.
    pub(crate) fn waker(&self) -> Waker {
        let fuse = Arc::new(self.clone());
        // SAFETY: the table's functions count the pointer as an `Arc`, and are thread-safe.
        unsafe { Waker::new(Arc::into_raw(fuse).cast(), &TABLE) }
    }
}

const TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

unsafe fn clone(this: *const ()) -> RawWaker {
    let this = this.cast::<Fuse>();
    // SAFETY: it came from `Arc::into_raw`, and lives as long as the waker.
    unsafe { &*this }.call("waker's clone");
    // SAFETY: as above; the clone's drop or wake takes this count back.
    unsafe { Arc::increment_strong_count(this) };
    RawWaker::new(this.cast(), &TABLE)
}

unsafe fn wake(this: *const ()) {
    // SAFETY: it came from `Arc::into_raw`, and the waker's count is ours now.
    let fuse = unsafe { Arc::from_raw(this.cast::<Fuse>()) };
    fuse.call("waker's wake");
}

unsafe fn wake_by_ref(this: *const ()) {
    // SAFETY: as in `clone`.
    unsafe { &*this.cast::<Fuse>() }.call("waker's wake");
}

unsafe fn drop_waker(this: *const ()) {
    // SAFETY: as in `wake`.
    let fuse = unsafe { Arc::from_raw(this.cast::<Fuse>()) };
    fuse.call("waker's drop");
}
