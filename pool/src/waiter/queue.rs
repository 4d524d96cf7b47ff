//! Who waits in both classes, and whose turn it is.
//!
//! # The reserve
//!
//! Of the free items the last `reserve` are for critical getters only. So there are two
//! lines, each in order of age, and between them:
//!
//! - What an ordinary waiter could have goes by age, whatever the class.
//! - An ordinary waiter is not overtaken by a critical one that takes no more than the
//!   reserve has, if it could not have had that, or still has enough. When items come back
//!   they fill the reserve first, so critical getters without end may keep ordinary ones
//!   waiting; that is what a reserve is for.
//! - Nobody overtakes within a class but by the bound on bypass (P4).
//!
//! A waiter for several items has one place in its line. Items gather until there are
//! enough for it; meanwhile nobody behind it in either class is served from them, and
//! later arrivals only within the bound.

use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Waker;
use std::time::Instant;

use kva::NEVER;
use kva::sync::thread::Thread;

use super::line::Line;
use super::{Class, Leaves, Outcome, Waiter, Want, Watchers};
use crate::loan::Rest;

/// The free items of a pool, as those who want them see them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Supply {
    pub(crate) free: usize,
    /// For critical getters only.
    pub(crate) reserve: usize,
    /// How often a waiter may be overtaken.
    pub(crate) bypass: u32,
}

impl Supply {
    /// How many items the class could have now, if nobody else waited.
    pub(crate) const fn of(&self, class: Class) -> usize {
        match class {
            Class::Ordinary => self.free.saturating_sub(self.reserve),
            Class::Critical => self.free,
        }
    }
}

/// The waiters of a pool.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    ordinary: Line<E>,
    critical: Line<E>,
    /// Of its close. They count nowhere else.
    pub(crate) watchers: Watchers<E>,
}

impl<E> Queue<E> {
    /// Nobody waits.
    pub(crate) const fn new() -> Self {
        Self { ordinary: Line::new(), critical: Line::new(), watchers: Watchers::new() }
    }

    const fn line(&self, class: Class) -> &Line<E> {
        match class {
            Class::Ordinary => &self.ordinary,
            Class::Critical => &self.critical,
        }
    }

    const fn line_mut(&mut self, class: Class) -> &mut Line<E> {
        match class {
            Class::Ordinary => &mut self.ordinary,
            Class::Critical => &mut self.critical,
        }
    }

    fn line_of(&mut self, node: Pin<&Waiter<E>>) -> &mut Line<E> {
        let class = self.want(node).class;
        self.line_mut(class)
    }

