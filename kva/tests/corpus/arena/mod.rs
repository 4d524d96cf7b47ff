//! A script, played on an arena and on a naive model beside it.
//!
//! The model knows who has which span, who waits for what since when, and finds places by looking
//! at each. After each operation both say the same (`check.rs`). What one thread can see of the
//! promises is asserted: nothing is lent twice; nobody waits beside what it could have (P2); what is
//! freed to a claim is its own (P3); nobody is overtaken too often (P4); each request ends once, and
//! nothing is lost by leaving (P5); at the end the arena is what it was (P6).

mod books;
mod check;
mod line;
mod naive;
mod script;

use std::ptr::NonNull;
use std::time::Duration;

use kva::sync::Arc;
use kva::{
    AllocError, Arena, Claim, Client, Decommit, FreeError, GrowTable, Heir, Region, Relocate, Reserve,
};

use books::{Held, Mover, Shared, Stash};
use line::Line;
use naive::{Part, Wish, is_free};
use script::{Back, Memory, Op, Script, Setup};

/// Of memory: of a borrowed one, which is not touched.
const SMALL: usize = 64;
const MOST_REGIONS: usize = 4;

#[repr(align(8192))]
struct Bytes([u8; SMALL * 128]);

/// For all that is borrowed. Nobody reads or writes it.
static BYTES: Bytes = Bytes([0; SMALL * 128]);

struct World {
    setup: Setup,
    parts: Vec<Part>,
    /// Of nobody in particular, of the first client, of the second.
    who: [Arena; 3],
    quotas: [u32; 3],
    elsewhere: Arena,
    books: Shared,
    line: Line,
    is_closed: bool,
    _stash: Arc<Stash>,
    _mover: Arc<Mover>,
}

/// Plays what these bytes say.
pub(crate) fn play(bytes: &[u8]) {
    let Script { setup, ops } = Script::of(bytes);
    let mut world = World::new(setup);
    for op in &ops {
        world.apply(op);
        world.settle();
    }
    world.end();
}

/// What these bytes say, for people.
pub(crate) fn describe(bytes: &[u8]) -> String {
    let Script { setup, ops } = Script::of(bytes);
    let ops = ops.iter().map(|op| format!("  {op:?}\n"));
    format!("{setup:?}\n{}", ops.collect::<String>())
}

fn region(memory: Memory, quanta: u32) -> (Region, usize) {
    let pages = quanta as usize * rustix::param::page_size();
    match memory {
        Memory::Numbers => (Region::numbers(quanta), 1),
        Memory::Borrowed => {
            let bytes = NonNull::from(&BYTES.0[..quanta as usize * SMALL]);
            // SAFETY: nobody reads or writes this memory: here it has addresses only.
            (unsafe { Region::borrowed(bytes) }, SMALL)
        }
        Memory::Reserved(back) => {
            let back = match back {
                Back::Never => Decommit::Never,
                Back::Advised => Decommit::Discard,
                Back::Protected => Decommit::Protect,
            };
            let region = Region::reserve(pages, Reserve::new().decommit(back)).expect("address space");
            (region, rustix::param::page_size())
        }
    }
}

fn origin(region: &Region, quantum: usize) -> u64 {
    region.base().map_or(0, |base| (base.addr().get() / quantum) as u64)
}

impl World {
    fn new(setup: Setup) -> Self {
        let quanta = 1 + u32::from(setup.quanta) % 48;
        let bypass = [1000, 0, 1, 3][usize::from(setup.bypass) % 4];
        let (region, quantum) = region(setup.memory, quanta);
        let parts = vec![Part { first: 0, quanta, origin: origin(&region, quantum) }];
        let arena = Arena::with_bypass(region, quantum, bypass).expect("a good arena");
        let books = Shared::new();
        let mover = Arc::new(Mover(books.clone()));
        let quotas = setup.quotas.map(|quota| if quota == 0 { u32::MAX } else { u32::from(quota) % 24 });
        let client = |name: &str, quota: u32| Client::new(name).quota(quota);
        let mut first = client("first", quotas[0]);
        if setup.moves {
            let owner: std::sync::Weak<dyn Relocate> = Arc::<Mover>::downgrade(&mover) as _;
            first = first.relocate(owner);
        }
        let first = arena.client(first).expect("an account");
        let second = arena.client(client("second", quotas[1])).expect("an account");
        let stash = Arc::new(Stash { books: books.clone(), arena: arena.clone() });
        arena.register(&GrowTable::new(0), Arc::downgrade(&stash) as _);
        Self {
            setup,
            parts,
            line: Line::new(bypass, setup.quotas == [0; 2]),
            who: [arena, first, second],
            quotas: [u32::MAX, quotas[0], quotas[1]],
            elsewhere: Arena::new(Region::numbers(4), 1).expect("a good arena"),
            books,
            is_closed: false,
            _stash: stash,
            _mover: mover,
        }
    }

    fn arena(&self) -> &Arena {
        &self.who[0]
    }

    fn quanta(&self) -> u32 {
        self.parts.iter().map(|part| part.quanta).sum()
    }

