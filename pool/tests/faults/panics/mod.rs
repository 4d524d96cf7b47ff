//! Panics at every callback: the n-th call of callers' code panics, for n = 0, 1, ... until a run has
//! no such call; then each two of them near each other. After each run: the panic reached who called,
//! nobody is stranded, everything is put, made objects have ended once, and the arena is whole.

mod alone;
mod asleep;
mod callers;
mod subscriber;
mod two_pools;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use kva::sync::{Arc, Mutex};

use super::fuse::Fuse;
use super::watchdog::Watchdog;

const HARD_LIMIT: u32 = 2;
/// Two calls of one run panic if they are no further apart.
const NEAR: usize = 2;

/// Stops what panics in `act`; how often it did.
fn stops(act: impl FnOnce()) -> usize {
    // What was panicked with panics when it is dropped.
    catch_unwind(AssertUnwindSafe(act)).map_or_else(|payload| (std::mem::forget(payload), 1).1, |()| 0)
}

/// Runs `scenario` with each of its calls panicking, and each two that are near.
fn each_call_panics(name: &'static str, kinds: &[&str], scenario: impl Fn(&Fuse) -> usize) {
    let now = Arc::new(Mutex::new((Vec::new(), Fuse::at(&[]))));
    let watched = now.clone();
    let watchdog = Watchdog::new(name, move || {
        let (calls, fuse) = watched.lock().clone();
        format!("calls {calls:?} panic: {:?}\n{:#?}", fuse.blown(), pool::registered())
    });
    let all = Fuse::at(&[]);
    assert_eq!(scenario(&all), 0, "nothing panics by itself");
    let made = all.kinds();
    println!("{name}: {} calls, {made:?}", all.made());
    for kind in kinds {
        assert!(made.contains_key(kind), "{kind} is not called: {made:?}");
    }
    // A panic may be the cause of calls that there are none of otherwise.
    for first in 0.. {
        let mut one = 0;
        for second in first..=first + NEAR {
            watchdog.goes_on();
            let fuse = Fuse::at(&[first, second]);
            *now.lock() = (vec![first, second], fuse.clone());
            let mut caught = 0;
            let escaped = stops(|| caught = scenario(&fuse));
            assert_eq!(escaped, 0, "a check failed, or a panic came from elsewhere: calls {first}, {second}");
            let blown = fuse.blown();
            // What reached nobody was dropped, once, and its panic in turn ended nothing.
            assert_eq!(caught + fuse.payloads_dropped(), blown.len(), "{blown:?}");
            // Two may panic in what one call owes: the first of them goes on.
            assert!(caught >= usize::from(!blown.is_empty()), "{blown:?} reached nobody");
            one = one.max(blown.len());
        }
        if one == 0 {
            break;
        }
    }
}

/// Builds, where callers' code is called too.
fn build<P, E: std::fmt::Debug>(build: impl FnOnce() -> Result<P, E>) -> Result<P, usize> {
    let mut built = None;
    let caught = stops(|| built = Some(build().unwrap()));
    built.ok_or(caught)
}
