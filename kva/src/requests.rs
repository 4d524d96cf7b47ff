//! The queue of requests that an arena could not satisfy at once: pure bookkeeping
//! under the arena's lock.
//!
//! Requests are ordered by when their waiter came, not by when they got here: a
//! request that was asked again after a refusal keeps its age, so one order runs
//! through pools and arena. Most come in order, so insertion looks from the back.
//!
//! # Invariants
//!
//! 1. A live entry is in `order` or `held_back`, except a sleeper, thread or task, that was answered:
//!    it keeps its entry, out of both, until it looks and takes its answer.
//! 2. `parked` holds spans that were freed to grows on their way here, and those that were
//!    let go since: `settle` takes these away.
//!    Who comes takes what is parked, or lets it go; who is forgotten lets it go; a claim
//!    is spent when its grow leaves: so none is parked for a grow that will not come.
//! 3. `order` and `held_back` are sorted by `asked_at`, oldest first.
//! 4. A request that its client's quota does not allow now is held back, out of `order`: it
//!    overtakes nobody, holds up nobody, and is not overtaken.
//!
//! # Bypass
//!
//! How often a request may be overtaken (P4) is said a quantum of its length. A request of one
//! quantum waits until one is freed; one of `n` waits for as many as are busy in its window, at
//! most `n`, and each of these has the same time to be freed by itself while others go on. After
//! that whatever is freed stays free until the request has what it waits for.
//!
//! So each request has a limit of its own, and a short one behind a long one may reach it first:
//! nobody passes any older one that has.

use std::task::Waker;

use crate::arena::{AllocError, SpanGrow};
use crate::clock::NEVER;
use crate::grow::GrowId;
use crate::list::{Link, List, NIL};
use crate::placement::Placement;
use crate::shape::Span;

/// How many waiting requests are looked at in one hold of the lock. A bound on the time
/// under it; who waits further back is reached when those before it were served.
pub(crate) const LOOKAHEAD: usize = 16;

/// Who waits.
#[derive(Debug)]
pub(crate) enum Asker {
    /// A grow token: answered by delivering to it.
    Grow(SpanGrow),
    /// A thread asleep in [`Arena::alloc`](crate::Arena::alloc), or a task that awaits
    /// [`Arena::alloc_async`](crate::Arena::alloc_async), and the grow whose claims it takes, if it
    /// is asleep for one. A task's waker is callers' code: it is moved under the lock, and never
    /// cloned, woken or dropped there (P8).
    Sleeper { waker: Waker, claim: Option<GrowId> },
}

impl Asker {
    fn claim(&self) -> Option<GrowId> {
        match self {
            Self::Grow(grow) => Some(grow.id()),
            Self::Sleeper { claim, .. } => *claim,
        }
    }
}

#[derive(Debug)]
enum State {
    Vacant,
    Waiting(Asker),
    Answered(Result<Span, AllocError>, Option<GrowId>),
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) placement: Placement,
    pub(crate) asked_at: u64,
    /// Whose quota it counts against.
    pub(crate) client: u16,
    /// Sets it apart from all requests there ever were.
    pub(crate) number: u64,
    held_back: bool,
    /// [`Requests::overtakes`] when it came, and what they may become before nobody passes it any
    /// more. While it is held back: how often it was overtaken, and how often it may be in all.
    overtakes_before: u64,
    pub(crate) limit: u64,
    state: State,
}

impl Request {
    /// The table of the grows of who asks, if it is known.
    pub(crate) fn owner(&self) -> Option<u32> {
        match &self.state {
            State::Waiting(asker) => asker.claim().map(GrowId::table),
            State::Vacant | State::Answered(..) => None,
        }
    }
}

/// The requests that wait.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    entries: Vec<Request>,
    links: Vec<Link>,
    order: List,
    held_back: List,
    vacant: Vec<u32>,
    /// `None`: its grow will not come for it.
    parked: Vec<(Option<GrowId>, Span)>,
    waiting: usize,
    /// How many requests were ever queued.
    numbers: u64,
    /// How many spans were ever granted past a waiting head.
    overtakes: u64,
    /// The most that any request was overtaken, of those that left.
    most_overtaken: u64,
    /// The least of the limits of those in order, if it is known; else no more than that.
    least_limit: u64,
    least_is_known: bool,
}