    /// Which quanta are taken, if all that are taken are known.
    fn taken(&self) -> Vec<bool> {
        let mut taken = vec![false; self.quanta() as usize];
        let parked = self.line.parked.iter().map(|(_, held)| *held);
        for held in self.books.all().into_iter().chain(parked) {
            for at in held.span.range() {
                let taken = &mut taken[at as usize];
                assert!(!std::mem::replace(taken, true), "{held:?} is lent twice");
            }
        }
        taken
    }

    /// What a client has.
    fn has(&self, who: usize) -> u32 {
        let parked = self.line.parked.iter().map(|(_, held)| *held);
        let its = self.books.all().into_iter().chain(parked).filter(|held| held.who == who);
        its.map(|held| held.span.len()).sum()
    }

    /// Why a request is refused whatever is free.
    fn refusal(&self, who: usize, wish: &Wish) -> Option<AllocError> {
        let shape = wish.placement.shape();
        if self.is_closed {
            Some(AllocError::Closed)
        } else if !wish.is_possible(&self.parts) {
            Some(AllocError::TooLarge { shape, quanta: self.quanta() })
        } else if wish.len() > self.quotas[who] {
            Some(AllocError::OverQuota { shape, quota: self.quotas[who] })
        } else {
            None
        }
    }

    /// Whether `who` may have so much more.
    fn may_have(&self, who: usize, len: u32) -> bool {
        len <= self.quotas[who].saturating_sub(self.has(who))
    }

    /// What came of a request that does not wait, and whether it is as the model has it.
    fn judge(&mut self, who: usize, wish: &Wish, before: &Before, end: Result<kva::Span, AllocError>) {
        match end {
            Ok(span) => {
                assert_eq!(before.refusal, None);
                assert_ne!(before.sure, Some(false), "{wish:?} does not fit");
                self.granted(who, wish, span);
                self.line.passed_by(u64::MAX);
            }
            Err(AllocError::Scarce | AllocError::TimedOut) => {
                assert_eq!(before.refusal, None);
                assert_ne!(before.sure, Some(true), "{wish:?} fits, and nobody waits");
            }
            Err(error) => assert_eq!(before.refusal, Some(error)),
        }
    }

    /// Notes a span that was granted.
    fn granted(&self, who: usize, wish: &Wish, span: kva::Span) {
        assert_eq!(span.len(), wish.len());
        assert!(wish.may_start(&self.parts, span.start()), "{span:?} is no place for {wish:?}");
        self.books.note(Held::new(span, who, &wish.placement));
    }

    fn before(&self, who: usize, wish: &Wish) -> Before {
        let refusal = self.refusal(who, wish);
        let fits = || {
            let may = self.may_have(who, wish.len()) && wish.fits(&self.parts, &self.taken());
            let unhindered = self.line.waits().next().is_none()
                || (self.line.bypass == 1000 && self.arena().stats().withheld == 0);
            if may && !unhindered { None } else { Some(may) }
        };
        Before { refusal, sure: if self.line.any_unknown() { None } else { fits() } }
    }

    fn apply(&mut self, op: &Op) {
        let someone = |who: u8| usize::from(who) % 3;
        match *op {
            Op::Try(who, wanted) => {
                let (who, wish) = (someone(who), wanted.wish(self.quanta()));
                let before = self.before(who, &wish);
                let end = self.who[who].try_alloc(wish.placement);
                self.judge(who, &wish, &before, end);
            }
            Op::TryAt(who, start, len) => self.try_at(someone(who), u32::from(start), u32::from(len) % 16),
            Op::Now(who, wanted) => {
                let (who, wish) = (someone(who), wanted.wish(self.quanta()));
                let mut before = self.before(who, &wish);
                // While it is in line others give back what they can.
                before.sure = before.sure.filter(|fits| *fits);
                let end = self.who[who].alloc_timeout(wish.placement, Duration::ZERO);
                self.judge(who, &wish, &before, end);
            }
            Op::Begin(who, wanted) => {
                let (who, wish) = (someone(who), wanted.wish(self.quanta()));
                self.begin(who, wish);
            }
            Op::Poll(at) => {
                if let Some(at) = self.line.pick_task(at) {
                    self.poll(at);
                }
            }
            Op::PollWoken => self.poll_woken(),
            Op::Leave(at) => {
                if let Some(at) = self.line.pick_task(at) {
                    drop(self.line.tasks.swap_remove(at));
                }
            }
            Op::Reserve(who, wanted) => {
                let (who, wish) = (someone(who), wanted.wish(self.quanta()));
                let now = self.arena().clock().now();
                self.line.reserve(who, wish, now);
            }
            Op::Ask(at) => self.ask(at),
            Op::Withdraw(at) => {
                let arena = self.arena().clone();
                self.line.withdraw(at, &arena);
            }
            Op::Free(at) => {
                let Some(held) = self.books.pick(at) else { return };
                // Any handle does.
                self.who[usize::from(at) % 3].free(held.span).expect("it is held");
                self.books.ended(held.span);
            }
            Op::FreeTo(at, to) => self.free_to(at, to),
            Op::Yield(at, to) => self.yield_to(at, to),
            Op::FreeAgain(at) => {
                let stale = {
                    let stale = &self.books.0.lock().stale;
                    (!stale.is_empty()).then(|| stale[usize::from(at) % stale.len()])
                };
                let Some(span) = stale else { return };
                assert_eq!(self.arena().free(span), Err(FreeError::DoubleFree(span)));
            }
            Op::FreeElsewhere(at) => {
                let Some(held) = self.books.pick(at) else { return };
                assert_eq!(self.elsewhere.free(held.span), Err(FreeError::ForeignArena(held.span)));
                self.books.note(held);
            }
            Op::Stash(at) => {
                let Some(held) = self.books.pick(at) else { return };
                self.books.0.lock().stashed.push(held);
            }
            Op::Hook(gives) => self.books.0.lock().gives = gives,
            Op::Mover(answers) => self.books.0.lock().answers = answers,
            Op::Reap => self.arena().reap(),
            Op::AddRegion(quanta) => self.add_region(1 + u32::from(quanta) % 16),
            Op::Close => {
                self.is_closed = true;
                self.arena().close();
            }
        }
    }

