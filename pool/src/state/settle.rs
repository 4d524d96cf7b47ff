//! The law of rest.
//!
//! `settle` runs before every unlock and restores, whatever happened (in as many
//! rounds as it takes, where a batch is full):
//!
//! 1. **No item lies idle past a waiter.** Whoever's turn it is (`Queue::next`) and for
//!    whom there is enough was served, oldest first; or there is just enough for the oldest
//!    waiter, it has been kicked, and was overtaken fewer than `K` times (P2, P4). What is
//!    idle beside waiters is the reserve, or gathers for one that wants several.
//! 2. **Every waiter is covered.** Pending grows bring enough for all who wait, and for the
//!    reserve; or the ledger allows no more, or somebody who was kicked is on the way to
//!    begin one. So a grow that was refused is asked again as long as somebody needs it (P2).
//! 3. **No grow is pending that nobody needs,** but those that their back-end has
//!    committed to.
//! 4. **Nothing is held above the limit** that could be given up, where what a factory makes does
//!    not count as held before it is there; nor, while nobody waits here, beyond the reserve and
//!    above high water, or above low water while somebody waits elsewhere for the same back-end.
//!    Where the kernel will not let a page go (`State::keep_shut`), that stays so until it does.
//! 5. **Closed** means that nobody waits, also for that, nothing is idle, and no grow can be
//!    withdrawn.
//! 6. **Nobody waits for what will never be**: more items than the limit allows.
//! 7. **Nothing gathers past an older request elsewhere.** Pages that gather here for one who
//!    wants several were offered to whoever has waited longer for the same back-end. So two
//!    who gather in two pools do not wait for each other.
//! 8. **No page lies idle beside a getter asleep in the back-end** that could use it and has
//!    had none, if nobody older waits here (option 3).
//! 9. **No grow that somebody counts on is without a driver,** where it needs one, but that
//!    somebody who was kicked is on the way to take it on.

use kva::sync::BATCH;
use kva::{GrowId, NEVER};

use super::State;
use super::supply::ANYBODY;
use crate::backend::Backend;
use crate::error::GetError;
use crate::todo::{Heir, Todo};
use crate::waiter::{Class, Want};

impl<B: Backend> State<B> {
    /// Restores the law of rest, or as much of it as `todo` has room for.
    pub(crate) fn settle(&mut self, todo: &mut Todo<'_, B>) {
        if B::CREATES && self.queue.is_empty() {
            self.pages.no_longer_fresh();
        }
        if self.is_at_rest() {
            self.check();
            return;
        }
        self.withdraw(todo);
        self.shed(todo);
        let somebody_waited = !self.queue.is_empty();
        if self.closed {
            self.dismiss(todo);
        } else {
            self.turn_away(todo);
            self.serve(todo);
            self.give_to_sleepers(todo);
            self.give_way(todo);
            self.withdraw(todo);
            self.call_for_grow(todo);
            if somebody_waited && self.queue.is_empty() {
                // What gathered for the last of them, and is more than it wanted.
                self.shed(todo);
            }
        }
        self.find_drivers(todo);
        self.check();
    }