impl Requests {
    /// The oldest request that is not held back.
    pub(crate) fn head(&self) -> Option<u32> {
        self.order.front()
    }

    /// The request after `at`.
    pub(crate) fn after(&self, at: u32) -> Option<u32> {
        List::next(&self.links, at)
    }

    pub(crate) fn get(&self, at: u32) -> &Request {
        &self.entries[at as usize]
    }

    /// Makes room for `requests` in all, so that queueing them allocates nothing.
    pub(crate) fn reserve(&mut self, requests: usize) {
        let more = requests.saturating_sub(self.entries.len());
        self.entries.reserve(more);
        self.links.reserve(more);
        self.vacant.reserve(requests.saturating_sub(self.vacant.len()));
        self.parked.reserve(requests.saturating_sub(self.parked.len()));
    }

    /// Keeps a span for a grow that is on its way here.
    pub(crate) fn park(&mut self, claim: GrowId, span: Span) {
        self.parked.push((Some(claim), span));
    }

    /// A span that was kept for this grow.
    pub(crate) fn take_parked(&mut self, claim: GrowId) -> Option<Span> {
        self.take_kept(Some(claim))
    }

    /// Nothing is kept for this grow any more.
    pub(crate) fn let_go(&mut self, claim: GrowId) {
        for (other, _) in &mut self.parked {
            other.take_if(|other| *other == claim);
        }
    }

    /// A span that was kept for a grow is nobody's.
    pub(crate) fn abandon(&mut self, span: Span) {
        self.parked.push((None, span));
    }

    /// A span that nobody will come for.
    pub(crate) fn take_abandoned(&mut self) -> Option<Span> {
        self.take_kept(None)
    }

    fn take_kept(&mut self, claim: Option<GrowId>) -> Option<Span> {
        let at = self.parked.iter().position(|(other, _)| *other == claim)?;
        Some(self.parked.swap_remove(at).1)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// When the oldest waiter came that is not held back; [`NEVER`] where there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.head().map_or(NEVER, |head| self.get(head).asked_at)
    }

    /// Whether somebody who came at `asked_at`, and is not in line, may be granted a span now (P4).
    pub(crate) fn may_pass(&mut self, asked_at: u64) -> bool {
        if !self.least_is_known {
            let limits = self.order.iter(&self.links).map(|at| self.get(at).limit);
            self.least_limit = limits.min().unwrap_or(u64::MAX);
            self.least_is_known = true;
        }
        let mut older = self.order.iter(&self.links).take_while(|&at| self.get(at).asked_at < asked_at);
        self.overtakes < self.least_limit || older.all(|at| self.may_be_passed(self.get(at).limit))
    }

    /// Whether one more may pass a request with this limit.
    pub(crate) fn may_be_passed(&self, limit: u64) -> bool {
        self.overtakes < limit
    }

    /// How often the request that was overtaken most has been, of those that left the queue.
    pub(crate) fn most_overtaken(&self) -> u64 {
        self.most_overtaken
    }

    /// Notes that somebody who came at `asked_at` was granted a span.
    pub(crate) fn note_pass(&mut self, asked_at: u64) {
        if self.oldest() < asked_at {
            self.overtakes += 1;
        }
    }

    /// As [`note_pass`](Self::note_pass), of a request that waits and is about to leave. One that is held
    /// back passes nobody: what it is granted its client had, and nobody else could have.
    pub(crate) fn note_pass_of(&mut self, at: u32) {
        let Request { asked_at, held_back, .. } = self.entries[at as usize];
        if !held_back && self.oldest() < asked_at {
            self.overtakes += 1;
            // Nor does it pass itself.
            self.entries[at as usize].overtakes_before += 1;
        }
    }

