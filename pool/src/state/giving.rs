//! How a page is given up: to whom, and with its objects destroyed before it goes.

use std::ops::Range;

use kva::NEVER;

use super::{Arrival, State};
use crate::backend::Backend;
use crate::grows::{Asleep, Pending};
use crate::pages::{ApartPage, IdlePage};
use crate::todo::{Dismantle, Heir, Object, Release, Todo};

impl<B: Backend> State<B> {
    /// A page became wholly free: somebody outside the pool may need it more.
    pub(super) fn offer(&mut self, page: IdlePage, todo: &mut Todo<'_, B>) {
        self.gives_way |= self.pages.try_guards();
        if self.closed || self.ledger.is_over() {
            return; // it goes anyway
        }
        let head = self.queue.oldest();
        if self.give_to_sleeper(page, false, todo) {
            return;
        }
        // Fair between pools: above low water it goes to who has waited longer than anybody
        // here, if it is of use there. Where nobody waits here, `shed` sees to it.
        if head != NEVER && self.may_spare(self.ledger.low()) && self.fixed.clock.oldest() < head {
            if self.stands_in(todo) {
                return;
            }
            self.give_up(page, Heir::OlderThan(head), todo);
        }
    }

    /// An idle page is for the oldest request, which is this pool's own: whoever made it was served by a
    /// put, or left, and younger ones wait for it. The page would only come back. So it stays, and the
    /// request ends as if it had brought it: who waits here asks anew, behind those elsewhere that
    /// are older. Were the request left, its age would keep this pool's pages from them for ever.
    fn stands_in(&mut self, todo: &mut Todo<'_, B>) -> bool {
        if todo.forgets.is_full() || todo.works.is_full() {
            return false;
        }
        let oldest = self.fixed.clock.oldest();
        let own = self.grows.iter().filter(|grow| grow.asked_at == oldest && grow.asleep.is_none());
        let withdrawn = own.map(|grow| grow.id).find(|&id| self.fixed.table.withdraw(id));
        withdrawn.map(|id| self.note_withdrawn(id, todo)).is_some()
    }

    /// Option 3: the only way to a getter asleep inside its back-end is a page. Where a thief
    /// could take it, it is for those only whom nothing else reaches. `once`: not if it had one.
    fn give_to_sleeper(&mut self, page: IdlePage, once: bool, todo: &mut Todo<'_, B>) -> bool {
        let (head, supply) = (self.queue.oldest(), self.supply());
        let is_of_use = |asleep: &Asleep| asleep.want.items as usize <= supply.of(asleep.want.class);
        if B::SLEEPS
            && !B::CREATES
            && let Some(heir) = self.grows.next_heir(B::CLAIMS || once, is_of_use)
            && let Some(asleep) = &heir.asleep
            && (head == NEVER || (B::CLAIMS && asleep.asked_at < head))
        {
            heir.release(self.pages.base(page).addr().get());
            let heir = Heir::Grow(heir.id);
            self.give_up(page, heir, todo);
            return true;
        }
        false
    }

    /// Law 8: a page that became idle by other ways than a put. One for each sleeper.
    pub(super) fn give_to_sleepers(&mut self, todo: &mut Todo<'_, B>) {
        while B::SLEEPS
            && !B::CREATES
            && self.grows.any_without_a_page()
            && let Some(page) = self.pages.idle_page()
        {
            if todo.is_full_of_pages() {
                todo.more = true;
                return;
            }
            if !self.give_to_sleeper(page, true, todo) {
                return;
            }
        }
    }

    /// Law 7.
    pub(super) fn give_way(&mut self, todo: &mut Todo<'_, B>) {
        if !self.gives_way {
            return;
        }
        let head = self.queue.oldest();
        while head != NEVER
            && self.gathering == 0
            && !self.ledger.is_over()
            && self.may_spare(self.ledger.low())
            && self.fixed.clock.oldest() < head
            && let Some(page) = self.pages.idle_page()
        {
            // The request is forgotten after the lock. Then it is seen who is the oldest.
            if todo.is_full_of_pages() || self.stands_in(todo) {
                todo.more = true;
                return;
            }
            self.give_up(page, Heir::OlderThan(head), todo);
        }
        self.gives_way = false;
    }

