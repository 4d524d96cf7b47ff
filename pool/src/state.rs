//! What a pool decides under its lock.
//!
//! # The law of rest
//!
//! [`State::settle`] runs before every unlock and restores, whatever happened (in as many
//! rounds as it takes, where a batch is full):
//!
//! 1. **No item lies idle past a waiter.** While anybody waits at most one item is
//!    idle, and then the oldest waiter has been kicked and was overtaken fewer than `K`
//!    times; every other free item was handed over, oldest first (P2, P4).
//! 2. **Every waiter is covered.** Pending grows bring enough for all who wait, or the
//!    ledger allows no more, or somebody who was kicked is on the way to begin one. So a
//!    grow that was refused is asked again as long as somebody needs it (P2).
//! 3. **No grow is pending that nobody needs,** but those that their back-end has
//!    committed to.
//! 4. **Nothing is held above the limit** that could be given up; nor, while nobody waits
//!    here, above high water, or above low water while somebody waits elsewhere for the
//!    same back-end.
//! 5. **Closed** means that nobody waits, nothing is idle, and no grow can be withdrawn.
//!
//! Whoever asks a back-end is always a waiter on its own thread, never the one who
//! noticed that a grow is needed: a put must not end up asking, or even sleeping, for
//! somebody else.

use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Waker;
use std::time::Instant;

use kva::sync::{Arc, BATCH, thread};
use kva::{Clock, Grow, GrowId, GrowTable, NEVER, Refusal};

use crate::backend::Backend;
use crate::core::{Core, Kept};
use crate::error::GetError;
use crate::grows::{Asleep, Grows};
use crate::ledger::Ledger;
use crate::pages::{IdlePage, Loan, Pages, PutError, Slot};
use crate::stats::Counts;
use crate::todo::{Heir, Release, Todo, Unused};
use crate::waiter::{News, Queue, Waiter};

/// Everything that a pool's lock guards.
pub(crate) struct State<B: Backend> {
    pub(crate) ledger: Ledger,
    pub(crate) pages: Pages<B::Page>,
    pub(crate) queue: Queue<B::Error>,
    pub(crate) grows: Grows,
    pub(crate) counts: Counts,
    pub(crate) closed: bool,
    /// What does not change, here so that deciding needs nothing but the state.
    pub(crate) fixed: Fixed,
}

/// What does not change in a pool's life.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) items_per_page: usize,
    pub(crate) bypass: u32,
    pub(crate) table: Arc<GrowTable>,
    pub(crate) clock: Arc<Clock>,
}

/// What a getter should do next.
pub(crate) enum Step<'a, B: Backend> {
    /// Nothing: it has an item, or there is none for it.
    Done(Result<Kept<'a, B>, GetError<B::Error>>),
    /// Ask the back-end, then come back if it answered.
    Ask(Grow<B::Page, B::Error>),
    /// Sleep on its node.
    Sleep,
}

/// A page that a back-end delivered, and where it starts.
pub(crate) type Arrival<B> = (<B as Backend>::Page, NonNull<u8>);

/// How a grow ended.
pub(crate) type End<B> = Result<Arrival<B>, Refusal<<B as Backend>::Error>>;

impl<E> From<Refusal<E>> for GetError<E> {
    fn from(refusal: Refusal<E>) -> Self {
        match refusal {
            Refusal::Error(error) => Self::Backend(error),
            _ => Self::Abandoned,
        }
    }
}

impl<B: Backend> State<B> {
    /// How many getters want an item, on their nodes or inside the back-end.
    fn wanting(&self) -> usize {
        self.queue.len() + self.grows.asleep()
    }

    /// Whether `wanting` getters are more than what is free or pending will serve.
    fn is_uncovered(&self, wanting: usize) -> bool {
        wanting > self.ledger.growing() as usize * self.fixed.items_per_page + self.pages.free_items()
    }

