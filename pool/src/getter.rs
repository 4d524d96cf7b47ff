//! One get, from the first look to its end: a state machine that a thread drives by
//! sleeping, and a task by polling.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use kva::holds::{self, Asleep, as_nobody};
use kva::sync::{Arc, block_on};
use kva::{Answer, GrowId, NEVER, Refusal, Work};

use crate::backend::Backend;
use crate::core::{Core, Kept, Unsaid};
use crate::driver::Driver;
use crate::error::GetError;
use crate::loan::{Loans, Rest};
use crate::state::Step;
use crate::timer::Alarm;
use crate::trace::event;
use crate::waiter::{Leaves, News, Outcome, Waiter, Want};
use kva::panics::FirstPanic;

/// How long a getter would wait, and since when it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// When it came, by the back-end's clock, if that is not when it first looks; else [`NEVER`].
    pub(crate) asked_at: u64,
    /// Whether it was served before, with what was of no use.
    pub(crate) returns: bool,
    /// Until when, for whatever; `None`: for ever.
    pub(crate) deadline: Option<Instant>,
    /// How long, while a page is owed.
    pub(crate) for_page: Option<Duration>,
}

impl Default for Patience {
    /// As long as it takes.
    fn default() -> Self {
        Self { asked_at: NEVER, returns: false, deadline: None, for_page: None }
    }
}

/// One who waits for a put, and would wait less than this for a page, does not spin to see
/// whether one is owed by now.
const LOOKS_AGAIN: Duration = Duration::from_millis(1);

/// What a getter drives. Dropping it is callers' code: what panics keeps nobody from the rest, and
/// the first panic goes on when all is done, unless there is one already.
struct Works(Vec<(GrowId, Work)>);

impl Drop for Works {
    fn drop(&mut self) {
        let mut panics = FirstPanic::default();
        for (_, work) in self.0.drain(..) {
            panics.guard(|| drop(work));
        }
        panics.go_on();
    }
}

/// One get. Dropping it cancels: what it was served in the last moment goes to the next.
pub(crate) struct Getter<'a, B: Backend> {
    core: &'a Arc<Core<B>>,
    node: Waiter<B::Error>,
    progress: Progress,
}

/// What the getter knows of itself, without the lock.
struct Progress {
    /// Whether the node may be linked or served.
    started: bool,
    /// A task's waker that the node has, or was woken by.
    left: Option<Waker>,
    patience: Patience,
    /// When it next looks whether it waits for a page.
    page_by: Option<Instant>,
    /// Wakes it as a task, where the pool knows how.
    alarm: Alarm,
    /// What it drives, for itself or for another.
    works: Works,
    /// Whether some of it ended since it last looked for an object.
    has_brought: bool,
    /// Whether it is known to do nothing until it is served.
    asleep: Asleep,
}

impl Progress {
    /// Its time to wait for a page begins.
    fn begin_to_wait(&mut self) {
        self.page_by = self.patience.for_page.and_then(|patience| Instant::now().checked_add(patience));
    }

    /// Drives what it drives; whether any of it ended, which may be news.
    fn drive(&mut self, waker: &Waker) -> bool {
        let works = &mut self.works.0;
        let before = works.len();
        let context = &mut Context::from_waker(waker);
        let mut at = 0;
        while let Some((_, work)) = works.get_mut(at) {
            let (mut panics, mut polled) = (FirstPanic::default(), Poll::Pending);
            let panicked = !panics.guard(|| polled = as_nobody(|| Pin::new(work).poll(context)));
            if panicked || polled.is_ready() {
                // One that panicked is for nobody else to poll: its request ends with it.
                let (_, work) = works.remove(at);
                panics.guard(|| drop(work));
                panics.go_on();
            } else {
                at += 1;
            }
        }
        works.len() < before
    }

    /// Looks for news, and drives if there is none. What it brought to an end may have brought it
    /// an object, so that it should look for one.
    fn news<E>(&mut self, node: Pin<&Waiter<E>>, waker: &Waker) -> News<E> {
        let news = node.look();
        if self.works.0.is_empty() || !matches!(news, News::None) {
            return news;
        }
        self.has_brought |= self.drive(waker);
        // Again: a future that blocks its thread swallows wakes that were for this.
        match node.look() {
            News::None if self.has_brought => News::Kicked,
            news => news,
        }
    }

