//! The arena, who has what of it, and what is checked after each operation.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::SeqCst};
use kva::{
    AllocError, Answer, Arena, Claim, Client, FreeError, GrowId, Heir, Refusal, Region, Span, SpanGrow,
};
use proptest::sample::Index;

use super::hook::Stash;
use super::naive::{Naive, Request};
use super::support::{Asker, End, assert_rests, register, with_bypass};
use super::{LONGEST, NO_LIMIT, Op, Setup, Wanted};

/// As many tokens as there can be at once.
const TOKENS: u32 = 8;

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

type Granted = Result<Span, AllocError>;

/// How it waits.
enum Kind {
    Task(Arc<Woken>, Pin<Box<dyn Future<Output = Granted>>>),
    Token(GrowId),
}

pub(super) struct World {
    setup: Setup,
    /// Of nobody in particular, and of two clients.
    handles: Vec<Arena>,
    naive: Naive,
    asker: Asker,
    stash: Arc<Stash>,
    held: Vec<(Span, usize)>,
    waiting: Vec<(Request, Kind)>,
    /// Tokens that were not asked with, and what was freed to each.
    reserved: Vec<(Request, SpanGrow, Vec<Span>)>,
    freed: Vec<Span>,
    /// What tokens came to, and is not noted yet.
    ends: Vec<(GrowId, End)>,
    /// Whether a span was passed on just now to who is older.
    yielded: bool,
    came: usize,
}

impl World {
    pub(super) fn new(setup: &Setup) -> Self {
        let arena = with_bypass(setup.quanta, setup.bypass);
        let client = |at: usize| arena.client(Client::new(format!("{at}")).quota(setup.quotas[at])).unwrap();
        let handles = vec![arena.clone(), client(0), client(1)];
        let stash = Arc::new(Stash::new(arena.clone()));
        register(&arena, &stash);
        let naive = Naive {
            owner: vec![None; setup.quanta as usize],
            regions: vec![0],
            quotas: vec![u32::MAX, setup.quotas[0], setup.quotas[1]],
            closed: false,
        };
        Self {
            setup: setup.clone(),
            handles,
            naive,
            asker: Asker::new(TOKENS),
            stash,
            held: Vec::new(),
            waiting: Vec::new(),
            reserved: Vec::new(),
            freed: Vec::new(),
            ends: Vec::new(),
            yielded: false,
            came: 0,
        }
    }

    fn arena(&self) -> &Arena {
        &self.handles[0]
    }

    /// Those in line, oldest first: who waits for its client's quota is not.
    fn in_line(&self) -> Vec<Request> {
        let all = self.waiting.iter().map(|(request, _)| *request);
        let mut line: Vec<_> =
            all.filter(|request| self.naive.may_have(request.client, request.shape)).collect();
        line.sort_by_key(|request| request.came);
        line
    }

    /// What is withheld for the first in line.
    fn withheld(&self) -> Range<u32> {
        let withheld = self.arena().stats().withheld;
        let window = self.stash.window().filter(|_| withheld > 0).unwrap_or_default();
        let free = window.clone().filter(|at| self.naive.owner[*at as usize].is_none()).count();
        assert_eq!(free as u32, withheld, "what is free in {window:?} is withheld, and nothing else");
        window
    }

    fn newcomer(&mut self, wanted: Wanted) -> Request {
        self.came += 1;
        Request { came: self.came, shape: wanted.shape, client: wanted.client, overtaken: 0 }
    }

    /// P4: of those who waited before, and wait still, none is overtaken once too often.
    fn passes(&mut self, line: &[Request], came: usize) {
        let still = self.in_line();
        let is_in = |line: &[Request], request: &Request| line.iter().any(|other| other.came == request.came);
        for (request, _) in &mut self.waiting {
            if request.came < came && is_in(line, request) && is_in(&still, request) {
                request.overtaken += 1;
                let most = u64::from(self.setup.bypass) * u64::from(request.shape.len());
                assert!(request.overtaken <= most, "P4: {request:?} is overtaken by {came}");
            }
        }
    }

    /// It is where it may be, and nobody else's.
    fn got(&mut self, request: Request, span: Span) {
        assert_eq!(span.len(), request.shape.len());
        assert!(self.naive.is_place(span.start(), request.shape), "{span:?} for {request:?}");
        self.naive.set(span.range(), Some(request.client));
        let has = self.naive.has(request.client);
        assert!(has <= self.naive.quotas[request.client], "client {} has {has}", request.client);
        self.held.push((span, request.client));
    }

    /// Why there will never be such a span, if so.
    fn never(&self, request: Request) -> Option<AllocError> {
        let Request { shape, client, .. } = request;
        let (quanta, quota) = (self.naive.quanta(), self.naive.quotas[client]);
        if self.naive.closed {
            Some(AllocError::Closed)
        } else if !self.naive.could_ever_fit(shape) {
            Some(AllocError::TooLarge { shape, quanta })
        } else {
            (shape.len() > quota).then_some(AllocError::OverQuota { shape, quota })
        }
    }