    /// A page that might have come back was taken.
    pub(crate) fn taken(&mut self, by: Heir) {
        match by {
            Heir::Anybody => {}
            Heir::OlderThan(_) => self.counts.yielded += 1,
            Heir::Grow(id) => _ = self.grows.get_mut(id).map(Pending::inherits),
        }
        self.ledger.ended();
    }

    /// A page has come back, for which a slot was held.
    pub(crate) fn came_back(&mut self, (page, base): Arrival<B>, from: Heir) {
        self.arrive(page, base);
        // It was offered to nobody else then.
        self.gives_way |= matches!(from, Heir::Grow(_));
    }

    /// Gives a page up. It leaves at once, unless there are objects in it, or a guard behind it: those
    /// are destroyed first, and that is opened, with no lock held.
    pub(super) fn give_up(&mut self, page: IdlePage, to: Heir, todo: &mut Todo<'_, B>) {
        let page = self.pages.set_apart(page);
        self.ledger.leaves();
        let guarded = self.pages.guarded(&page);
        if guarded.is_some() || self.pages.has_objects(&page) {
            todo.dismantles.push(Dismantle { page, to, guarded });
        } else {
            self.send_off(page, to, todo);
        }
    }

    pub(super) fn send_off(&mut self, page: ApartPage, to: Heir, todo: &mut Todo<'_, B>) {
        let page = self.pages.remove(page);
        if matches!(to, Heir::Grow(_)) {
            self.counts.released_to_heirs += 1;
            self.counts.below_low += u64::from(self.ledger.pages() <= self.ledger.low());
        }
        self.ledger.released();
        self.counts.released += 1;
        let may_come_back = match to {
            Heir::Anybody => false,
            Heir::Grow(_) => B::CLAIMS,
            Heir::OlderThan(_) => true,
        };
        // There is none if the limit was lowered meanwhile.
        let held = may_come_back && self.ledger.reserve();
        let to = if matches!(to, Heir::OlderThan(_)) && !held { Heir::Anybody } else { to };
        todo.releases.push(Release { page, to, held });
        todo.gone += 1;
    }

    /// A guard will not open. All pages that are on their way out for `todo` stay, as they were, and no
    /// other goes before there is a reason to try again: one that was in use, or somebody who says so.
    pub(crate) fn keep_shut(&mut self, todo: &mut Todo<'_, B>) {
        for Dismantle { page, to, .. } in todo.dismantles.drain(..) {
            if let Heir::Grow(id) = to
                && let Some(heir) = self.grows.get_mut(id)
            {
                heir.keep(self.pages.base_apart(&page).addr().get());
            }
            self.pages.stays(page);
            self.ledger.stays();
        }
        // Somebody here may want it.
        todo.more = true;
        self.check();
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
            let Dismantle { page, to, .. } = todo.dismantles.remove(0);
            self.send_off(page, to, todo);
            // Its slot is free now, or more is over the limit.
            todo.more = true;
        }
        self.check();
    }

    /// Whether an idle page may go and leave more than `keep` pages less one, and the reserve.
    pub(super) fn may_spare(&self, keep: u32) -> bool {
        self.ledger.staying() > keep && self.pages.free_items() >= self.reserve() + self.fixed.items_per_page
    }

    /// Gives up the page that has been idle longest, or one that is `within` these addresses, if
    /// nobody waits and more than `keep` are held.
    pub(crate) fn give_up_idle(
        &mut self,
        keep: u32,
        within: Option<&Range<usize>>,
        todo: &mut Todo<'_, B>,
    ) -> bool {
        if self.is_wanted() || !self.may_spare(keep) || todo.is_full_of_pages() {
            return false;
        }
        let page = match within {
            None => self.pages.idle_page(),
            Some(addresses) => self.pages.idle_page_within(addresses),
        };
        if let Some(page) = page {
            self.give_up(page, Heir::Anybody, todo);
        }
        page.is_some()
    }
}
