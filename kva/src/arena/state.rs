//! What an arena decides under its lock. Plain data: nothing here locks, wakes or waits.

#![allow(
    clippy::inline_always,
    reason = "most takings and frees: their stores are read back at once, in one frame"
)]

use std::ops::Range;

use super::reclaim::Hooks;
use super::relocate::Moving;
use super::todo::Todo;
use super::{AllocError, FreeError, Inner};
use crate::clients::Clients;
use crate::clock::NEVER;
use crate::grow::{Claim, Committed};
use crate::placement::Placement;
use crate::requests::{Asker, LOOKAHEAD, Request, Requests};
use crate::shape::{Shape, Span};
use crate::space::{Busy, Space};
use crate::sync::CHECKED;

#[derive(Debug)]
pub(super) struct State {
    pub(super) space: Space,
    pub(super) clients: Clients,
    pub(super) requests: Requests,
    pub(super) hooks: Hooks,
    pub(super) moving: Moving,
    /// The number of the request that the window is for.
    pub(super) aimed_for: Option<u64>,
    /// The request whose window a hook moved, and which hook.
    pub(super) aimer: Option<(u64, u32)>,
    /// What the head wanted for which the hooks were last owed a call.
    told_of: Option<Placement>,
    /// How often a window had been aimed or moved when the hooks were last owed a call for it.
    pub(super) aimings: u64,
    /// What the clock was last told, so that it is told only what changed.
    published: u64,
    pub(super) closed: bool,
}

/// What is remembered with a busy run: whose it is, how it is aligned, and whether it can be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note(pub(super) u32);

const ALIGN_SHIFT: u32 = 16;
const STAYS: u32 = 1 << 31;

impl Note {
    fn new(client: u16, placement: &Placement) -> Self {
        let align = placement.shape().align().trailing_zeros() << ALIGN_SHIFT;
        // What else was asked for is not remembered, so that it cannot be met elsewhere.
        let stays = if placement.is_plain() { 0 } else { STAYS };
        Self(u32::from(client) | align | stays)
    }

    pub(super) const fn client(self) -> u16 {
        self.0 as u16
    }

    /// What the busy run was asked for as, if it was for no more than a shape.
    pub(super) fn shape_of(self, busy: Busy) -> Shape {
        let align = 1 << (self.0 >> ALIGN_SHIFT & 31);
        Shape::aligned(busy.len, align).expect("it was a shape")
    }

    pub(super) const fn is_movable(self) -> bool {
        self.0 & STAYS == 0
    }
}

impl State {
    pub(super) fn new(space: Space) -> Self {
        Self {
            space,
            clients: Clients::new(),
            requests: Requests::default(),
            hooks: Hooks::default(),
            moving: Moving::default(),
            aimed_for: None,
            aimer: None,
            told_of: None,
            aimings: 0,
            published: NEVER,
            closed: false,
        }
    }

    /// Restores invariant 1, or as much of it as `todo` has room for, and publishes
    /// what others may know without the lock.
    pub(super) fn settle(&mut self, todo: &mut Todo<'_>) {
        self.free_abandoned(todo);
        if self.closed {
            self.refuse_all(todo);
        } else {
            self.grant(todo);
        }
        let oldest = self.requests.oldest();
        if oldest != self.published {
            self.published = oldest;
            todo.arena.clock.set_oldest(oldest);
        }
        // While another was the head the hooks were told of that one; and where the new one has no
        // window, being for any quantum, none is aimed. Where both want the same, they know.
        let head = self.requests.head().map(|head| self.requests.get(head).placement);
        if self.aimings != self.space.aimings() || (head.is_some() && self.told_of != head) {
            self.aimings = self.space.aimings();
            self.hooks.owe();
        }
        self.told_of = head;
        self.gather_calls(&mut todo.calls);
        self.next_to_move(todo);
        if CHECKED {
            self.check();
            // The head was looked at since anything came free last, or is to be looked at again.
            let is_whole = self.space.window().is_some() && self.space.missing() == 0;
            assert!(todo.more || !is_whole, "nobody waits for what is withheld for it");
        }
    }