    /// Whether who comes now must have a span at once, if that is plain.
    fn must_have(&self, request: Request) -> Option<bool> {
        let Request { shape, client, .. } = request;
        let line = self.in_line();
        let fits = self.naive.may_have(client, shape) && self.naive.fits(shape, &self.withheld());
        match self.setup.bypass {
            _ if line.is_empty() || !fits => Some(fits),
            NO_LIMIT => Some(true),
            0 => Some(false),
            _ => None,
        }
    }

    fn try_alloc(&mut self, request: Request) {
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

    fn try_alloc_at(&mut self, start: u32, len: u32) {
        let quanta = start..start + len;
        let shape = kva::Shape::new(len).unwrap();
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

    fn alloc(&mut self, request: Request) {
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

    fn reserve(&mut self, request: Request) {
        let in_use = |slot: &u32| {
            let asked = |(_, kind): &(Request, Kind)| matches!(kind, Kind::Token(id) if id.slot() == *slot);
            let reserved = |(_, grow, _): &(Request, SpanGrow, Vec<Span>)| grow.id().slot() == *slot;
            self.waiting.iter().any(asked) || self.reserved.iter().any(reserved)
        };
        let Some(slot) = (0..TOKENS).find(|slot| !in_use(slot)) else { return };
        let grow = self.asker.reserve(self.arena(), slot);
        self.reserved.push((request, grow, Vec::new()));
    }

    fn ask(&mut self, at: usize) {
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
    fn end_of(&mut self, id: GrowId) -> Option<End> {
        self.ends.extend(self.asker.ends_by_id());
        let at = self.ends.iter().position(|(other, _)| *other == id)?;
        Some(self.ends.remove(at).1)
    }

    /// Whether a span that is freed to it is what it wants.
    fn suits(&self, span: Span, request: Request) -> bool {
        request.shape.len() <= span.len()
            && self.naive.is_place(span.start(), request.shape)
            && self.naive.may_have(request.client, request.shape)
    }

    fn cancel(&mut self, at: usize) {
        match self.waiting.remove(at) {
            (_, Kind::Task(_, future)) => drop(future),
            (_, Kind::Token(id)) => {
                self.asker.withdraw(self.arena(), id);
                self.end_of(id);
            }
        }
    }

    fn free(&mut self, at: usize) -> Span {
        let (span, _) = self.held.swap_remove(at);
        self.naive.set(span.range(), None);
        self.freed.push(span);
        span
    }

    /// P3: whoever it is freed to has it.
    fn free_to(&mut self, at: usize, to: usize) {
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
        let _ = self.free(at);
        let heir = self.arena().free_to(Claim::new(&self.asker.table, id), span).unwrap();
        if let Some(at) = is_reserved {
            assert_eq!(heir, Heir::Claimant);
            // Kept for it, and still its last owner's.
            self.naive.set(span.range(), Some(client));
            self.reserved[at].2.push(span);
            return;
        }
        assert_eq!(heir, if suits { Heir::Claimant } else { Heir::Gone }, "{span:?} for {request:?}");
        if suits {
            let granted = self.end_of(id).expect("it has what it claimed").unwrap();
            assert_eq!(granted.start(), span.start());
            self.waiting.retain(|(other, _)| other.came != request.came);
            self.got(request, granted);
        }
    }

    fn yield_to_older(&mut self, at: usize) {
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

    pub(super) fn apply(&mut self, op: &Op) {
        let pick = |which: &Index, len: usize| (len > 0).then(|| which.index(len.max(1)));
        let line = self.in_line();
        match op {
            Op::TryAlloc(wanted) => {
                let request = self.newcomer(*wanted);
                self.try_alloc(request);
            }
            Op::TryAllocAt(start, len) => self.try_alloc_at(start.index(self.naive.owner.len()) as u32, *len),
            Op::Alloc(wanted) => {
                let request = self.newcomer(*wanted);
                self.alloc(request);
            }
            Op::Ask(wanted) => {
                let (request, before) = (self.newcomer(*wanted), self.reserved.len());
                self.reserve(request);
                if self.reserved.len() > before {
                    self.ask(before);
                }
            }
            Op::Reserve(wanted) => {
                let request = self.newcomer(*wanted);
                self.reserve(request);
            }
            Op::AskReserved(which) => {
                let Some(at) = pick(which, self.reserved.len()) else { return };
                self.ask(at);
            }
            Op::Cancel(which) => {
                let Some(at) = pick(which, self.waiting.len()) else { return };
                self.cancel(at);
            }
            Op::Free(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                let span = self.free(at);
                self.arena().free(span).unwrap();
            }
            Op::FreeTo(which, to) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                self.free_to(at, to.index(usize::MAX));
            }
            Op::YieldToOlder(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                self.yield_to_older(at);
            }
            Op::FreeAgain(which) => {
                let Some(at) = pick(which, self.freed.len()) else { return };
                let span = self.freed[at];
                assert_eq!(self.arena().free(span), Err(FreeError::DoubleFree(span)));
            }
            Op::Stash(which) => {
                // What is kept while somebody is short, the hook is not asked for again.
                let Some(at) = pick(which, self.held.len()).filter(|_| line.is_empty()) else { return };
                self.stash.keep(self.held.swap_remove(at).0);
            }
            Op::AddRegion(quanta) => {
                if self.naive.regions.len() < 3 {
                    let first = self.naive.quanta();
                    let added = self.arena().add_region(Region::numbers(*quanta)).unwrap();
                    assert_eq!(added, first..first + quanta);
                    self.naive.regions.push(first);
                    self.naive.owner.resize(added.end as usize, None);
                }
            }
            Op::Close => {
                self.arena().close();
                self.naive.closed = true;
            }
        }
        self.hear(&line);
        self.check();
    }

    /// Whoever was granted something, or refused, is told.
    fn hear(&mut self, line: &[Request]) {
        for span in self.stash.freed() {
            self.naive.set(span.range(), None);
            self.freed.push(span);
        }
        let mut ends: Vec<(Request, Granted)> = Vec::new();
        self.ends.extend(self.asker.ends_by_id());
        for (id, end) in std::mem::take(&mut self.ends) {
            let is_it = |(_, kind): &(Request, Kind)| matches!(kind, Kind::Token(other) if *other == id);
            let at = self.waiting.iter().position(is_it).expect("it waited");
            let end = end.map_err(|refusal| match refusal {
                Refusal::Error(error) => error,
                other => panic!("{other:?}"),
            });
            ends.push((self.waiting.remove(at).0, end));
        }
        let is_woken =
            |(_, kind): &mut (Request, Kind)| matches!(kind, Kind::Task(woken, _) if woken.0.load(SeqCst));
        for (request, kind) in self.waiting.extract_if(.., is_woken) {
            let Kind::Task(_, mut future) = kind else { unreachable!("it was woken") };
            let Poll::Ready(end) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("{request:?} was woken for nothing");
            };
            ends.push((request, end));
        }
        ends.sort_by_key(|(request, _)| request.came);
        let granted: Vec<_> =
            ends.iter().filter(|(_, end)| end.is_ok()).map(|(request, _)| *request).collect();
        for (request, end) in ends {
            match end {
                Ok(span) => self.got(request, span),
                Err(error) => {
                    assert_eq!(error, AllocError::Closed);
                    assert!(self.naive.closed);
                }
            }
        }
        for request in granted {
            // Who waits for its quota, and has what its client had, passes nobody.
            if !self.yielded || line.iter().any(|other| other.came == request.came) {
                self.passes(line, request.came);
            }
        }
        self.yielded = false;
    }

    fn check(&self) {
        let (stats, line) = (self.arena().stats(), self.in_line());
        let taken = self.naive.owner.iter().flatten().count() as u32;
        let says = format!("{:?}, {line:?}, {stats:?}", self.naive);
        assert_eq!(stats.quanta, self.naive.quanta(), "{says}");
        assert_eq!(stats.free + stats.withheld + taken, stats.quanta, "{says}");
        assert_eq!(stats.waiting, self.waiting.len(), "{says}");
        let most = u64::from(self.setup.bypass) * u64::from(LONGEST);
        assert!(stats.most_overtaken <= most, "P4: {says}");
        for (client, handle) in self.handles.iter().enumerate() {
            assert_eq!(handle.used(), self.naive.has(client), "of client {client}: {says}");
        }
        assert_eq!(self.arena().is_closed(), self.naive.closed);
        assert!(!self.naive.closed || self.waiting.is_empty(), "{says}");
        let withheld = self.withheld();
        let Some((head, behind)) = line.split_first() else {
            return assert_eq!(stats.withheld, 0, "for nobody: {says}");
        };
        // The first has what is withheld for it, as soon as it is enough.
        assert!(!self.naive.fits(head.shape, &(0..0)), "the first could have it: {says}");
        if self.setup.bypass == NO_LIMIT {
            let could = behind.iter().find(|request| self.naive.fits(request.shape, &withheld));
            assert_eq!(could, None, "it could have it: {says}");
        }
        // What the hook has is nowhere that something is wanted.
        let in_the_way = self.stash.spans().into_iter().find(|span| {
            !withheld.is_empty() && span.start() < withheld.end && withheld.start < span.range().end
        });
        assert_eq!(in_the_way, None, "{says}");
    }

    /// Each has its turn, as far as there is anything for it; then all is as it was (P6).
    pub(super) fn end(mut self) {
        while let Some((_, grow, kept)) = self.reserved.pop() {
            let id = grow.id();
            drop(grow);
            self.end_of(id);
            for span in kept {
                self.naive.set(span.range(), None);
            }
            self.arena().forget(id);
        }
        let line = self.in_line();
        self.hear(&line);
        self.held.extend(self.stash.take_all().into_iter().map(|span| (span, 0)));
        while !self.held.is_empty() {
            let line = self.in_line();
            let span = self.free(0);
            self.arena().free(span).unwrap();
            self.hear(&line);
            self.check();
        }
        assert!(
            self.waiting.is_empty(),
            "{:?} wait for ever",
            self.waiting.iter().map(|(request, _)| request).collect::<Vec<_>>()
        );
        assert_rests(self.arena(), self.naive.regions.len() as u32);
    }
}