    fn try_at(&mut self, who: usize, start: u32, len: u32) {
        let start = start % (self.quanta() + 2);
        let (end, quanta) = (start + len, self.quanta());
        let result = self.who[who].try_alloc_at(start..end);
        let is_outside = len == 0 || end > quanta;
        match result {
            Ok(span) => {
                assert!(!is_outside && !self.is_closed && len <= self.quotas[who]);
                assert_eq!(span.range(), start..end);
                self.books.note(Held { span, who, shape: None });
                self.line.passed_by(u64::MAX);
            }
            Err(AllocError::Outside { .. }) => assert!(is_outside),
            Err(AllocError::Closed) => assert!(self.is_closed && !is_outside),
            Err(AllocError::OverQuota { .. }) => assert!(len > self.quotas[who]),
            Err(AllocError::Scarce) => {
                let known = !self.line.any_unknown() && self.line.waits().next().is_none();
                let within = |part: &Part| part.first <= start && end <= part.first + part.quanta;
                let fits = known
                    && self.may_have(who, len)
                    && self.parts.iter().any(within)
                    && is_free(&self.taken(), start..end);
                assert!(!fits, "{start}..{end} are free, and nobody waits");
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn free_to(&mut self, at: u8, to: u8) {
        let Some(to) = self.line.pick_token(to) else { return };
        let Some(held) = self.books.pick(at) else { return };
        let (table, arena) = (self.line.table.clone(), self.arena().clone());
        let token = &mut self.line.tokens[to];
        let id = token.id;
        // It passes whoever waited longer, as it is its own.
        token.is_heir = true;
        let (is_open, is_queued) = (token.is_open(), token.is_queued());
        let heir = arena.free_to(Claim::new(&table, id), held.span).expect("it is held");
        if is_open && !is_queued {
            assert_eq!(heir, Heir::Claimant, "it is on its way");
            self.line.parked.push((id, held));
        } else if heir == Heir::Claimant {
            self.books.ended(held.span);
            assert!(is_open, "nobody has use for it");
            assert_eq!(self.line.end_of(id), Some(held.span.start()), "P3");
        } else {
            self.books.note(held);
        }
    }

    fn yield_to(&mut self, at: u8, to: u8) {
        let Some(held) = self.books.pick(at) else { return };
        let than = self.line.moment(to).unwrap_or(u64::MAX);
        self.line.counts = false;
        let gone = self.arena().yield_to_older(held.span, than).expect("it is held");
        if gone {
            self.books.ended(held.span);
        } else {
            self.books.note(held);
        }
    }

    fn add_region(&mut self, quanta: u32) {
        if self.parts.len() == MOST_REGIONS {
            return;
        }
        let (region, quantum) = region(self.setup.memory, quanta);
        let (first, origin) = (self.quanta(), origin(&region, quantum));
        let added = self.arena().add_region(region).expect("a good region");
        assert_eq!(added, first..first + quanta);
        self.parts.push(Part { first, quanta, origin });
    }

    fn end(mut self) {
        // Whoever leaves may leave something to others, who have it then.
        while let Some(at) = self.line.pick_task(0) {
            drop(self.line.tasks.swap_remove(at));
            self.take_ends();
        }
        let arena = self.arena().clone();
        while !self.line.tokens.is_empty() {
            self.line.withdraw(0, &arena);
            self.line.tokens.retain(line::Token::is_open);
            self.take_ends();
        }
        self.take_ends();
        for held in self.books.all() {
            arena.free(held.span).expect("it is held");
        }
        let stats = arena.stats();
        let rest = (stats.free, stats.free_runs as usize, stats.waiting, stats.withheld);
        assert_eq!(rest, (stats.quanta, self.parts.len(), 0, 0), "P6: {stats:?}");
        assert_eq!(self.who.each_ref().map(Arena::used), [0; 3], "P6");
    }
}

/// What is to come of a request, as the model has it.
struct Before {
    refusal: Option<AllocError>,
    /// Whether it is granted at once, where that is sure.
    sure: Option<bool>,
}