    /// Grants what may be granted, oldest first, and aims a window for the first that waits on.
    fn grant(&mut self, todo: &mut Todo<'_>) {
        let arena = todo.arena;
        let mut looked = 0;
        let mut held_back = false;
        let mut at = self.requests.head();
        let mut refused: Option<Placement> = None;
        // Of those that stay in line before the one looked at.
        let mut least_limit = u64::MAX;
        self.drop_stale_window();
        while let Some(this) = at
            && looked < LOOKAHEAD
        {
            if todo.is_full() {
                todo.more = true;
                return;
            }
            at = self.requests.after(this);
            let &Request { placement, asked_at, client, limit, .. } = self.requests.get(this);
            if !self.clients.may_have(client, placement.shape().len()) {
                self.requests.hold_back(this);
                self.publish(client);
                // Those of the same client may have what it may not have twice.
                self.hooks.owe();
                self.drop_stale_window();
                held_back = true;
                looked += 1;
                continue;
            }
            if !self.requests.may_be_passed(least_limit) {
                break;
            }
            if refused.is_some_and(|no| placement.covers(&no)) {
                looked += 1;
                least_limit = least_limit.min(limit);
                continue;
            }
            let is_head = self.requests.head() == Some(this);
            let claimed = if is_head { self.claim_window(client, &placement) } else { None };
            if let Some(busy) = claimed.or_else(|| self.take(&placement, client)) {
                if self.answer(this, Ok(arena.span(busy)), todo) {
                    self.requests.note_pass(asked_at);
                    // An older one of the same client may be over its quota by this.
                    todo.more |= self.clients.quota(client) != u32::MAX;
                } else {
                    // What it would have had may be for somebody before `at`.
                    at = self.requests.head();
                    (least_limit, refused) = (u64::MAX, None);
                }
                self.drop_stale_window();
            } else {
                looked += 1;
                least_limit = least_limit.min(limit);
                refused = Some(placement);
            }
        }
        // Those behind who was held back are among the first now. It ends: each round holds back
        // one more.
        todo.more |= held_back && looked == LOOKAHEAD;
        self.aim();
    }

    /// Aims a window for the head, which does not fit: it is the only one with a claim on what is
    /// not its own yet.
    fn aim(&mut self) {
        let Some(head) = self.requests.head() else { return };
        let &Request { placement, number, .. } = self.requests.get(head);
        let is_any_quantum = placement.shape().len() == 1 && placement.shape().align() == 1;
        if self.aimed_for.is_none() && !(is_any_quantum && placement.is_plain()) {
            self.aimed_for = Some(number);
            self.space.aim(&placement);
        }
    }

    /// Lets go of a window whose request is not the head any more.
    fn drop_stale_window(&mut self) {
        let head = self.requests.head().map(|head| self.requests.get(head).number);
        if self.aimed_for.is_some() && self.aimed_for != head {
            self.aimed_for = None;
            self.space.unaim();
        }
    }

    /// The quanta that are withheld for a request.
    pub(super) fn window_of(&self, request: &Request) -> Option<Range<u32>> {
        self.space.window().filter(|_| self.aimed_for == Some(request.number))
    }

    fn refuse_all(&mut self, todo: &mut Todo<'_>) {
        while let Some(at) = self.requests.head().or_else(|| self.requests.first_held_back()) {
            if todo.is_full() {
                todo.more = true;
                return;
            }
            let _ = self.answer(at, Err(AllocError::Closed), todo);
        }
        self.drop_stale_window();
    }