    /// Whether all laws hold since there is nobody and nothing that they speak of.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.queue.is_empty() && self.is_quiet()
    }

    /// Whether the laws speak of nobody but those in line: nothing is pending, nothing is to be
    /// given up, and nobody waits elsewhere.
    pub(super) fn is_quiet(&self) -> bool {
        self.grows.is_empty()
            && !self.closed
            && !self.lowered
            && !self.gives_way
            && !self.ledger.is_over()
            && self.ledger.staying() <= self.ledger.high()
            && self.fixed.clock.oldest() == NEVER
    }

    /// Law 3, and grows above the limit (law 4).
    pub(super) fn withdraw(&mut self, todo: &mut Todo<'_, B>) {
        loop {
            let needed = self.needed_grows();
            if self.grows.counted_on() <= needed && !self.ledger.is_over() {
                return;
            }
            if todo.forgets.is_full() || todo.works.is_full() {
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
            self.note_withdrawn(id, todo);
        }
    }

    /// A grow was withdrawn, for which there is room in `todo`.
    pub(super) fn note_withdrawn(&mut self, id: GrowId, todo: &mut Todo<'_, B>) {
        todo.works.extend(self.grows.end(id).parked);
        self.ledger.ended();
        self.counts.withdrawn += 1;
        todo.forgets.push(id);
    }

    /// Laws 4 and 5: what is idle above the limit, above high water, or after close; and
    /// above low water, if somebody else waits for the back-end.
    pub(super) fn shed(&mut self, todo: &mut Todo<'_, B>) {
        while let Some(longest) = self.pages.idle_page() {
            let nobody_waits = self.fixed.clock.oldest() == NEVER;
            let keep = if nobody_waits { self.ledger.high() } else { self.ledger.low() };
            let spare = !self.is_wanted() && self.may_spare(keep);
            let has_to = self.closed || self.holds_too_much();
            if !(has_to || spare) {
                return;
            }
            if todo.is_full_of_pages() {
                todo.more = true;
                return;
            }
            let window = self.wanted.window.as_ref().filter(|_| !nobody_waits);
            let of_use = window.and_then(|window| self.pages.idle_page_within(window));
            if of_use.is_none() && self.wanted.only && !has_to {
                return;
            }
            let page = of_use.unwrap_or(longest);
            self.give_up(page, Heir::Anybody, todo);
        }
    }

    /// Whether what is idle goes to come down to the limit, even past those who wait. What a
    /// factory has begun may never come, so nothing that is good goes for its sake (P2).
    fn holds_too_much(&self) -> bool {
        if B::CREATES { self.ledger.staying() > self.ledger.limit() } else { self.ledger.is_over() }
    }

    /// Law 1.
    pub(super) fn serve(&mut self, todo: &mut Todo<'_, B>) {
        loop {
            let supply = self.supply();
            let Some(class) = self.queue.next(supply) else { return };
            if todo.is_full_of_wakes() {
                todo.more = true;
                return;
            }
            let items = self.queue.head_want(class).unwrap_or_default();
            let newcomer = Want { items: items as u32, class, ..ANYBODY };
            // The last of what it could have may be left for whoever comes first. Not where
            // somebody in the other line may have use for it.
            if items == supply.of(class)
                && self.queue.is_alone(class)
                && self.queue.may_take(NEVER, newcomer, supply)
            {
                todo.kicked.extend(self.queue.kick_head(class));
                return;
            }
            let (want, rest, since) = self.queue.head_room(class).expect("somebody waits");
            if let Some(since) = since {
                self.waits.record(since);
            }
            let loans = self.lend(want, rest);
            todo.ended.extend(self.queue.finish_head(class, Ok(loans)));
        }
    }

    /// Law 6.
    pub(super) fn turn_away(&mut self, todo: &mut Todo<'_, B>) {
        if !self.lowered {
            return;
        }
        for class in [Class::Critical, Class::Ordinary] {
            let most = self.most(class);
            while !todo.is_full_of_wakes()
                && let Some((node, asked)) = self.queue.first_who_wants_more(class, most)
            {
                let error = GetError::TooMany { asked, most };
                self.counts.failures.count(&error);
                todo.ended.extend(self.queue.finish(class, node, Err(error)));
            }
        }
        self.lowered = todo.is_full_of_wakes();
        todo.more |= self.lowered;
    }

    /// Law 2.
    pub(super) fn call_for_grow(&mut self, todo: &mut Todo<'_, B>) {
        if !self.queue.any_kicked()
            && self.is_uncovered(self.demand(None))
            && self.ledger.has_room()
            && self.grows.has_room()
        {
            self.kick_oldest(todo);
        }
    }

    /// Tells the oldest waiter to look.
    fn kick_oldest(&mut self, todo: &mut Todo<'_, B>) {
        let Some(class) = self.queue.oldest_class() else { return };
        if todo.is_full_of_wakes() {
            todo.more = true;
            return;
        }
        todo.kicked.extend(self.queue.kick_head(class));
    }

    /// Law 9.
    pub(super) fn find_drivers(&mut self, todo: &mut Todo<'_, B>) {
        while self.grows.any_parked() {
            if self.grows.counted_on() <= self.needed_grows() {
                if !self.queue.any_kicked() {
                    self.kick_oldest(todo);
                }
                return;
            }
            if todo.works.is_full() {
                todo.more = true;
                return;
            }
            todo.works.extend(self.grows.give_up_parked());
        }
    }

    /// Law 5: nobody waits for a closed pool, nor for its close.
    pub(super) fn dismiss(&mut self, todo: &mut Todo<'_, B>) {
        while let Some(class) = self.queue.oldest_class() {
            if todo.is_full_of_wakes() {
                todo.more = true;
                return;
            }
            self.fail_head(class, GetError::Closed, todo);
        }
        while !self.queue.watchers.is_empty() {
            if todo.is_full_of_wakes() {
                todo.more = true;
                return;
            }
            todo.ended.extend(self.queue.watchers.tell_one());
        }
    }

    /// The equations, where they are checked.
    pub(super) fn check(&self) {
        if kva::sync::CHECKED {
            self.ledger.check();
            self.pages.check(self.ledger.pages());
            self.queue.check();
            assert!(self.queue.is_empty() || self.depot.is_scarce(), "nobody waits beside caches");
        }
    }
}

const _: () = assert!(BATCH >= 2, "a step may owe a wake of its own besides those of settle");
