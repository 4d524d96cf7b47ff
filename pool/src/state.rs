//! What a pool decides under its lock.
//!
//! # The law of rest
//!
//! [`State::settle`] runs before every unlock and restores, whatever happened (in as many
//! rounds as it takes, where a batch is full):
//!
//! 1. **No item lies idle past a waiter.** Whoever's turn it is ([`Queue::next`]) and for
//!    whom there is enough was served, oldest first; or there is just enough for the oldest
//!    waiter, it has been kicked, and was overtaken fewer than `K` times (P2, P4). What is
//!    idle beside waiters is the reserve, or gathers for one that wants several.
//! 2. **Every waiter is covered.** Pending grows bring enough for all who wait, and for the
//!    reserve; or the ledger allows no more, or somebody who was kicked is on the way to
//!    begin one. So a grow that was refused is asked again as long as somebody needs it (P2).
//! 3. **No grow is pending that nobody needs,** but those that their back-end has
//!    committed to.
//! 4. **Nothing is held above the limit** that could be given up; nor, while nobody waits
//!    here, beyond the reserve and above high water, or above low water while somebody
//!    waits elsewhere for the same back-end.
//! 5. **Closed** means that nobody waits, nothing is idle, and no grow can be withdrawn.
//! 6. **Nobody waits for what will never be**: more items than the limit allows.
//!
//! Whoever asks a back-end is always a waiter on its own thread, never the one who
//! noticed that a grow is needed: a put must not end up asking, or even sleeping, for
//! somebody else.

use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::time::Instant;

use kva::sync::{Arc, BATCH, thread};
use kva::{Clock, Grow, GrowId, GrowTable, NEVER, Refusal};

use crate::backend::Backend;
use crate::core::{Core, Kept};
use crate::error::{Awaited, GetError};
use crate::grows::{Asleep, Grows};
use crate::ledger::Ledger;
use crate::loan::{Loans, Rest, Slot};
use crate::pages::{ApartPage, IdlePage, Pages, PutError};
use crate::stats::Counts;
use crate::todo::{Dismantle, Heir, Object, Release, Todo, Unused};
use crate::waiter::{Class, Leaves, News, Queue, Supply, Waiter, Want};
use crate::waits::Waits;

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

/// Somebody of whom it is only known that it wants little.
const ANYBODY: Want = Want { items: 1, class: Class::Ordinary, caller: Location::caller() };

impl<E> From<Refusal<E>> for GetError<E> {
    fn from(refusal: Refusal<E>) -> Self {
        match refusal {
            Refusal::Error(error) => Self::Backend(error),
            Refusal::TimedOut => Self::TimedOut(Awaited::Page),
            _ => Self::Abandoned,
        }
    }
}