    /// Ends the request at `at`. `false`: it was withdrawn, and a span that it would have
    /// had is free again.
    pub(super) fn answer(&mut self, at: u32, answer: Result<Span, AllocError>, todo: &mut Todo<'_>) -> bool {
        let client = self.requests.get(at).client;
        if let Some(waker) = self.requests.answer_sleeper(at, answer) {
            self.publish(client);
            self.clients.ended(client);
            todo.wakes.push(waker);
            return true;
        }
        let committed = self.commit_token(at, todo);
        let answered = committed.is_some();
        match (committed, answer) {
            (Some(committed), answer) => todo.grants.push((committed, answer)),
            (None, Ok(span)) => self.give(span.busy()),
            (None, Err(_)) => {}
        }
        answered
    }

    /// Takes a token out of the queue that is about to have its answer. `None`: it was withdrawn.
    fn commit_token(&mut self, at: u32, todo: &mut Todo<'_>) -> Option<Committed<Span, AllocError>> {
        let Asker::Grow(grow) = self.dequeue(at) else {
            unreachable!("sleepers are answered where they are");
        };
        let committed = grow.commit().map_err(|withdrawn| todo.withdrawn.push(withdrawn)).ok()?;
        self.spend(Some(committed.claim()));
        Some(committed)
    }

    /// Ends the request at `at` with a span that suits it, cut to what it asked for. The span never is
    /// free in between. `false`: it was withdrawn, and the span is as it was.
    pub(super) fn hand_over(&mut self, at: u32, span: Span, todo: &mut Todo<'_>) -> bool {
        let (arena, &Request { placement, client, .. }) = (todo.arena, self.requests.get(at));
        let token = match self.requests.asker(at) {
            Asker::Sleeper { .. } => None,
            Asker::Grow(_) => match self.commit_token(at, todo) {
                None => return false,
                token => token,
            },
        };
        let kept = arena.span(self.pass_on(span.busy(), &placement, client));
        match token {
            Some(committed) => todo.grants.push((committed, Ok(kept))),
            None => return self.answer(at, Ok(kept), todo),
        }
        true
    }

    /// Keeps a span for a claim whose request is on its way here. `false`: it had its answer.
    pub(super) fn keep_for(&mut self, claim: Claim<'_>, span: Span, todo: &Todo<'_>) -> bool {
        let comes = claim.is_open() && !self.requests.is_answered(claim.id());
        if comes {
            // A second free of it is an error, also while it is kept.
            let kept = todo.arena.span(self.renew(span.busy()));
            self.requests.park(claim.id(), kept);
        }
        comes
    }

    /// Tells a client's clock of its requests that are held back.
    fn publish(&mut self, client: u16) {
        let oldest = self.requests.held_back_of(client).next().map_or(NEVER, |request| request.asked_at);
        self.clients.publish(client, oldest);
    }

    /// Queues a request.
    pub(super) fn queue(
        &mut self,
        arena: &Inner,
        placement: Placement,
        asked_at: u64,
        client: u16,
        asker: Asker,
    ) -> u32 {
        self.clients.waits(client);
        self.hooks.owe();
        self.requests.push(placement, asked_at, client, arena.bypass, asker)
    }

    /// Takes a waiting request out; its asker is the caller's to answer.
    pub(super) fn dequeue(&mut self, at: u32) -> Asker {
        let client = self.requests.get(at).client;
        let asker = self.requests.remove(at);
        self.publish(client);
        self.clients.ended(client);
        asker
    }

    /// Takes a span for somebody who came at `asked_at`, if that is allowed. The caller
    /// commits its memory after the lock.
    pub(super) fn look(
        &mut self,
        arena: &Inner,
        placement: &Placement,
        client: u16,
        asked_at: u64,
    ) -> Result<Option<Span>, AllocError> {
        let shape = placement.shape();
        if self.closed {
            return Err(AllocError::Closed);
        }
        if !self.space.could_ever_fit(placement) {
            return Err(AllocError::TooLarge { shape, quanta: self.space.size() });
        }
        self.check_quota(shape, client)?;
        if !self.may_take(shape.len(), client, asked_at) {
            return Ok(None);
        }
        let taken = self.take(placement, client);
        if taken.is_some() {
            self.requests.note_pass(asked_at);
        }
        Ok(taken.map(|busy| arena.span(busy)))
    }

