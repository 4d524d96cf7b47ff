//! The choice of one of several: who is asked first, who commits, and what becomes of the others.

use std::cell::Cell;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use kva::panics::FirstPanic;
use kva::sync::{IS_MODEL, thread_value, unique_id};
use pin_project_lite::pin_project;

use super::attempt::{Attempt, TAKEN_ONCE};
use super::branches::Branches;
use crate::driver::Driver;

thread_value! {
    static CHOICES: Cell<Option<u32>> = Cell::new(None);
}

/// Which of so many is asked first: another one each time, and none of them more often than others,
/// whatever else this thread chooses in between, and if it chooses only once: each thread begins elsewhere.
/// In a model, the first.
fn next_start(branches: usize) -> usize {
    if IS_MODEL || branches < 2 {
        return 0;
    }
    // A thread that is at its end, and has no locals any more, starts where it will.
    let count = CHOICES.try_with(|choices| {
        let count = choices.get().unwrap_or_else(unique_id);
        choices.set(Some(count.wrapping_add(1)));
        count
    });
    // Hashed by the golden ratio (Knuth, TAOCP 6.4): the upper bits of its multiples are spread
    // evenly, and two choices that take turns do not each meet the same ones.
    let hash = u64::from(count.unwrap_or_default().wrapping_mul(0x9E37_79B9));
    ((hash * branches as u64) >> 32) as usize
}

pin_project! {
    /// Attempts of which one commits.
    ///
    /// Its owner alone drives it and so decides: the first that is seen to be ready is the one, and
    /// all others are withdrawn before anybody hears of that.
    pub struct Choice<B: Branches> {
        #[pin]
        branches: B,
        start: usize,
        winner: Option<usize>,
    }

    impl<B: Branches> PinnedDrop for Choice<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut panics = FirstPanic::default();
            this.withdraw(&mut panics, None);
            panics.go_on();
        }
    }
}

impl<B: Branches> Choice<B> {
    pub(super) fn new(branches: B) -> Self {
        let start = next_start(branches.len());
        Self { branches, start, winner: None }
    }

    /// Withdraws all but one; a panic over one of them keeps nobody from the rest.
    fn withdraw(self: Pin<&mut Self>, panics: &mut FirstPanic, all_but: Option<usize>) {
        let mut branches = self.project().branches;
        for at in (0..branches.len()).filter(|at| Some(*at) != all_but) {
            panics.guard(|| branches.as_mut().withdraw(at));
        }
    }

    /// Asks one after the other until one has committed; whether one has.
    fn any(mut self: Pin<&mut Self>, mut commits: impl FnMut(Pin<&mut B>, usize) -> bool) -> bool {
        let len = self.branches.len();
        for at in (self.start..len).chain(0..self.start.min(len)) {
            if commits(self.as_mut().project().branches, at) {
                *self.as_mut().project().winner = Some(at);
                let mut panics = FirstPanic::default();
                self.withdraw(&mut panics, Some(at));
                // What was committed with is still the attempt's, which gives it back then.
                panics.go_on();
                return true;
            }
        }
        false
    }
}

impl<B: Branches> Attempt for Choice<B> {
    type Output = B::Output;

    fn try_now(self: Pin<&mut Self>) -> bool {
        self.any(B::try_now)
    }
    fn granted(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> bool {
        self.any(|branches, at| branches.granted(at, driver))
    }
    fn poll(mut self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        // Before one of them goes on, maybe with a constructor that waits for what another was granted.
        if self.branches.len() > 1 && self.as_mut().granted(driver) {
            return Poll::Ready(());
        }
        if self.any(|branches, at| branches.poll(at, driver)) { Poll::Ready(()) } else { Poll::Pending }
    }
    fn take(self: Pin<&mut Self>) -> B::Output {
        let this = self.project();
        this.branches.take(this.winner.expect(TAKEN_ONCE))
    }
    fn until(&self) -> Option<Instant> {
        self.branches.until()
    }
}
