//! What a pool decides under its lock: what a getter does next, what becomes of what arrives and
//! is put. [`settle`] then restores the law of rest, [`supply`] does the sums it goes by, and
//! [`giving`] gives pages up.
//!
//! Whoever asks a back-end is always a waiter on its own thread, never the one who
//! noticed that a grow is needed: a put must not end up asking, or even sleeping, for
//! somebody else.

use std::ops::Range;
use std::pin::Pin;
use std::ptr::NonNull;
use std::time::Instant;

use kva::sync::{Arc, thread};
use kva::{Clock, Grow, GrowId, GrowTable, Refusal, Work};

use crate::backend::Backend;
use crate::cache::Depot;
use crate::core::{Core, Kept};
use crate::error::{Awaited, GetError};
use crate::grows::{Asleep, Grows};
#[cfg(feature = "hardening")]
use crate::hardening::Returns;
use crate::hardening::Unguarded;
use crate::ledger::Ledger;
use crate::loan::{Loan, Loans, Rest, Slot};
use crate::pages::{Pages, PutError};
use crate::stats::Counts;
use crate::todo::{Heir, Todo, Unused};
use crate::waiter::{Class, Leaves, News, Queue, Waiter, Want};
use crate::waits::Waits;

mod beside;
mod caching;
mod giving;
mod settle;
mod supply;

/// What somebody elsewhere waits for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Where a run was waited for, when that was said last: what is idle there goes first, since low
    /// water may allow no more.
    pub(crate) window: Option<Range<usize>>,
    /// No other page goes: those of the window are being looked for.
    pub(crate) only: bool,
}

/// Everything that a pool's lock guards.
pub(crate) struct State<B: Backend> {
    pub(crate) ledger: Ledger,
    pub(crate) pages: Pages<B::Page>,
    pub(crate) queue: Queue<B::Error>,
    pub(crate) grows: Grows,
    pub(crate) counts: Counts,
    pub(crate) waits: Waits,
    /// Items for critical getters only, as far as the limit allows.
    pub(crate) reserve: u32,
    /// Slots of the ledger held by getters that do not wait, and gather.
    pub(crate) gathering: u32,
    /// Whether the limit came down, or the reserve went up, since it was last looked for those
    /// who want more than that allows.
    pub(crate) lowered: bool,
    /// Whether a page came, or somebody elsewhere began to wait for one, since it was last seen
    /// whether what gathers here is due to them.
    pub(crate) gives_way: bool,
    pub(crate) wanted: Wanted,
    pub(crate) closed: bool,
    pub(crate) depot: Depot,
    #[cfg(feature = "hardening")]
    pub(crate) returns: Returns<B::Page>,
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
    /// Drive this grow of somebody who left, and sleep.
    TakeOn(GrowId, Work),
    /// Sleep on its node.
    Sleep,
    /// Bring a page, for which a slot is held, if there is one right now, then come back. If not, as
    /// [`Sweep`](Self::Sweep).
    Gather,
    /// Take back what is in caches, then come back. Who is in line, or asleep in the back-end, misses
    /// nothing there (P2), and nobody passes it there (P4).
    Sweep,
}

/// A page that a back-end delivered, and where it starts.
pub(crate) type Arrival<B> = (<B as Backend>::Page, NonNull<u8>);

/// Why a grow brought no page.
pub(crate) enum NoPage<E> {
    Refused(Refusal<E>),
    /// It went back.
    Unguarded(Unguarded),
}

impl<E> From<Refusal<E>> for NoPage<E> {
    fn from(refusal: Refusal<E>) -> Self {
        Self::Refused(refusal)
    }
}

/// How a grow ended.
pub(crate) type End<B> = Result<Arrival<B>, NoPage<<B as Backend>::Error>>;

impl<E> GetError<E> {
    /// What a waiter is told of it, if anything.
    fn of(none: NoPage<E>) -> Option<Self> {
        match none {
            NoPage::Refused(Refusal::Error(error)) => Some(Self::Backend(error)),
            NoPage::Refused(Refusal::TimedOut) => Some(Self::TimedOut(Awaited::Page)),
            NoPage::Refused(Refusal::GivenUp) => None,
            NoPage::Refused(_) => Some(Self::Abandoned),
            NoPage::Unguarded(error) => Some(error.into()),
        }
    }
}