    /// Whether nobody waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.ordinary.len() + self.critical.len()
    }

    /// How many items they want, and whether any of them is ordinary.
    pub(crate) const fn wanted(&self) -> (usize, bool) {
        (self.ordinary.wanted() + self.critical.wanted(), self.ordinary.len() > 0)
    }

    /// Whether some waiter was told to look and has not yet.
    pub(crate) const fn any_kicked(&self) -> bool {
        self.ordinary.any_kicked() || self.critical.any_kicked()
    }

    /// The class whose oldest waiter is the oldest of all.
    pub(crate) fn oldest_class(&self) -> Option<Class> {
        match (self.ordinary.head(), self.critical.head()) {
            (None, None) => None,
            (Some((ordinary, _)), Some((critical, _))) if critical < ordinary => Some(Class::Critical),
            (Some(_), _) => Some(Class::Ordinary),
            (None, Some(_)) => Some(Class::Critical),
        }
    }

    /// When the oldest waiter came; [`NEVER`] where nobody waits.
    pub(crate) fn oldest(&self) -> u64 {
        let came = |line: &Line<E>| line.head().map_or(NEVER, |(asked_at, _)| asked_at);
        came(&self.ordinary).min(came(&self.critical))
    }

    /// The class whose oldest waiter is to be served now, and has enough.
    pub(crate) fn next(&self, supply: Supply) -> Option<Class> {
        let (ordinary, critical) = (self.ordinary.head(), self.critical.head());
        let came_before = |one: u64, other: Option<(u64, usize)>| other.is_none_or(|(other, _)| one < other);
        if let Some((asked_at, want)) = ordinary
            && want <= supply.of(Class::Ordinary)
            && came_before(asked_at, critical)
        {
            return Some(Class::Ordinary);
        }
        if let Some((asked_at, want)) = critical
            && want <= supply.of(Class::Critical)
            && (want <= supply.reserve || came_before(asked_at, ordinary))
        {
            return Some(Class::Critical);
        }
        None
    }

    /// Whether nobody waits in the other class.
    pub(crate) const fn is_alone(&self, class: Class) -> bool {
        match class {
            Class::Ordinary => self.critical.len() == 0,
            Class::Critical => self.ordinary.len() == 0,
        }
    }

    /// What the oldest waiter of the class wants.
    pub(crate) fn head_want(&self, class: Class) -> Option<usize> {
        self.line(class).head().map(|(_, want)| want)
    }

    /// Whether the node is the oldest waiter of its class.
    pub(crate) fn is_head(&self, node: Pin<&Waiter<E>>) -> bool {
        self.ordinary.is_head(node) || self.critical.is_head(node)
    }

    /// Whether somebody who came at `asked_at` may take what it wants now (P4).
    pub(crate) fn may_take(&self, asked_at: u64, want: Want, supply: Supply) -> bool {
        let items = want.items as usize;
        items <= supply.of(want.class)
            && self.critical.may_pass(asked_at, supply.bypass)
            && (!self.costs_ordinary(want, supply) || self.ordinary.may_pass(asked_at, supply.bypass))
    }

    /// Notes that somebody who came at `asked_at` took what it wants.
    pub(crate) fn note_take(&mut self, asked_at: u64, want: Want, supply: Supply) {
        self.critical.note_pass(asked_at);
        if self.costs_ordinary(want, supply) {
            self.ordinary.note_pass(asked_at);
        }
    }

    /// Whether the oldest ordinary waiter is worse off if this is taken: not if it is the
    /// reserve's, which it could not have, or if there is enough for both.
    fn costs_ordinary(&self, want: Want, supply: Supply) -> bool {
        let items = want.items as usize;
        if want.class == Class::Ordinary || items > supply.reserve {
            return true;
        }
        let left = Supply { free: supply.free.saturating_sub(items), ..supply };
        let could_have =
            |supply: Supply| self.ordinary.head().is_some_and(|(_, want)| want <= supply.of(Class::Ordinary));
        could_have(supply) && !could_have(left)
    }

    /// The most that any waiter was overtaken.
    pub(crate) fn most_overtaken(&self) -> u64 {
        self.ordinary.most_overtaken().max(self.critical.most_overtaken())
    }

    /// Whether the node is linked.
    pub(crate) fn is_linked(&self, node: Pin<&Waiter<E>>) -> bool {
        self.ordinary.is_linked(node)
    }

    /// When the waiter came; [`NEVER`] if it has not had to wait.
    pub(crate) fn asked_at(&self, node: Pin<&Waiter<E>>) -> u64 {
        self.ordinary.asked_at(node)
    }

    /// What the waiter wants.
    pub(crate) fn want(&self, node: Pin<&Waiter<E>>) -> Want {
        self.ordinary.want(node)
    }

    /// The waiter's room for all but the first item, and since when it has had to wait.
    pub(crate) fn room_of(&mut self, node: Pin<&Waiter<E>>) -> (Rest, Option<Instant>) {
        (self.ordinary.take_rest(node), self.ordinary.since(node))
    }

    /// Notes that the waiter has to wait, from `now` on unless it had to before.
    pub(crate) fn has_to_wait(&mut self, node: Pin<&Waiter<E>>, now: impl FnOnce() -> u64) {
        self.line_of(node).has_to_wait(node, now);
    }

    /// Links a waiter, which [has to wait](Self::has_to_wait), in its place by age.
    pub(crate) fn link(&mut self, node: Pin<&Waiter<E>>, waker: Waker) {
        self.line_of(node).link(node, waker);
    }

    /// Leaves a waker with a linked node; see [`Line::rearm`].
    pub(crate) fn rearm(&mut self, node: Pin<&Waiter<E>>, waker: &mut Option<Leaves<'_>>) -> Option<Waker> {
        self.line_of(node).rearm(node, waker)
    }

    /// Unlinks the waiter; see [`Line::cancel`].
    pub(crate) fn cancel(&mut self, node: Pin<&Waiter<E>>) -> Option<Waker> {
        self.line_of(node).cancel(node)
    }

    /// Takes the kick back from a waiter that is looking now.
    pub(crate) fn calm(&mut self, node: Pin<&Waiter<E>>) {
        self.line_of(node).calm(node);
    }

    /// Tells the oldest waiter of the class to look; see [`Line::kick_head`].
    pub(crate) fn kick_head(&mut self, class: Class) -> Option<Waker> {
        self.line_mut(class).kick_head()
    }

    /// Whether the oldest waiter of the class was told to look and has not yet.
    pub(crate) fn is_head_kicked(&self, class: Class) -> bool {
        self.line(class).is_head_kicked()
    }

    /// What the oldest waiter of the class wants, and its room for it.
    pub(crate) fn head_room(&mut self, class: Class) -> Option<(Want, Rest, Option<Instant>)> {
        self.line_mut(class).head_room()
    }

    /// The oldest waiter of the class that wants more than `most` items, and how many.
    pub(crate) fn first_who_wants_more(
        &self,
        class: Class,
        most: usize,
    ) -> Option<(NonNull<Waiter<E>>, usize)> {
        self.line(class).first_who_wants_more(most)
    }

    /// Ends the wait of a linked waiter of the class; see [`Line::finish`].
    pub(crate) fn finish(
        &mut self,
        class: Class,
        node: NonNull<Waiter<E>>,
        outcome: Outcome<E>,
    ) -> Option<Waker> {
        self.line_mut(class).finish(node, outcome)
    }

    /// Ends the wait of the oldest waiter of the class; see [`Line::finish_head`].
    pub(crate) fn finish_head(&mut self, class: Class, outcome: Outcome<E>) -> Option<Waker> {
        self.line_mut(class).finish_head(outcome)
    }

    /// The equations of all lines.
    pub(crate) fn check(&self) {
        self.ordinary.check();
        self.critical.check();
        self.watchers.check();
    }

    /// Tells `f` who waits, since when and for what, each line oldest first.
    pub(crate) fn each(&self, mut f: impl FnMut(&Thread, Instant, Want)) {
        self.critical.each(&mut f);
        self.ordinary.each(&mut f);
    }
}