    /// It has its outcome. Others go on with what it drove, or nobody does.
    fn end<B: Backend>(&mut self, core: &Core<B>, outcome: Outcome<B::Error>) -> Outcome<B::Error> {
        self.started = false;
        self.asleep.end();
        if self.works.0.is_empty() {
            return outcome;
        }
        let outcome = outcome.map(|loans| Kept::new(core, loans));
        let mut works = Works(std::mem::take(&mut self.works.0));
        let served = outcome.is_ok();
        core.change(|state, _| state.leave_works(&mut works.0, served));
        drop(works);
        outcome.map(Kept::into_loans)
    }

    /// When it has to look at its time again.
    fn until(&self) -> Option<Instant> {
        self.patience.deadline.into_iter().chain(self.page_by).min()
    }
}

impl<'a, B: Backend> Getter<'a, B> {
    /// One who has not looked yet. `rest` has room for all but the first item.
    pub(crate) fn new(core: &'a Arc<Core<B>>, want: Want, rest: Rest, patience: Patience) -> Self {
        let node = Waiter::new(want, rest, patience.asked_at, patience.returns);
        let progress = Progress {
            started: false,
            left: None,
            patience,
            page_by: None,
            alarm: Alarm::default(),
            works: Works(Vec::new()),
            has_brought: false,
            asleep: Asleep::new(),
        };
        Self { core, node, progress }
    }

    /// Gets, sleeping as long as its patience lasts.
    #[inline]
    pub(crate) fn get(
        core: &'a Arc<Core<B>>,
        want: Want,
        rest: Rest,
        patience: Patience,
    ) -> Outcome<B::Error> {
        match core.take_now(want) {
            Some(loan) => Ok(Loans::one(loan)),
            None => Self::new(core, Want { client: holds::current(), ..want }, rest, patience).run(),
        }
    }

    /// As [`get`](Self::get), by a task.
    pub(crate) async fn get_async(
        core: &'a Arc<Core<B>>,
        want: Want,
        rest: Rest,
        patience: Patience,
    ) -> Outcome<B::Error> {
        match as_nobody(|| core.take_now(want)) {
            Some(loan) => Ok(Loans::one(loan)),
            None => Self::new(core, want, rest, patience).await,
        }
    }

    fn run(self) -> Outcome<B::Error> {
        let core = self.core;
        let mut getter = std::pin::pin!(self);
        let outcome = block_on(|waker, passed| {
            let mut driver = Driver::Thread { waker, passed };
            if let Poll::Ready(outcome) = getter.as_mut().poll_driven(&mut driver) {
                return ControlFlow::Break(outcome);
            }
            let until = getter.until();
            if until.is_none() {
                getter.as_mut().falls_asleep();
            }
            ControlFlow::Continue(until)
        });
        if let Ok(loans) = &outcome {
            core.note_got_all(loans);
        }
        outcome
    }