    /// Takes an item for somebody who came at `asked_at`, if there is one and nobody
    /// would be overtaken once too often.
    pub(crate) fn take(&mut self, asked_at: u64) -> Option<Loan> {
        if self.pages.free_items() == 0 || !self.queue.may_pass(asked_at, self.fixed.bypass) {
            return None;
        }
        self.queue.note_pass(asked_at);
        self.lend()
    }

    fn lend(&mut self) -> Option<Loan> {
        let loan = self.pages.take()?;
        self.counts.gets += 1;
        Some(loan)
    }

    /// What the getter of `node` should do next. `end`: how the grow ended that it was
    /// told to ask for, if that was answered at once.
    pub(crate) fn step<'a>(
        &mut self,
        node: Pin<&Waiter<B::Error>>,
        waker: &Waker,
        end: Option<(GrowId, End<B>)>,
        core: &'a Arc<Core<B>>,
        todo: &mut Todo<'_, B>,
    ) -> Step<'a, B> {
        let served = match node.look() {
            News::Done(outcome) => Some(outcome),
            News::None | News::Kicked => None,
        };
        if let Some((id, end)) = end
            && let Err(error) = self.end_grow(id, end, todo)
        {
            // Nobody is nearer to this error than who asked, unless it was served meanwhile.
            if served.is_none() {
                self.leave(node, todo);
                return Step::Done(Err(error));
            }
            self.fail_one(error, todo);
        }
        if let Some(outcome) = served {
            return Step::Done(outcome.map(|loan| Kept::new(core, loan)));
        }
        if self.queue.is_linked(node) {
            self.queue.calm(node);
            if self.queue.is_head(node)
                && let Some(loan) = self.lend()
            {
                self.leave(node, todo);
                return Step::Done(Ok(Kept::new(core, loan)));
            }
        } else {
            if self.closed {
                return Step::Done(Err(GetError::Closed));
            }
            let asked_at = self.queue.asked_at(node);
            if let Some(loan) = self.take(asked_at) {
                return Step::Done(Ok(Kept::new(core, loan)));
            }
        }
        self.wait(node, waker, core, todo)
    }

    /// There is nothing for the getter now: it begins a grow if it is not covered, and
    /// gets in line unless the back-end is going to sleep on its thread.
    fn wait<'a>(
        &mut self,
        node: Pin<&Waiter<B::Error>>,
        waker: &Waker,
        core: &'a Arc<Core<B>>,
        todo: &mut Todo<'_, B>,
    ) -> Step<'a, B> {
        let clock = &self.fixed.clock;
        self.queue.has_to_wait(node, || clock.now());
        let linked = self.queue.is_linked(node);
        let wanting = self.wanting() + usize::from(!linked);
        if self.is_uncovered(wanting) && self.grows.has_room() && self.ledger.reserve() {
            let slot = self.grows.take_slot().expect("there was room");
            let asked_at = self.queue.asked_at(node);
            let grow = self.fixed.table.reserve(slot, asked_at, core.clone());
            let asleep =
                B::SLEEPS.then(|| Asleep { thread: thread::current(), since: Instant::now(), asked_at });
            self.grows.begin(grow.id(), asleep);
            self.counts.grows += 1;
            if B::SLEEPS {
                self.leave(node, todo);
            } else if !linked {
                self.queue.link(node, waker);
            }
            return Step::Ask(grow);
        }
        if !linked {
            self.queue.link(node, waker);
        }
        Step::Sleep
    }

    /// Takes the getter out of line, if it is in it.
    pub(crate) fn leave(&mut self, node: Pin<&Waiter<B::Error>>, todo: &mut Todo<'_, B>) {
        if let Some(waker) = self.queue.cancel(node) {
            todo.unused.push(Unused::Waker(waker));
        }
    }

    /// A grow ended: its slot becomes a page or is free. The error is the caller's to
    /// hand to one waiter.
    pub(crate) fn end_grow(
        &mut self,
        id: GrowId,
        end: End<B>,
        todo: &mut Todo<'_, B>,
    ) -> Result<(), GetError<B::Error>> {
        let pending = self.grows.end(id);
        let came_back = end.as_ref().ok().map(|(_, base)| base.addr().get());
        self.counts.stolen += pending.stolen(came_back, B::CLAIMS);
        if pending.released > 0 {
            // What is still on its way to it must not be kept for it for ever.
            self.fixed.table.end(id);
            todo.forgets.push(id);
        }
        match end {
            Ok((page, base)) => {
                self.arrive(page, base);
                Ok(())
            }
            Err(refusal) => {
                self.ledger.ended();
                self.counts.refused += 1;
                Err(refusal.into())
            }
        }
    }

    /// A page came for a slot of the ledger. If the pool was closed or the limit lowered
    /// meanwhile, it goes back when the state settles.
    pub(crate) fn arrive(&mut self, page: B::Page, base: NonNull<u8>) {
        self.ledger.delivered();
        self.pages.insert(page, base);
    }

    /// Hands the error of a grow that ended to the oldest waiter. If the others that are
    /// pending serve all who wait, it is nobody's.
    pub(crate) fn fail_one(&mut self, error: GetError<B::Error>, todo: &mut Todo<'_, B>) {
        if self.queue.is_empty() || !self.is_uncovered(self.wanting()) {
            todo.unused.push(Unused::Error(error));
        } else {
            todo.wakes.extend(self.queue.finish_head(Err(error)));
        }
    }

    /// Takes an item back.
    pub(crate) fn put(&mut self, slot: Slot, todo: &mut Todo<'_, B>) -> Result<(), PutError> {
        self.pages.put(slot)?;
        self.counts.puts += 1;
        if let Some(page) = self.pages.idle_page_of(slot) {
            self.offer(page, todo);
        }
        Ok(())
    }

    /// A page became wholly free: somebody outside the pool may need it more.
    fn offer(&mut self, page: IdlePage, todo: &mut Todo<'_, B>) {
        if self.closed || self.ledger.is_over() {
            return; // it goes anyway
        }
        let head = self.queue.oldest();
        // Option 3: the only way to a getter asleep inside its back-end is a page. Where a
        // thief could take it, it is for those only whom nothing else reaches.
        if B::SLEEPS
            && let Some(heir) = self.grows.next_heir(B::CLAIMS)
            && let Some(asleep) = &heir.asleep
            && (head == NEVER || (B::CLAIMS && asleep.asked_at < head))
        {
            heir.release(self.pages.base(page).addr().get());
            let heir = Heir::Grow(heir.id);
            self.counts.released_to_heirs += 1;
            self.counts.below_low += u64::from(self.ledger.pages() <= self.ledger.low());
            self.give_up(page, heir, todo);
            return;
        }
        // Fair between pools: above low water it goes to who has waited longer than anybody
        // here, if it is of use there. Where nobody waits here, `shed` sees to it.
        if head != NEVER && self.ledger.pages() > self.ledger.low() && self.fixed.clock.oldest() < head {
            self.give_up(page, Heir::OlderThan(head), todo);
            let slot_held = self.ledger.reserve();
            debug_assert!(slot_held, "its page just left it");
        }
    }

    /// A page that was offered to an older request is gone, or has come back.
    pub(crate) fn offered(&mut self, back: Option<Arrival<B>>) {
        if let Some((page, base)) = back {
            self.arrive(page, base);
        } else {
            self.counts.yielded += 1;
            self.ledger.ended();
        }
    }

    fn give_up(&mut self, page: IdlePage, to: Heir, todo: &mut Todo<'_, B>) {
        let page = self.pages.remove(page);
        self.ledger.released();
        todo.releases.push(Release { page, to });
    }

    /// Gives up the page that has been idle longest, if nobody waits and more than `keep`
    /// are held.
    pub(crate) fn give_up_idle(&mut self, keep: u32, todo: &mut Todo<'_, B>) -> bool {
        if self.wanting() > 0 || self.ledger.pages() <= keep || todo.releases.is_full() {
            return false;
        }
        let page = self.pages.idle_page();
        if let Some(page) = page {
            self.give_up(page, Heir::Anybody, todo);
        }
        page.is_some()
    }

    /// Restores the law of rest, or as much of it as `todo` has room for.
    pub(crate) fn settle(&mut self, todo: &mut Todo<'_, B>) {
        self.withdraw(todo);
        self.shed(todo);
        if self.closed {
            self.dismiss(todo);
        } else {
            self.serve(todo);
            self.withdraw(todo);
            self.call_for_grow(todo);
        }
        self.check();
    }

    /// Law 3, and grows above the limit (law 4).
    fn withdraw(&mut self, todo: &mut Todo<'_, B>) {
        loop {
            let needed = if self.closed { 0 } else { self.wanting().div_ceil(self.fixed.items_per_page) };
            if self.ledger.growing() as usize <= needed && !self.ledger.is_over() {
                return;
            }
            if todo.forgets.is_full() {
                todo.more = true;
                return;
            }
            // The youngest first: the oldest have the best place in the back-end's queue.
            let withdrawn = self
                .grows
                .iter()
                .rev()
                .filter(|grow| grow.asleep.is_none())
                .map(|grow| grow.id)
                .find(|&id| self.fixed.table.withdraw(id));
            let Some(id) = withdrawn else { return };
            self.grows.end(id);
            self.ledger.ended();
            self.counts.withdrawn += 1;
            todo.forgets.push(id);
        }
    }

    /// Laws 4 and 5: what is idle above the limit, above high water, or after close; and
    /// above low water, if somebody else waits for the back-end.
    fn shed(&mut self, todo: &mut Todo<'_, B>) {
        while let Some(page) = self.pages.idle_page() {
            let (pages, unwanted) = (self.ledger.pages(), self.wanting() == 0);
            let spare = unwanted
                && (pages > self.ledger.high()
                    || (pages > self.ledger.low() && self.fixed.clock.oldest() != NEVER));
            if !(self.closed || self.ledger.is_over() || spare) {
                return;
            }
            if todo.releases.is_full() {
                todo.more = true;
                return;
            }
            self.give_up(page, Heir::Anybody, todo);
        }
    }

    /// Law 1.
    fn serve(&mut self, todo: &mut Todo<'_, B>) {
        while self.pages.free_items() > 0 && !self.queue.is_empty() {
            if todo.wakes.is_full() {
                todo.more = true;
                return;
            }
            if self.pages.free_items() == 1 && self.queue.may_pass(NEVER, self.fixed.bypass) {
                todo.wakes.extend(self.queue.kick_head());
                return;
            }
            let loan = self.lend().expect("there is a free item");
            todo.wakes.extend(self.queue.finish_head(Ok(loan)));
        }
    }

    /// Law 2.
    fn call_for_grow(&mut self, todo: &mut Todo<'_, B>) {
        if self.queue.any_kicked()
            || !self.is_uncovered(self.wanting())
            || !self.ledger.has_room()
            || !self.grows.has_room()
        {
            return;
        }
        if todo.wakes.is_full() {
            todo.more = true;
            return;
        }
        todo.wakes.extend(self.queue.kick_head());
    }

    /// Law 5: nobody waits for a closed pool.
    fn dismiss(&mut self, todo: &mut Todo<'_, B>) {
        while !self.queue.is_empty() {
            if todo.wakes.is_full() {
                todo.more = true;
                return;
            }
            todo.wakes.extend(self.queue.finish_head(Err(GetError::Closed)));
        }
    }

    /// The equations, where they are checked.
    fn check(&self) {
        if kva::sync::CHECKED {
            self.ledger.check();
            self.pages.check(self.ledger.pages());
            self.queue.check();
        }
    }
}

const _: () = assert!(BATCH >= 2, "a step may owe a wake of its own besides those of settle");