impl<B: Backend> State<B> {
    /// An item stays out on purpose.
    pub(crate) fn leak(&mut self, slot: Slot) {
        self.counts.leaked += 1;
        // Nobody is to be asked for it any more.
        self.pages.index().note_caller(slot, None);
    }

    /// How many items are out that were not leaked on purpose.
    pub(crate) fn lost(&self) -> usize {
        self.pages.out_items().saturating_sub(self.counts.leaked as usize)
    }

    /// Takes what somebody wants who came at `asked_at`, if there is enough and nobody
    /// would be overtaken once too often. The room for it is taken with it.
    pub(crate) fn take(&mut self, asked_at: u64, want: Want, rest: &mut Option<Rest>) -> Option<Loans> {
        let supply = self.supply();
        if !self.queue.may_take(asked_at, want, supply) {
            return None;
        }
        self.queue.note_take(asked_at, want, supply);
        Some(self.lend(want, rest.take().unwrap_or_default()))
    }

    /// Lends what is wanted, which is there.
    fn lend(&mut self, want: Want, mut rest: Rest) -> Loans {
        let pages = &mut self.pages;
        let mut next = || pages.take(want.caller).expect("there are enough free items");
        let first = next();
        for _ in 1..want.items {
            rest.push(next());
        }
        self.counts.gets += u64::from(want.items);
        self.counts.most_out = self.counts.most_out.max(self.pages.out_items());
        Loans { first, rest }
    }