    /// When it has to be driven though nobody woke it.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.progress.until()
    }

    /// Nothing is left to do for it but to sleep, unless it drives something.
    fn falls_asleep(self: Pin<&mut Self>) {
        let (core, _, progress) = self.parts();
        if progress.works.0.is_empty() {
            progress.asleep.begin(&core.holds);
        }
    }

    #[allow(clippy::type_complexity, reason = "its three fields")]
    fn parts(self: Pin<&mut Self>) -> (&'a Arc<Core<B>>, Pin<&Waiter<B::Error>>, &mut Progress) {
        // SAFETY: the node is pinned as the getter is: it is never moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let node = unsafe { Pin::new_unchecked(&this.node) };
        (this.core, node, &mut this.progress)
    }

    /// Its outcome, if it has one by now, or was kicked and what it wants is there: it drives nothing.
    pub(crate) fn granted(mut self: Pin<&mut Self>) -> Poll<Outcome<B::Error>> {
        let (core, node, progress) = self.as_mut().parts();
        if !progress.started {
            return Poll::Pending;
        }
        let outcome = match node.look() {
            News::None => return Poll::Pending,
            News::Done(outcome) => outcome,
            News::Kicked => match core.change(|state, todo| state.serve_kicked(node, core, todo)) {
                Some(Step::Done(outcome)) => outcome.map(Kept::into_loans),
                _ => return Poll::Pending,
            },
        };
        let outcome = progress.end(core, outcome);
        self.hand_out(Poll::Ready(outcome))
    }

    /// Leaves nothing for its own destructor, after which its outcome is out.
    fn hand_out(self: Pin<&mut Self>, polled: Poll<Outcome<B::Error>>) -> Poll<Outcome<B::Error>> {
        let (core, _, progress) = self.parts();
        let left = (progress.left.take(), std::mem::take(&mut progress.alarm));
        keep(core, polled, || drop(left))
    }

    /// Goes on, as far as it gets without waiting.
    pub(crate) fn poll_driven(
        mut self: Pin<&mut Self>,
        driver: &mut Driver<'_, '_>,
    ) -> Poll<Outcome<B::Error>> {
        let polled = self.as_mut().go_on(driver);
        if polled.is_pending() || !driver.is_task() {
            return polled;
        }
        self.hand_out(polled)
    }

    /// A task has no clock but the one that the pool was told of: its patience is looked at when it is
    /// polled.
    fn go_on(mut self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<Outcome<B::Error>> {
        let passed = self.until().filter(|until| driver.is_past(*until));
        if let Poll::Ready(outcome) = self.as_mut().poll_by(driver) {
            return Poll::Ready(outcome);
        }
        if let Driver::Task(context) = driver {
            return self.look_at_the_time(context);
        }
        match passed.and_then(|moment| self.time_is_up(moment)) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }

    fn poll_by(self: Pin<&mut Self>, driver: &Driver<'_, '_>) -> Poll<Outcome<B::Error>> {
        let core = self.core;
        let mut leaves = None;
        let polled = self.poll_leaving(driver, &mut leaves);
        keep(core, polled, || drop(leaves))
    }

    /// As [`poll_by`](Self::poll_by). What it `leaves` in line, if it got there, is the caller's to drop
    /// if not.
    fn poll_leaving<'w>(
        self: Pin<&mut Self>,
        driver: &'w Driver<'_, '_>,
        leaves: &mut Option<Leaves<'w>>,
    ) -> Poll<Outcome<B::Error>> {
        let (core, node, progress) = self.parts();
        let waker = driver.waker();
        if progress.started {
            match progress.news(node, waker) {
                News::None if progress.left.as_ref().is_none_or(|left| left.will_wake(waker)) => {
                    return Poll::Pending;
                }
                News::Done(outcome) => return Poll::Ready(progress.end(core, outcome)),
                // Another task has it now, whose waker must be left.
                News::None | News::Kicked => {}
            }
        }
        progress.started = true;
        progress.asleep.end();
        let mut unsaid = Unsaid::new(core, None);
        let mut gathered = None;
        loop {
            // Only if the last was left: no code of callers' may come between a page that it brought
            // and the lock (P5).
            leaves.get_or_insert_with(|| driver.leaves());
            let brought = std::mem::take(&mut progress.has_brought);
            match core.change(|state, todo| {
                if let Some(arrival) = gathered.take() {
                    state.gathered_page(arrival);
                }
                state.step(node, leaves, unsaid.end.take(), brought, core, todo)
            }) {
                Step::Done(outcome) => {
                    return Poll::Ready(progress.end(core, outcome.map(Kept::into_loans)));
                }
                Step::TakeOn(id, work) => {
                    progress.works.0.push((id, work));
                    if progress.page_by.is_none() {
                        progress.begin_to_wait();
                    }
                }
                Step::Ask(grow) => {
                    let id = grow.id();
                    progress.begin_to_wait();
                    event!(core, "asks for a page", grow = id);
                    let grow = if B::SLEEPS { grow.until(progress.until()) } else { grow };
                    match as_nobody(|| core.backend().ask(core.carve.page, grow)) {
                        Answer::Now(committed, answer) => {
                            // Before the token is given up: if this panics, it refuses itself.
                            let end = core.end_of(answer.map_err(Refusal::Error));
                            unsaid.end = Some((committed.into_id(), end));
                            continue;
                        }
                        Answer::Late(committed) => {
                            unsaid.end = Some((committed.into_id(), Err(Refusal::TimedOut.into())));
                            continue;
                        }
                        Answer::Driven(work) => progress.works.0.push((id, work)),
                        Answer::Later | Answer::Withdrawn => {}
                    }
                }
                Step::Gather => {
                    // Of an error it hears when it asks, if it has to.
                    gathered = core.bring_page().unwrap_or_default();
                    if gathered.is_none() {
                        core.sweep();
                    }
                    continue;
                }
                Step::Sweep => {
                    core.sweep();
                    continue;
                }
                Step::Sleep if progress.page_by.is_none() => progress.begin_to_wait(),
                Step::Sleep => {}
            }
            driver.note_left(&mut progress.left);
            // It may have been served or kicked while this thread was elsewhere.
            match progress.news(node, waker) {
                News::None => return Poll::Pending,
                News::Kicked => {}
                News::Done(outcome) => return Poll::Ready(progress.end(core, outcome)),
            }
        }
    }

    fn look_at_the_time(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<B::Error>> {
        let mut rang = false;
        loop {
            let (core, _, progress) = self.as_mut().parts();
            let Some(until) = progress.until() else { return Poll::Pending };
            if Instant::now() < until {
                if rang {
                    // A clock that is always early must not keep the executor from others.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // The runtime's clock need not be the system's: in tests it may run ahead.
                rang = core.timer.as_ref().is_some_and(|timer| progress.alarm.rings(timer, until, context));
                if !rang {
                    return Poll::Pending;
                }
            }
            if let Some(outcome) = self.as_mut().time_is_up(until) {
                return Poll::Ready(outcome);
            }
        }
    }

    /// A moment passed that it would wait until: leaves, unless it was served, or only its
    /// time to wait for a page is up and none is owed.
    fn time_is_up(self: Pin<&mut Self>, moment: Instant) -> Option<Outcome<B::Error>> {
        let (core, node, progress) = self.parts();
        let only_for_page = progress.patience.deadline != Some(moment);
        let awaited = core.change(|state, todo| state.time_is_up(node, only_for_page, todo));
        if let Some(awaited) = awaited {
            event!(core, "timed out", awaited = awaited);
            return Some(progress.end(core, Err(GetError::TimedOut(awaited))));
        }
        if let News::Done(outcome) = node.look() {
            return Some(progress.end(core, outcome));
        }
        progress.patience.for_page = progress.patience.for_page.map(|time| time.max(LOOKS_AGAIN));
        progress.begin_to_wait();
        None
    }

    /// Leaves the line. What it was served before goes to the next.
    fn cancel(self: Pin<&mut Self>) {
        /// Also if caller code panics, whose wakers and works these are (P5).
        struct PassesOn<'n, B: Backend>(&'n Core<B>, Pin<&'n Waiter<B::Error>>);
        impl<B: Backend> Drop for PassesOn<'_, B> {
            fn drop(&mut self) {
                if let Some(Ok(loans)) = self.1.leftover() {
                    self.0.put_loans(&mut loans.into_iter());
                }
            }
        }
        let (core, node, progress) = self.parts();
        if !std::mem::take(&mut progress.started) {
            return;
        }
        let _passes_on = PassesOn(core, node);
        let is_task = progress.left.is_some();
        let mut works = Works(std::mem::take(&mut progress.works.0));
        core.change(|state, todo| {
            if state.queue.is_linked(node) {
                state.counts.failures.cancelled += u64::from(is_task);
                state.leave(node, todo);
            }
            state.leave_works(&mut works.0, false);
        });
    }
}

/// Does `last`, callers' code, before an outcome leaves. Not after it has: what is returned while a local
/// of its function panics in its destructor is lost (rust-lang/rust#47949).
fn keep<B: Backend>(
    core: &Core<B>,
    polled: Poll<Outcome<B::Error>>,
    last: impl FnOnce(),
) -> Poll<Outcome<B::Error>> {
    let kept = polled.map_ok(|loans| Kept::new(core, loans));
    last();
    kept.map_ok(Kept::into_loans)
}

/// As a task drives it.
impl<B: Backend> Future for Getter<'_, B> {
    type Output = Outcome<B::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_driven(&mut Driver::Task(context))
    }
}

impl<B: Backend> Drop for Getter<'_, B> {
    fn drop(&mut self) {
        // SAFETY: it was pinned if it was ever polled, and is not moved any more.
        unsafe { Pin::new_unchecked(&mut *self) }.cancel();
    }
}
