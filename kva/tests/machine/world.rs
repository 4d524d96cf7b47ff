//! The arena, who has what of it, and who waits.

use std::ops::Range;
use std::pin::Pin;
use std::task::Wake;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::SeqCst};
use kva::{AllocError, Arena, Client, FreeError, GrowId, Region, Span, SpanGrow};
use proptest::sample::Index;

use super::hook::Stash;
use super::naive::{Naive, Request};
use super::support::{Asker, End, register, with_bypass};
use super::{NO_LIMIT, Op, Setup, Wanted};

/// As many tokens as there can be at once.
pub(super) const TOKENS: u32 = 8;

#[derive(Default)]
pub(super) struct Woken(pub(super) AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

pub(super) type Granted = Result<Span, AllocError>;

/// How it waits.
pub(super) enum Kind {
    Task(Arc<Woken>, Pin<Box<dyn Future<Output = Granted>>>),
    Token(GrowId),
}

pub(super) struct World {
    pub(super) setup: Setup,
    /// Of nobody in particular, and of two clients.
    pub(super) handles: Vec<Arena>,
    pub(super) naive: Naive,
    pub(super) asker: Asker,
    pub(super) stash: Arc<Stash>,
    pub(super) held: Vec<(Span, usize)>,
    pub(super) waiting: Vec<(Request, Kind)>,
    /// Tokens that were not asked with, and what was freed to each.
    pub(super) reserved: Vec<(Request, SpanGrow, Vec<Span>)>,
    pub(super) freed: Vec<Span>,
    /// What tokens came to, and is not noted yet.
    pub(super) ends: Vec<(GrowId, End)>,
    /// Whether a span was passed on just now to who is older.
    pub(super) yielded: bool,
    pub(super) came: usize,
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

    pub(super) fn arena(&self) -> &Arena {
        &self.handles[0]
    }

    /// Those in line, oldest first: who waits for its client's quota is not.
    pub(super) fn in_line(&self) -> Vec<Request> {
        let all = self.waiting.iter().map(|(request, _)| *request);
        let mut line: Vec<_> =
            all.filter(|request| self.naive.may_have(request.client, request.shape)).collect();
        line.sort_by_key(|request| request.came);
        line
    }

    /// What is withheld for the first in line.
    pub(super) fn withheld(&self) -> Range<u32> {
        let withheld = self.arena().stats().withheld;
        let window = self.stash.window().filter(|_| withheld > 0).unwrap_or_default();
        let free = window.clone().filter(|at| self.naive.owner[*at as usize].is_none()).count();
        assert_eq!(free as u32, withheld, "what is free in {window:?} is withheld, and nothing else");
        window
    }

    pub(super) fn newcomer(&mut self, wanted: Wanted) -> Request {
        self.came += 1;
        Request { came: self.came, shape: wanted.shape, client: wanted.client, overtaken: 0 }
    }

    /// P4: of those who waited before, and wait still, none is overtaken once too often.
    pub(super) fn passes(&mut self, line: &[Request], came: usize) {
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
    pub(super) fn got(&mut self, request: Request, span: Span) {
        assert_eq!(span.len(), request.shape.len());
        assert!(self.naive.is_place(span.start(), request.shape), "{span:?} for {request:?}");
        self.naive.set(span.range(), Some(request.client));
        let has = self.naive.has(request.client);
        assert!(has <= self.naive.quotas[request.client], "client {} has {has}", request.client);
        self.held.push((span, request.client));
    }

    /// Why there will never be such a span, if so.
    pub(super) fn never(&self, request: Request) -> Option<AllocError> {
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
    pub(super) fn must_have(&self, request: Request) -> Option<bool> {
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
}