    /// Lends to a getter that looks for itself.
    fn lend_to<'a>(&mut self, node: Pin<&Waiter<B::Error>>, core: &'a Arc<Core<B>>) -> Step<'a, B> {
        let want = self.queue.want(node);
        let (rest, since) = self.queue.room_of(node);
        if let Some(since) = since {
            self.waits.record(since);
        }
        Step::Done(Ok(Kept::new(core, self.lend(want, rest))))
    }

    /// Whether the getter of `node`, which is not in line, may take what it wants.
    fn may_take(&self, node: Pin<&Waiter<B::Error>>) -> bool {
        self.queue.may_take(self.queue.asked_at(node), self.queue.want(node), self.supply())
    }

    /// Whether what the getter of `node`, which is in line, wants is there, and nobody is before it.
    fn is_its_turn(&self, node: Pin<&Waiter<B::Error>>) -> bool {
        self.queue.next(self.supply()) == Some(self.queue.want(node).class) && self.queue.is_head(node)
    }

    /// Serves the getter of `node`, which was kicked, if it is its turn. If not, nothing is changed.
    pub(crate) fn serve_kicked<'a>(
        &mut self,
        node: Pin<&Waiter<B::Error>>,
        core: &'a Arc<Core<B>>,
        todo: &mut Todo<'_, B>,
    ) -> Option<Step<'a, B>> {
        if !self.queue.is_linked(node) || !self.is_its_turn(node) {
            return None;
        }
        self.queue.calm(node);
        self.leave(node, todo);
        Some(self.lend_to(node, core))
    }

    /// What the getter of `node` should do next. `end`: how the grow ended that it was
    /// told to ask for, if that was answered at once. `brought`: whether one ended that it drove. Then
    /// it takes what it brought, as far as the bypass allows: it is awake, and who is older and drives
    /// another need not leave that to it, which may hang.
    pub(crate) fn step<'a>(
        &mut self,
        node: Pin<&Waiter<B::Error>>,
        waker: &mut Option<Leaves<'_>>,
        end: Option<(GrowId, End<B>)>,
        brought: bool,
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
            if served.is_some() {
                self.fail_one(error, todo);
            } else if !matches!(error, GetError::TimedOut(_)) || !self.may_take(node) {
                self.leave(node, todo);
                self.counts.failures.count(&error);
                return Step::Done(Err(error));
            }
        }
        if let Some(outcome) = served {
            return Step::Done(outcome.map(|loans| Kept::new(core, loans)));
        }
        let want = self.queue.want(node);
        if self.queue.is_linked(node) {
            self.queue.calm(node);
            if self.is_its_turn(node) {
                self.leave(node, todo);
                return self.lend_to(node, core);
            }
            if brought && self.may_take(node) {
                self.leave(node, todo);
                self.queue.note_take(self.queue.asked_at(node), want, self.supply());
                return self.lend_to(node, core);
            }
        } else {
            let most = self.most(want.class);
            let error = if self.closed {
                Some(GetError::Closed)
            } else if want.items as usize > most {
                Some(GetError::TooMany { asked: want.items as usize, most })
            } else {
                None
            };
            if let Some(error) = error {
                self.counts.failures.count(&error);
                return Step::Done(Err(error));
            }
            if self.may_take(node) {
                self.queue.note_take(self.queue.asked_at(node), want, self.supply());
                return self.lend_to(node, core);
            }
        }
        self.wait(node, waker, core, todo)
    }

    /// There is nothing for the getter now: it begins a grow if it is not covered, and
    /// gets in line unless the back-end is going to sleep on its thread.
    fn wait<'a>(
        &mut self,
        node: Pin<&Waiter<B::Error>>,
        waker: &mut Option<Leaves<'_>>,
        core: &'a Arc<Core<B>>,
        todo: &mut Todo<'_, B>,
    ) -> Step<'a, B> {
        let clock = &self.fixed.clock;
        self.queue.has_to_wait(node, || clock.now());
        self.depot.note_wait();
        if !self.depot.is_scarce() {
            return if self.gather() { Step::Gather } else { Step::Sweep };
        }
        let linked = self.queue.is_linked(node);
        let want = self.queue.want(node);
        let demand = self.demand((!linked).then_some(want));
        let mut next = Step::Sleep;
        if let Some((id, work)) = self.grows.take_on() {
            next = Step::TakeOn(id, work);
        } else if self.is_uncovered(demand) && self.grows.has_room() && self.ledger.reserve() {
            let slot = self.grows.take_slot().expect("there was room");
            let asked_at = self.queue.asked_at(node);
            let token = self.fixed.table.reserve(slot, asked_at, core.clone());
            let asleep = B::SLEEPS.then(|| Asleep {
                thread: thread::current(),
                since: Instant::now(),
                asked_at,
                want,
            });
            self.grows.begin(token.id(), asked_at, asleep);
            self.counts.grows += 1;
            if B::SLEEPS {
                self.leave(node, todo);
                return Step::Ask(token);
            }
            next = Step::Ask(token);
        }
        if linked {
            todo.unused.extend(self.queue.rearm(node, waker).map(Unused::Waker));
        } else {
            let waker = waker.take().expect("whoever may have to wait brings a waker");
            self.queue.link(node, waker.into_owned());
        }
        next
    }

    /// The getter's time is up: it leaves, unless it was served, or waits for a put while
    /// only its time to wait for a page is up.
    pub(crate) fn time_is_up(
        &mut self,
        node: Pin<&Waiter<B::Error>>,
        only_for_page: bool,
        todo: &mut Todo<'_, B>,
    ) -> Option<Awaited> {
        if !self.queue.is_linked(node) {
            return None;
        }
        let awaited = if self.grows.is_empty() { Awaited::Put } else { Awaited::Page };
        if only_for_page && awaited == Awaited::Put {
            return None;
        }
        self.counts.failures.timed_out += 1;
        self.leave(node, todo);
        Some(awaited)
    }

    /// Takes the getter out of line, if it is in it.
    pub(crate) fn leave(&mut self, node: Pin<&Waiter<B::Error>>, todo: &mut Todo<'_, B>) {
        if let Some(waker) = self.queue.cancel(node) {
            todo.unused.push(Unused::Waker(waker));
        }
    }

    /// A getter leaves that drove these grows. What is needed of them is kept for another who
    /// waits, unless two gave up waiting for it: it may never end. The rest stays with the caller,
    /// to be dropped unlocked.
    pub(crate) fn leave_works(&mut self, works: &mut Vec<(GrowId, Work)>, served: bool) {
        // The youngest first: the oldest have got farthest.
        for at in (0..works.len()).rev() {
            let (id, _) = works[at];
            if !self.grows.is_pending(id) {
                continue;
            }
            let hopeless = !served && self.grows.note_left(id);
            if hopeless || self.grows.counted_on() > self.needed_grows() || self.ledger.is_over() {
                self.grows.give_up(id);
            } else {
                let (id, work) = works.swap_remove(at);
                self.grows.park(id, work);
            }
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
        let mut pending = self.grows.end(id);
        todo.works.extend(pending.parked.take());
        self.counts.stolen += if B::CLAIMS {
            u64::from(matches!(end, Err(NoPage::Refused(_))) && pending.left_its_page())
        } else {
            pending.stolen(end.as_ref().ok().map(|(_, base)| base.addr().get()))
        };
        if pending.released > 0 {
            // What is still on its way to it must not be kept for it for ever.
            self.fixed.table.end(id);
            todo.forgets.push(id);
        }
        match end {
            Ok((page, base)) => {
                self.arrive(page, base);
                self.gives_way = true;
                Ok(())
            }
            Err(none) => {
                self.ledger.ended();
                match none {
                    NoPage::Refused(Refusal::GivenUp) => self.counts.withdrawn += 1,
                    NoPage::Refused(Refusal::TimedOut) => {}
                    _ => self.counts.refused += 1,
                }
                let error = GetError::of(none);
                // Of a grow that nobody counted on, nobody is told.
                let error = if pending.surplus {
                    todo.unused.extend(error.map(Unused::Error));
                    None
                } else {
                    error
                };
                error.map_or(Ok(()), Err)
            }
        }
    }

    /// A page came for a slot of the ledger. If the pool was closed or the limit lowered
    /// meanwhile, it goes back when the state settles.
    pub(crate) fn arrive(&mut self, page: B::Page, base: NonNull<u8>) {
        self.ledger.delivered();
        self.pages.insert(page, base);
        self.counts.most_pages = self.counts.most_pages.max(self.ledger.pages());
    }

    /// Holds a slot of the ledger for a getter that does not wait, and brings a page.
    #[must_use]
    pub(crate) fn gather(&mut self) -> bool {
        let held = self.ledger.reserve();
        self.gathering += u32::from(held);
        self.counts.grows += u64::from(held);
        held
    }

    /// As [`gather`](Self::gather), for a page whose item is to be lent: nobody is overtaken, and
    /// the reserve is left.
    #[must_use]
    pub(crate) fn gather_for(&mut self, want: Want) -> bool {
        let room = self.pages.out_items() < self.most(want.class);
        !self.closed && self.queue.is_empty() && room && self.gather()
    }

    /// The page came that a slot was held for.
    pub(crate) fn gathered_page(&mut self, (page, base): Arrival<B>) {
        self.gathering -= 1;
        self.arrive(page, base);
    }

    /// An empty page came that a slot was held for, for somebody's own object.
    pub(crate) fn lend_new_page(&mut self, arrival: Arrival<B>, want: Want) -> Loan {
        self.gathered_page(arrival);
        // The one that came last, since the others that are idle have objects in them too.
        self.lend(want, Rest::default()).first.emptied()
    }

    /// A slot that was held to gather is free again.
    pub(crate) fn gathered(&mut self) {
        self.gathering -= 1;
        self.ledger.ended();
    }

    /// Hands the error of a grow that ended to the oldest waiter. If the others that are
    /// pending serve all who wait, it is nobody's.
    pub(crate) fn fail_one(&mut self, error: GetError<B::Error>, todo: &mut Todo<'_, B>) {
        match self.queue.oldest_class() {
            Some(class) if self.is_uncovered(self.demand(None)) => self.fail_head(class, error, todo),
            _ => todo.unused.push(Unused::Error(error)),
        }
    }

    fn fail_head(&mut self, class: Class, error: GetError<B::Error>, todo: &mut Todo<'_, B>) {
        self.counts.failures.count(&error);
        todo.ended.extend(self.queue.finish_head(class, Err(error)));
    }

    /// Takes an item back, with an object in it or without. A page that came with its object
    /// and comes back without is of no use any more.
    pub(crate) fn put(
        &mut self,
        slot: Slot,
        constructed: bool,
        todo: &mut Todo<'_, B>,
    ) -> Result<(), PutError> {
        self.pages.put(slot, constructed)?;
        self.counts.puts += 1;
        if let Some(page) = self.pages.idle_page_of(slot) {
            if B::CREATES && !constructed {
                self.give_up(page, Heir::Anybody, todo);
            } else {
                self.offer(page, todo);
            }
        }
        Ok(())
    }
}