    /// Whether `client` may ever have it.
    pub(super) fn check_quota(&self, shape: Shape, client: u16) -> Result<(), AllocError> {
        let quota = self.clients.quota(client);
        if shape.len() > quota { Err(AllocError::OverQuota { shape, quota }) } else { Ok(()) }
    }

    /// Whether `client`, who came at `asked_at`, may take so many quanta now, if they are free.
    pub(super) fn may_take(&mut self, len: u32, client: u16, asked_at: u64) -> bool {
        self.clients.may_have(client, len) && self.requests.may_pass(asked_at)
    }

    /// A span that was freed to `claim` before it came here, cut to `placement`.
    pub(super) fn take_kept(
        &mut self,
        arena: &Inner,
        claim: Claim<'_>,
        placement: &Placement,
        client: u16,
    ) -> Option<Span> {
        while let Some(kept) = self.requests.take_parked(claim.id()) {
            if self.suits(kept.busy(), placement, client) {
                return Some(arena.span(self.pass_on(kept.busy(), placement, client)));
            }
            self.free_kept(arena, kept, |state| state.requests.abandon(kept));
        }
        None
    }

    /// The request of `claim` leaves with its answer: nothing is kept for it any more.
    pub(super) fn spend(&mut self, claim: Option<Claim<'_>>) {
        let Some(claim) = claim else { return };
        claim.spend();
        self.requests.let_go(claim.id());
    }

    /// Frees what was kept for grows that will not come for it. Its memory goes first, if it is to go: then
    /// `todo` comes back, also for what there is no room for now.
    fn free_abandoned(&mut self, todo: &mut Todo<'_>) {
        while !todo.abandoned.is_full()
            && let Some(span) = self.requests.take_abandoned()
        {
            self.free_kept(todo.arena, span, |_| todo.abandoned.push(span));
        }
    }

    /// Frees a span that was kept. If its memory goes first, that is done `later`.
    fn free_kept(&mut self, arena: &Inner, span: Span, later: impl FnOnce(&mut Self)) {
        if arena.regions.decommit_any(span) { later(self) } else { self.give(span.busy()) }
    }

    pub(super) fn check_held(&self, span: Span) -> Result<(), FreeError> {
        match self.space.busy_at(span.start) {
            Some(busy) if busy == span.busy() => Ok(()),
            _ => Err(FreeError::DoubleFree(span)),
        }
    }

    /// Nobody waits and nobody is owed anything: then a span that is taken or freed is nobody
    /// else's business, and there is nothing to settle.
    fn is_at_rest(&self) -> bool {
        self.requests.waiting() == 0 && !self.hooks.is_owing() && !self.closed
    }

    /// Takes a span, if all is at rest and there is one.
    #[inline(always)]
    pub(super) fn take_at_rest(&mut self, placement: &Placement, client: u16) -> Option<Busy> {
        let may = self.is_at_rest() && self.clients.may_have(client, placement.shape().len());
        let taken = if may { self.space.take(placement, Note::new(client, placement).0) } else { None };
        if let Some(busy) = taken {
            self.clients.took(client, busy.len);
        }
        if CHECKED {
            self.check();
        }
        taken
    }

    /// Frees a span, if all is at rest; whether it was.
    #[inline(always)]
    pub(super) fn give_at_rest(&mut self, span: Span) -> Result<bool, FreeError> {
        let note = self.space.note_of_held(span.busy()).ok_or(FreeError::DoubleFree(span))?;
        let rests = self.is_at_rest();
        if rests {
            self.space.give(span.busy());
            self.clients.gave(Note(note).client(), span.len);
            if CHECKED {
                self.check();
            }
        }
        Ok(rests)
    }