impl<B: Backend> State<B> {
    /// How many getters wait, on their nodes or inside the back-end.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.grows.asleep()
    }

    /// Whether anybody waits or gathers.
    fn is_wanted(&self) -> bool {
        self.waiting() > 0 || self.gathering > 0
    }

    /// The most items that the limit allows.
    fn capacity(&self) -> usize {
        self.ledger.limit() as usize * self.fixed.items_per_page
    }

    /// Items for critical getters only: all but one at most.
    pub(crate) fn reserve(&self) -> usize {
        (self.reserve as usize).min(self.capacity() - 1)
    }

    /// An item stays out on purpose.
    pub(crate) fn leak(&mut self, slot: Slot) {
        self.counts.leaked += 1;
        self.pages.forget_caller(slot);
    }

    /// How many items are out that were not leaked on purpose.
    pub(crate) fn lost(&self) -> usize {
        self.pages.out_items().saturating_sub(self.counts.leaked as usize)
    }

    /// The most items that a getter of this class can ever have at once.
    pub(crate) fn most(&self, class: Class) -> usize {
        let reserve = if class == Class::Ordinary { self.reserve() } else { 0 };
        self.capacity() - reserve
    }

    fn supply(&self) -> Supply {
        Supply { free: self.pages.free_items(), reserve: self.reserve(), bypass: self.fixed.bypass }
    }

    /// How many free items it takes to serve all who wait, and `also`: what they want, and
    /// the reserve, which ordinary getters leave.
    fn demand(&self, also: Option<Want>) -> usize {
        let (queued, ordinary_queued) = self.queue.wanted();
        let (asleep, ordinary_asleep) = self.grows.wanted();
        let ordinary =
            ordinary_queued || ordinary_asleep || also.is_some_and(|also| also.class == Class::Ordinary);
        let reserve = if ordinary { self.reserve() } else { 0 };
        queued + asleep + also.map_or(0, |also| also.items as usize) + reserve
    }

    /// Whether `demand` is more than what is free or pending. What is being brought by one who
    /// does not wait is that one's.
    fn is_uncovered(&self, demand: usize) -> bool {
        demand > self.grows.len() * self.fixed.items_per_page + self.pages.free_items()
    }

    /// How many grows are needed for those who wait. What is free counts only as far as no
    /// later arrival may take it.
    fn needed_grows(&self) -> usize {
        if self.closed {
            return 0;
        }
        let supply = self.supply();
        let up_for_grabs = self.queue.may_take(NEVER, ANYBODY, supply);
        let secure = if up_for_grabs { supply.free.min(supply.reserve) } else { supply.free };
        self.demand(None).saturating_sub(secure).div_ceil(self.fixed.items_per_page)
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

    /// What the getter of `node` should do next. `end`: how the grow ended that it was
    /// told to ask for, if that was answered at once.
    pub(crate) fn step<'a>(
        &mut self,
        node: Pin<&Waiter<B::Error>>,
        waker: &mut Option<Leaves<'_>>,
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
            if self.queue.next(self.supply()) == Some(want.class) && self.queue.is_head(node) {
                self.leave(node, todo);
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
        let linked = self.queue.is_linked(node);
        let want = self.queue.want(node);
        let demand = self.demand((!linked).then_some(want));
        let mut grow = None;
        if self.is_uncovered(demand) && self.grows.has_room() && self.ledger.reserve() {
            let slot = self.grows.take_slot().expect("there was room");
            let asked_at = self.queue.asked_at(node);
            let token = self.fixed.table.reserve(slot, asked_at, core.clone());
            let asleep = B::SLEEPS.then(|| Asleep {
                thread: thread::current(),
                since: Instant::now(),
                asked_at,
                want,
            });
            self.grows.begin(token.id(), asleep);
            self.counts.grows += 1;
            if B::SLEEPS {
                self.leave(node, todo);
                return Step::Ask(token);
            }
            grow = Some(token);
        }
        if linked {
            todo.unused.extend(self.queue.rearm(node, waker).map(Unused::Waker));
        } else {
            let waker = waker.take().expect("whoever may have to wait brings a waker");
            self.queue.link(node, waker.into_owned());
        }
        grow.map_or(Step::Sleep, Step::Ask)
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
                self.counts.refused += u64::from(!matches!(refusal, Refusal::TimedOut));
                Err(refusal.into())
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
        todo.wakes.extend(self.queue.finish_head(class, Err(error)));
    }

    /// Takes an item back, with an object in it or without.
    pub(crate) fn put(
        &mut self,
        slot: Slot,
        constructed: bool,
        todo: &mut Todo<'_, B>,
    ) -> Result<(), PutError> {
        self.pages.put(slot, constructed)?;
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
        let supply = self.supply();
        let is_of_use = |asleep: &Asleep| asleep.want.items as usize <= supply.of(asleep.want.class);
        if B::SLEEPS
            && let Some(heir) = self.grows.next_heir(B::CLAIMS, is_of_use)
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
        if head != NEVER && self.may_spare(self.ledger.low()) && self.fixed.clock.oldest() < head {
            self.give_up(page, Heir::OlderThan(head), todo);
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

    /// Gives a page up. It leaves at once, unless there are objects in it: those are destroyed
    /// first, with no lock held.
    fn give_up(&mut self, page: IdlePage, to: Heir, todo: &mut Todo<'_, B>) {
        let page = self.pages.set_apart(page);
        self.ledger.leaves();
        if self.pages.has_objects(&page) {
            todo.dismantles.push(Dismantle { page, to });
        } else {
            self.send_off(page, to, todo);
        }
    }

    fn send_off(&mut self, page: ApartPage, to: Heir, todo: &mut Todo<'_, B>) {
        let page = self.pages.remove(page);
        self.ledger.released();
        self.counts.released += 1;
        // What is offered may come back, for which a slot is held.
        let offered = matches!(to, Heir::OlderThan(_));
        let to = if offered && !self.ledger.reserve() { Heir::Anybody } else { to };
        todo.releases.push(Release { page, to });
    }

    /// Takes more objects out of the first page to dismantle, or sends it off if it has none.
    pub(crate) fn dismantle(&mut self, todo: &mut Todo<'_, B>) {
        let Some(Dismantle { page, .. }) = todo.dismantles.first() else { return };
        while !todo.objects.is_full()
            && let Some(object) = self.pages.next_object(page)
        {
            todo.objects.push(Object(object));
        }
        if todo.objects.is_empty() {
            let Dismantle { page, to } = todo.dismantles.remove(0);
            self.send_off(page, to, todo);
            // Its slot is free now, or more is over the limit.
            todo.more = true;
        }
        self.check();
    }

    /// Whether an idle page may go and leave more than `keep` pages less one, and the reserve.
    fn may_spare(&self, keep: u32) -> bool {
        self.ledger.staying() > keep && self.pages.free_items() >= self.reserve() + self.fixed.items_per_page
    }

    /// Gives up the page that has been idle longest, if nobody waits and more than `keep`
    /// are held.
    pub(crate) fn give_up_idle(&mut self, keep: u32, todo: &mut Todo<'_, B>) -> bool {
        if self.is_wanted() || !self.may_spare(keep) || todo.is_full_of_pages() {
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
        if self.is_at_rest() {
            self.check();
            return;
        }
        self.withdraw(todo);
        self.shed(todo);
        if self.closed {
            self.dismiss(todo);
        } else {
            self.turn_away(todo);
            self.serve(todo);
            self.withdraw(todo);
            self.call_for_grow(todo);
        }
        self.check();
    }

    /// Whether all laws hold since there is nobody and nothing that they speak of.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.queue.is_empty()
            && self.grows.is_empty()
            && !self.closed
            && !self.lowered
            && !self.ledger.is_over()
            && self.ledger.staying() <= self.ledger.high()
            && self.fixed.clock.oldest() == NEVER
    }

    /// Law 3, and grows above the limit (law 4).
    fn withdraw(&mut self, todo: &mut Todo<'_, B>) {
        loop {
            let needed = self.needed_grows();
            if self.grows.len() <= needed && !self.ledger.is_over() {
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
            let keep =
                if self.fixed.clock.oldest() == NEVER { self.ledger.high() } else { self.ledger.low() };
            let spare = !self.is_wanted() && self.may_spare(keep);
            if !(self.closed || self.ledger.is_over() || spare) {
                return;
            }
            if todo.is_full_of_pages() {
                todo.more = true;
                return;
            }
            self.give_up(page, Heir::Anybody, todo);
        }
    }

    /// Law 1.
    fn serve(&mut self, todo: &mut Todo<'_, B>) {
        while let Some(class) = self.queue.next(self.supply()) {
            if todo.wakes.is_full() {
                todo.more = true;
                return;
            }
            let supply = self.supply();
            let items = self.queue.head_want(class).unwrap_or_default();
            let newcomer = Want { items: items as u32, class, ..ANYBODY };
            // The last of what it could have may be left for whoever comes first. Not where
            // somebody in the other line may have use for it.
            if items == supply.of(class)
                && self.queue.is_alone(class)
                && self.queue.may_take(NEVER, newcomer, supply)
            {
                todo.wakes.extend(self.queue.kick_head(class));
                return;
            }
            let (want, rest, since) = self.queue.head_room(class).expect("somebody waits");
            if let Some(since) = since {
                self.waits.record(since);
            }
            let loans = self.lend(want, rest);
            todo.wakes.extend(self.queue.finish_head(class, Ok(loans)));
        }
    }

    /// Law 6.
    fn turn_away(&mut self, todo: &mut Todo<'_, B>) {
        if !self.lowered {
            return;
        }
        for class in [Class::Critical, Class::Ordinary] {
            let most = self.most(class);
            while !todo.wakes.is_full()
                && let Some((node, asked)) = self.queue.first_who_wants_more(class, most)
            {
                let error = GetError::TooMany { asked, most };
                self.counts.failures.count(&error);
                todo.wakes.extend(self.queue.finish(class, node, Err(error)));
            }
        }
        self.lowered = todo.wakes.is_full();
        todo.more |= self.lowered;
    }

    /// Law 2.
    fn call_for_grow(&mut self, todo: &mut Todo<'_, B>) {
        let Some(class) = self.queue.oldest_class() else { return };
        if self.queue.any_kicked()
            || !self.is_uncovered(self.demand(None))
            || !self.ledger.has_room()
            || !self.grows.has_room()
        {
            return;
        }
        if todo.wakes.is_full() {
            todo.more = true;
            return;
        }
        todo.wakes.extend(self.queue.kick_head(class));
    }

    /// Law 5: nobody waits for a closed pool.
    fn dismiss(&mut self, todo: &mut Todo<'_, B>) {
        while let Some(class) = self.queue.oldest_class() {
            if todo.wakes.is_full() {
                todo.more = true;
                return;
            }
            self.fail_head(class, GetError::Closed, todo);
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
