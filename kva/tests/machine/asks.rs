//! What is asked of the arena, and given back, and what has to come of that.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use kva::sync::Arc;
use kva::{AllocError, Answer, Claim, GrowId, Heir, Shape, Span, SpanGrow};

use super::naive::Request;
use super::support::End;
use super::world::{Granted, Kind, TOKENS, Woken, World};
use super::{NO_LIMIT, Wanted};

impl World {
    pub(super) fn try_alloc(&mut self, request: Request) {
        let (never, must, line) = (self.never(request), self.must_have(request), self.in_line());
        match self.handles[request.client].try_alloc(request.shape) {
            Ok(span) => {
                assert!(never.is_none() && must != Some(false), "{span:?} for {request:?}");
                self.got(request, span);
                self.passes(&line, request.came);
            }
            Err(AllocError::Scarce) => assert!(never.is_none() && must != Some(true), "none for {request:?}"),
            Err(error) => assert_eq!(Some(error), never),
        }
    }

    pub(super) fn try_alloc_at(&mut self, start: u32, len: u32) {
        let quanta = start..start + len;
        let shape = Shape::new(len).unwrap();
        let request = self.newcomer(Wanted { shape, client: 0 });
        let line = self.in_line();
        let withheld = self.withheld();
        let is_outside = withheld.is_empty() || quanta.end <= withheld.start || withheld.end <= start;
        let fits = quanta.end <= self.naive.quanta()
            && self.naive.is_place(start, shape)
            && self.naive.is_free(quanta.clone())
            && is_outside;
        match self.arena().try_alloc_at(quanta.clone()) {
            Ok(span) => {
                assert!(fits && span.range() == quanta && (line.is_empty() || self.setup.bypass > 0));
                self.got(request, span);
                self.passes(&line, request.came);
            }
            Err(AllocError::Outside { .. }) => assert!(quanta.end > self.naive.quanta()),
            Err(AllocError::Closed) => assert!(self.naive.closed),
            Err(error) => {
                assert_eq!(error, AllocError::Scarce);
                assert!(!fits || (!line.is_empty() && self.setup.bypass < NO_LIMIT));
            }
        }
    }

    pub(super) fn alloc(&mut self, request: Request) {
        let (never, must, line) = (self.never(request), self.must_have(request), self.in_line());
        let handle = self.handles[request.client].clone();
        let woken = Arc::new(Woken::default());
        let mut future: Pin<Box<dyn Future<Output = Granted>>> =
            Box::pin(async move { handle.alloc_async(request.shape).await });
        match future.as_mut().poll(&mut Context::from_waker(&Waker::from(woken.clone()))) {
            Poll::Pending => {
                assert!(never.is_none() && must != Some(true), "{request:?} waits");
                self.waiting.push((request, Kind::Task(woken, future)));
            }
            Poll::Ready(Ok(span)) => {
                assert!(never.is_none() && must != Some(false), "{span:?} for {request:?}");
                self.got(request, span);
                self.passes(&line, request.came);
            }
            Poll::Ready(Err(error)) => assert_eq!(Some(error), never),
        }
    }

    pub(super) fn reserve(&mut self, request: Request) {
        let in_use = |slot: &u32| {
            let asked = |(_, kind): &(Request, Kind)| matches!(kind, Kind::Token(id) if id.slot() == *slot);
            let reserved = |(_, grow, _): &(Request, SpanGrow, Vec<Span>)| grow.id().slot() == *slot;
            self.waiting.iter().any(asked) || self.reserved.iter().any(reserved)
        };
        let Some(slot) = (0..TOKENS).find(|slot| !in_use(slot)) else { return };
        let grow = self.asker.reserve(self.arena(), slot);
        self.reserved.push((request, grow, Vec::new()));
    }