    /// The equations, where they are checked.
    fn check(&self) {
        self.requests.check();
        let free = u64::from(self.space.free()) + u64::from(self.space.withheld());
        let all = self.clients.total().map(|total| free + total);
        let size = u64::from(self.space.size());
        assert!(all.is_none_or(|all| all == size), "each quantum is somebody's: {all:?} of {size}");
        assert!(self.space.window().is_none() || self.aimed_for.is_some(), "a window is for somebody");
    }
}

/// What changes whose quanta are: `space` and `clients` change together, here only.
impl State {
    pub(super) fn take(&mut self, placement: &Placement, client: u16) -> Option<Busy> {
        let taken = self.space.take(placement, Note::new(client, placement).0);
        self.took(taken, client)
    }

    /// Takes just these quanta.
    pub(super) fn take_at(&mut self, quanta: &Range<u32>, client: u16) -> Option<Busy> {
        let len = quanta.end - quanta.start;
        let taken = self.space.take_at(quanta.start, len, u32::from(client) | STAYS);
        self.took(taken, client)
    }

    /// Takes the window, if all of it is withheld.
    fn claim_window(&mut self, client: u16, placement: &Placement) -> Option<Busy> {
        let taken = self.space.claim_window(Note::new(client, placement).0);
        self.aimed_for.take_if(|_| taken.is_some());
        self.took(taken, client)
    }

    fn took(&mut self, taken: Option<Busy>, client: u16) -> Option<Busy> {
        if let Some(busy) = taken {
            self.clients.took(client, busy.len);
        }
        taken
    }

    /// Frees a span.
    pub(super) fn give(&mut self, busy: Busy) {
        let client = self.note(busy).client();
        self.space.give(busy);
        self.gave(client, busy.len);
    }

    fn gave(&mut self, client: u16, len: u32) {
        let clients = &mut self.clients;
        clients.gave(client, len);
        if self.requests.first_held_back().is_some() {
            if self.requests.resume(client, |len| clients.may_have(client, len)) {
                // They are somebody else's shortage from now on.
                self.hooks.owe();
            }
            self.publish(client);
        }
    }

    /// Whether a span can be passed on to `client`.
    pub(super) fn suits(&self, busy: Busy, placement: &Placement, client: u16) -> bool {
        // What passes from one to another of the same client is no more than it had.
        let is_its_own = self.note(busy).client() == client;
        self.space.suits(busy, placement)
            && (is_its_own || self.clients.may_have(client, placement.shape().len()))
    }

    /// Passes a span on to `client`, without its ever being free, cut to what is asked for.
    pub(super) fn pass_on(&mut self, busy: Busy, placement: &Placement, client: u16) -> Busy {
        let before = self.note(busy).client();
        let passed = self.space.pass_on(busy, placement, Note::new(client, placement).0);
        self.clients.took(client, passed.len);
        self.gave(before, busy.len);
        passed
    }

    /// As a whole, to the same client: all that changes is the receipt.
    pub(super) fn renew(&mut self, busy: Busy) -> Busy {
        let whole = Shape::new(busy.len).expect("a span is never empty");
        // Nor is it anybody's to move: whoever it was has freed it.
        let note = self.space.note_of(busy) | STAYS;
        self.space.pass_on(busy, &whole.into(), note)
    }

    pub(super) fn note(&self, busy: Busy) -> Note {
        Note(self.space.note_of(busy))
    }

    /// A span whose owner does not move it.
    pub(super) fn stays(&mut self, busy: Busy) {
        let note = self.space.note_of(busy) | STAYS;
        self.space.set_note(busy, note);
    }
}

impl Span {
    pub(super) const fn busy(self) -> Busy {
        Busy { start: self.start, len: self.len, serial: self.serial }
    }
}