    /// Queues a request; answers where it is kept.
    /// At most `bypass` a quantum of its length may overtake it.
    pub(crate) fn push(
        &mut self,
        placement: Placement,
        asked_at: u64,
        client: u16,
        bypass: u32,
        asker: Asker,
    ) -> u32 {
        self.numbers += 1;
        let most = u64::from(bypass) * u64::from(placement.shape().len());
        let request = Request {
            placement,
            asked_at,
            client,
            number: self.numbers,
            held_back: false,
            overtakes_before: self.overtakes,
            limit: self.overtakes + most,
            state: State::Waiting(asker),
        };
        let at = if let Some(at) = self.vacant.pop() {
            self.entries[at as usize] = request;
            at
        } else {
            self.entries.push(request);
            self.links.push([NIL; 2]);
            // So that ending a request, which may be all that frees memory, needs none.
            self.vacant.reserve(self.entries.len() - self.vacant.len());
            self.entries.len() as u32 - 1
        };
        self.link(at);
        self.waiting += 1;
        at
    }

    fn list(&mut self, at: u32) -> (&mut List, &mut [Link]) {
        let list = if self.entries[at as usize].held_back { &mut self.held_back } else { &mut self.order };
        (list, &mut self.links)
    }

    /// Puts a request among the others of its list, by its age.
    fn link(&mut self, at: u32) {
        let asked_at = self.get(at).asked_at;
        let mut before = if self.get(at).held_back { self.held_back.back() } else { self.order.back() };
        while let Some(older) = before
            && self.get(older).asked_at > asked_at
        {
            before = List::prev(&self.links, older);
        }
        if !self.get(at).held_back {
            self.least_limit = self.least_limit.min(self.get(at).limit);
        }
        let (list, links) = self.list(at);
        list.insert_after(links, before, at);
    }

    fn unlink(&mut self, at: u32) {
        self.least_is_known &= self.get(at).limit > self.least_limit;
        let (list, links) = self.list(at);
        list.remove(links, at);
    }

    /// Takes a waiting request out of order, or puts it back, as its client's quota has it.
    fn move_to(&mut self, at: u32, held_back: bool) {
        self.unlink(at);
        let entry = &mut self.entries[at as usize];
        entry.held_back = held_back;
        let now = self.overtakes;
        (entry.overtakes_before, entry.limit) = if held_back {
            (now - entry.overtakes_before, entry.limit - entry.overtakes_before)
        } else {
            (now - entry.overtakes_before, now - entry.overtakes_before + entry.limit)
        };
        self.link(at);
    }

    /// Holds a waiting request back until its client may have more.
    pub(crate) fn hold_back(&mut self, at: u32) {
        self.move_to(at, true);
    }

    /// Puts back in order what was held back of `client`, as far as `fits` says that it may have
    /// that many quanta.
    ///
    /// Each is judged by itself: what one may have and does not fit anywhere keeps no other back.
    /// Whether there was any.
    pub(crate) fn resume(&mut self, client: u16, fits: impl Fn(u32) -> bool) -> bool {
        let mut at = self.held_back.front();
        let mut any = false;
        while let Some(this) = at {
            at = self.after(this);
            let request = self.get(this);
            if request.client == client && fits(request.placement.shape().len()) {
                self.move_to(this, false);
                any = true;
            }
        }
        any
    }

    /// The requests of `client` that are held back, oldest first.
    pub(crate) fn held_back_of(&self, client: u16) -> impl Iterator<Item = &Request> {
        self.held_back
            .iter(&self.links)
            .map(|at| self.get(at))
            .filter(move |request| request.client == client)
    }

    /// The oldest request that is held back.
    pub(crate) fn first_held_back(&self) -> Option<u32> {
        self.held_back.front()
    }

    /// Takes a waiting request out; its asker is the caller's to answer.
    pub(crate) fn remove(&mut self, at: u32) -> Asker {
        let State::Waiting(asker) = std::mem::replace(&mut self.entries[at as usize].state, State::Vacant)
        else {
            unreachable!("only waiting requests are in order (invariant 1)");
        };
        self.leave(at);
        self.vacant.push(at);
        asker
    }

    fn leave(&mut self, at: u32) {
        self.unlink(at);
        self.waiting -= 1;
        let Request { held_back, overtakes_before, .. } = self.entries[at as usize];
        let overtaken = if held_back { overtakes_before } else { self.overtakes - overtakes_before };
        self.most_overtaken = self.most_overtaken.max(overtaken);
    }