    pub(super) fn ask(&mut self, at: usize) {
        let (request, grow, kept) = self.reserved.remove(at);
        let (never, line) = (self.never(request), self.in_line());
        let is_newest = line.iter().all(|other| other.came < request.came);
        let must = self.must_have(request).filter(|_| is_newest && kept.is_empty());
        let id = grow.id();
        // What was freed to it is its own, or free.
        for span in &kept {
            self.naive.set(span.range(), None);
        }
        let suits = kept.iter().any(|span| self.suits(*span, request));
        match self.handles[request.client].ask(request.shape, grow) {
            Answer::Later => {
                assert!(never.is_none() && must != Some(true) && !suits, "{request:?} waits");
                self.waiting.push((request, Kind::Token(id)));
            }
            Answer::Now(committed, Ok(span)) => {
                let had = kept.iter().any(|kept| kept.start() == span.start());
                assert!(had || (never.is_none() && must != Some(false)), "{span:?} for {request:?}");
                committed.give_up();
                self.end_of(id);
                self.got(request, span);
                if !had {
                    self.passes(&line, request.came);
                }
            }
            Answer::Now(committed, Err(error)) => {
                assert_eq!(Some(error), never);
                committed.give_up();
                self.end_of(id);
            }
            other => panic!("{other:?}"),
        }
    }

    /// What this token came to; what others did is noted later.
    pub(super) fn end_of(&mut self, id: GrowId) -> Option<End> {
        self.ends.extend(self.asker.ends_by_id());
        let at = self.ends.iter().position(|(other, _)| *other == id)?;
        Some(self.ends.remove(at).1)
    }

    /// Whether a span that is freed to it is what it wants.
    pub(super) fn suits(&self, span: Span, request: Request) -> bool {
        request.shape.len() <= span.len()
            && self.naive.is_place(span.start(), request.shape)
            && self.naive.may_have(request.client, request.shape)
    }

    pub(super) fn cancel(&mut self, at: usize) {
        match self.waiting.remove(at) {
            (_, Kind::Task(_, future)) => drop(future),
            (_, Kind::Token(id)) => {
                self.asker.withdraw(self.arena(), id);
                self.end_of(id);
            }
        }
    }

    pub(super) fn free(&mut self, at: usize) -> Span {
        let (span, _) = self.held.swap_remove(at);
        self.naive.set(span.range(), None);
        self.freed.push(span);
        span
    }

    /// P3: whoever it is freed to has it.
    pub(super) fn free_to(&mut self, at: usize, to: usize) {
        let tokens = self.waiting.iter().filter_map(|(request, kind)| match kind {
            Kind::Token(id) => Some((*request, *id)),
            Kind::Task(..) => None,
        });
        let all: Vec<_> =
            tokens.chain(self.reserved.iter().map(|(request, grow, _)| (*request, grow.id()))).collect();
        if all.is_empty() {
            return;
        }
        let (request, id) = all[to % all.len()];
        let (span, client) = self.held[at];
        let is_reserved = self.reserved.iter().position(|(other, ..)| other.came == request.came);
        // What passes from one to another of the same client is no more than it had.
        let fits = request.shape.len() <= span.len() && self.naive.is_place(span.start(), request.shape);
        let suits = fits && (client == request.client || self.naive.may_have(request.client, request.shape));
        let heir = self.arena().free_to(Claim::new(&self.asker.table, id), span).unwrap();
        if let Some(to) = is_reserved {
            assert_eq!(heir, Heir::Claimant);
            let _ = self.free(at);
            // Kept for it, and still its last owner's.
            self.naive.set(span.range(), Some(client));
            self.reserved[to].2.push(span);
            return;
        }
        assert_eq!(heir, if suits { Heir::Claimant } else { Heir::Gone }, "{span:?} for {request:?}");
        if suits {
            let _ = self.free(at);
            let granted = self.end_of(id).expect("it has what it claimed").unwrap();
            assert_eq!(granted.start(), span.start());
            self.waiting.retain(|(other, _)| other.came != request.came);
            self.got(request, granted);
        }
    }

    pub(super) fn yield_to_older(&mut self, at: usize) {
        let (span, client) = self.held[at];
        let fits = |request: &Request| {
            let is_its_own = client == request.client;
            request.shape.len() <= span.len()
                && self.naive.is_place(span.start(), request.shape)
                && (is_its_own || self.naive.may_have(request.client, request.shape))
        };
        let any = self.waiting.iter().any(|(request, _)| fits(request));
        let now = self.arena().clock().now();
        let yielded = self.arena().yield_to_older(span, now).unwrap();
        assert!(any || !yielded, "{span:?} is of use to nobody");
        assert!(yielded || !any || self.setup.bypass < NO_LIMIT, "{span:?} is of use to somebody");
        self.yielded = yielded;
        if yielded {
            let _ = self.free(at);
        }
    }
}
