//! Nobody waits for ever while others go on.
//!
//! Not a bound on speed: a worker is in the same action at so many looks in a row, a second apart, that it
//! will never be done. All actions are short, all that anybody holds is put soon, and the machine has
//! had that long to run each of them; if it was stopped meanwhile, so was this thread, whose looks are
//! what is counted.

use kva::sync::atomic::Ordering::Relaxed;

use super::failure;
use super::worker::{Shift, names};

/// How often each place was seen in the same action.
#[derive(Default)]
pub(crate) struct Watchdog {
    seen: Vec<(u64, u32)>,
}

impl Watchdog {
    /// Looks, and reports who was found where it was for `stall` looks.
    pub(crate) fn look(&mut self, shift: &Shift, stall: u32) {
        self.seen.resize(shift.places.len(), (0, 0));
        let begun: u64 = shift.places.iter().map(|place| place.begun.load(Relaxed)).sum();
        let mut stuck = Vec::new();
        for ((place, (before, times)), number) in shift.places.iter().zip(&mut self.seen).zip(0..) {
            let now = place.begun.load(Relaxed);
            let same = now == *before && now > 0 && place.busy.load(Relaxed);
            (*before, *times) = (now, if same { *times + 1 } else { 0 });
            if *times >= stall {
                let action = names().nth(place.action.load(Relaxed) as usize).unwrap_or("none");
                stuck.push(format!("worker {number} in \"{action}\" for {times} s"));
            }
        }
        if !stuck.is_empty() {
            failure::report(format!(
                "P2: whoever waits is served while others go on: {}; {begun} actions by all",
                stuck.join(", ")
            ));
        }
    }
}