    /// Answers a sleeper: it stays, out of order, until it takes its answer. `None`:
    /// the request is a grow's, and is not touched.
    pub(crate) fn answer_sleeper(&mut self, at: u32, answer: Result<Span, AllocError>) -> Option<Waker> {
        let state = &mut self.entries[at as usize].state;
        let State::Waiting(Asker::Sleeper { claim, .. }) = state else {
            return None;
        };
        let answered = State::Answered(answer, *claim);
        let State::Waiting(Asker::Sleeper { waker, .. }) = std::mem::replace(state, answered) else {
            unreachable!("just looked");
        };
        self.leave(at);
        Some(waker)
    }

    /// Takes a sleeper's answer, if there is one.
    pub(crate) fn take_answer(&mut self, at: u32) -> Option<Result<Span, AllocError>> {
        let state = &mut self.entries[at as usize].state;
        if !matches!(state, State::Answered(..)) {
            return None;
        }
        let State::Answered(answer, _) = std::mem::replace(state, State::Vacant) else {
            unreachable!("just looked");
        };
        self.vacant.push(at);
        Some(answer)
    }

    /// Leaves another waker with a sleeper that waits. The one it had is to be dropped outside the
    /// lock.
    pub(crate) fn rearm(&mut self, at: u32, waker: Waker) -> Waker {
        let State::Waiting(Asker::Sleeper { waker: left, .. }) = &mut self.entries[at as usize].state else {
            unreachable!("a sleeper's entry waits, or has its answer (invariant 1)")
        };
        std::mem::replace(left, waker)
    }

    pub(crate) fn asker(&self, at: u32) -> &Asker {
        match &self.get(at).state {
            State::Waiting(asker) => asker,
            State::Vacant | State::Answered(..) => {
                unreachable!("only waiting requests are in order (invariant 1)")
            }
        }
    }

    /// The waiting request of the grow `id`. Looks from the front: what is asked for is
    /// mostly old.
    pub(crate) fn find_claim(&self, id: GrowId) -> Option<u32> {
        let all = self.order.iter(&self.links).chain(self.held_back.iter(&self.links));
        all.into_iter().find(|&at| self.asker(at).claim() == Some(id))
    }

    /// The oldest request that came before `than`, that is good, that was not withdrawn, and that
    /// may pass those before it; one that is held back, and passes nobody, if no other is. Looks at
    /// a bounded number of them.
    pub(crate) fn find_older(&self, than: u64, good: impl Fn(&Request) -> bool) -> Option<u32> {
        let is_good = |request: &Request, at| {
            let withdrawn = matches!(self.asker(at), Asker::Grow(grow) if grow.is_withdrawn());
            !withdrawn && good(request)
        };
        let mut least = u64::MAX;
        for at in self.order.iter(&self.links).take(LOOKAHEAD) {
            let request = self.get(at);
            if request.asked_at >= than || !self.may_be_passed(least) {
                break;
            }
            if is_good(request, at) {
                return Some(at);
            }
            least = least.min(request.limit);
        }
        let held_back = self.held_back.iter(&self.links).take(LOOKAHEAD);
        held_back.take_while(|&at| self.get(at).asked_at < than).find(|&at| is_good(self.get(at), at))
    }

    /// Whether the grow `id` slept here and has its answer, which it has not taken yet.
    pub(crate) fn is_answered(&self, id: GrowId) -> bool {
        self.entries.iter().any(|entry| matches!(entry.state, State::Answered(_, claim) if claim == Some(id)))
    }

    /// The equations, where they are checked.
    pub(crate) fn check(&self) {
        for list in [self.order, self.held_back] {
            let ages = list.iter(&self.links).map(|at| self.get(at).asked_at);
            assert!(ages.is_sorted(), "the oldest request is first");
        }
        let answered = self.entries.iter().filter(|entry| matches!(entry.state, State::Answered(..)));
        assert_eq!(self.entries.len(), self.waiting + answered.count() + self.vacant.len());
    }
}
