//! Option 3's race: a put frees a whole page at low water because a grow is pending, and a
//! thief tries to take it before the grow can (P3).

use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use kva::sync::Arc;
use kva::sync::thread::spawn;
use kva::{AllocError, Arena, Claim, GrowId, Heir, Span};
use loom_tests::asking::{Asker, ask};
use loom_tests::historical::FreeThenWake;
use loom_tests::record::{Recorder, STEAL};
use loom_tests::run::{Witness, known_bad, model, recorded, witnessed};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, one, pages, put};
use pool::{ArenaPages, Awaited, Classic, GetError, PageAllocator, RawPool};

/// One page of low water 1, which is out; the arena has no other.
fn pool_of_one<A: PageAllocator<Error = AllocError>>(allocator: A) -> Arc<RawPool<Classic<A>>> {
    Arc::new(pages(2).low_water(1).bypass(0).build(Classic::new(allocator)).unwrap())
}

/// A thief that takes what it finds free.
fn passing_thief<A>(
    allocator: impl Fn(Arena) -> A,
    free: impl Fn(&A, Span),
    close: impl Fn(&A),
    released: &Witness,
    recorder: &Recorder,
) where
    A: PageAllocator<Error = AllocError> + Clone,
{
    recorder.i_am("holder");
    let arena = arena(1, 0);
    let pages = allocator(arena.clone());
    let pool = pool_of_one(pages.clone());
    let item = pool.try_get().unwrap();
    recorder.note("has the only item");
    let getter = {
        let (pool, recorder) = (pool.clone(), recorder.clone());
        spawn(move || {
            recorder.i_am("getter");
            recorder.call("pool", "get");
            pool.get().is_ok_and(|item| {
                recorder.outcome("pool", "an item");
                put(&pool, item);
                true
            })
        })
    };
    let thief = {
        let (arena, recorder) = (arena.clone(), recorder.clone());
        spawn(move || {
            recorder.i_am("thief");
            let stolen = arena.try_alloc(one()).ok();
            // Noted together: what comes in between is no part of the theft.
            recorder.call("arena", "a page, if there is one now");
            recorder.outcome("arena", if stolen.is_some() { "a page" } else { "none is free" });
            stolen
        })
    };
    recorder.call("pool", "put");
    put(&pool, item);
    let stolen = thief.join().unwrap();
    if stolen.is_some() {
        recorder.call("arena", "close: who sleeps would sleep for ever");
        close(&pages);
    }
    let got = getter.join().unwrap();
    assert!(stolen.is_none(), "the page was stolen");
    assert!(got, "the getter was served");
    let stats = assert_pool_at_rest(&pool, 1);
    released.saw(stats.released_to_heirs > 0);
    drop(pool);
    if let Some(stolen) = stolen {
        free(&pages, stolen);
    }
    assert_arena_whole(&arena);
}

#[test]
fn a_passing_thief_gets_nothing() {
    witnessed("steal", "the page was released", |released| {
        passing_thief(ArenaPages, |_, _| {}, |_| {}, released, &Recorder::default());
    });
}

#[test]
fn without_a_claim_the_page_is_lost() {
    recorded("steal/no_claim", "the page was stolen", "steal.json", STEAL, |recorder| {
        let (released, pages) = (Witness::default(), recorder.clone());
        passing_thief(
            move |arena| FreeThenWake::recorded(arena, pages.clone()),
            FreeThenWake::free_span,
            FreeThenWake::close,
            &released,
            recorder,
        );
    });
}

/// An allocator that fails before it sleeps, while a page is on its way to its request.
#[derive(Clone)]
struct Fails {
    pages: ArenaPages,
    /// Whether it says so to who keeps the page.
    forgets: bool,
}

// SAFETY: pages are spans of an arena.
unsafe impl PageAllocator for Fails {
    type Error = AllocError;
    const CLAIMS: bool = true;

    fn granule(&self) -> usize {
        self.pages.granule()
    }
    fn alloc(&self, _: Layout, _: Claim<'_>, _: Option<Instant>) -> Result<Option<NonNull<u8>>, AllocError> {
        Err(AllocError::Scarce)
    }
    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, AllocError> {
        self.pages.try_alloc(page)
    }
    fn free(&self, base: NonNull<u8>, page: Layout) {
        self.pages.free(base, page);
    }
    fn free_to(&self, base: NonNull<u8>, page: Layout, claim: Claim<'_>) -> Heir {
        self.pages.free_to(base, page, claim)
    }
    fn forget(&self, id: GrowId) {
        if self.forgets {
            self.pages.forget(id);
        }
    }
}

fn failing_heir(forgets: bool) {
    let arena = arena(1, 0);
    let pool = pool_of_one(Fails { pages: ArenaPages(arena.clone()), forgets });
    let item = pool.try_get().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || get(&pool).ok())
    };
    put(&pool, item);
    if let Some(item) = getter.join().unwrap() {
        put(&pool, item);
    }
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn an_heir_that_fails_leaves_the_page() {
    model("steal/failing_heir", || failing_heir(true));
}

#[test]
fn an_heir_that_is_not_forgotten_keeps_it() {
    known_bad("steal/heir_not_forgotten", "rest: a span was lost", || failing_heir(false));
}

/// A thief that asked before the getter did and is first in the arena's queue: only a
/// claim keeps the page from it.
#[test]
fn a_thief_first_in_line_gets_nothing() {
    witnessed("steal/first_in_line", "the page was released while both waited", |released| {
        let arena = arena(1, 0);
        let pool = pool_of_one(ArenaPages(arena.clone()));
        let item = pool.try_get().unwrap();
        let thief = Asker::new(1);
        thief.ask(&arena, 0, one());
        assert_eq!(arena.stats().waiting, 1);
        let getter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        put(&pool, item);
        let item = getter.join().unwrap();
        assert_eq!(thief.granted(), 0, "the page was stolen");
        put(&pool, item);
        arena.close();
        let stats = assert_pool_at_rest(&pool, 1);
        released.saw(stats.released_to_heirs > 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

/// What an allocator does wrong with a page whose heir is late.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    /// It says that it is late although it has the page.
    Loses,
    /// It frees to anybody what it was too late to free to it.
    Frees,
}

#[derive(Clone)]
struct FailsTheLate(ArenaPages, Wrong);

// SAFETY: pages are spans of an arena.
unsafe impl PageAllocator for FailsTheLate {
    type Error = AllocError;
    const CLAIMS: bool = true;

    fn granule(&self) -> usize {
        self.0.granule()
    }
    fn alloc(
        &self,
        page: Layout,
        claim: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, AllocError> {
        let late = self.0.alloc(page, claim, deadline)?;
        Ok(late.filter(|_| self.1 != Wrong::Loses))
    }
    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, AllocError> {
        self.0.try_alloc(page)
    }
    fn free(&self, base: NonNull<u8>, page: Layout) {
        self.0.free(base, page);
    }
    fn free_to(&self, base: NonNull<u8>, page: Layout, claim: Claim<'_>) -> Heir {
        let heir = self.0.free_to(base, page, claim);
        if heir == Heir::Gone && self.1 == Wrong::Frees {
            self.free(base, page);
            return Heir::Claimant;
        }
        heir
    }
    fn forget(&self, id: GrowId) {
        self.0.forget(id);
    }
}

/// The deadline of a getter asleep in the back-end passes while a page is freed to it. Either it has the
/// page all the same, or the pool has it back: it holds its low water.
fn deadline_against_claim<A: PageAllocator<Error = AllocError>>(
    allocator: impl Fn(ArenaPages) -> A,
    late: &Witness,
) {
    let arena = arena(1, 0);
    let pool = pool_of_one(allocator(ArenaPages(arena.clone())));
    let item = pool.try_get().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.get_timeout(Duration::from_micros(50)).map(|item| put(&pool, item)))
    };
    put(&pool, item);
    let end = getter.join().unwrap();
    assert!(matches!(end, Ok(()) | Err(GetError::TimedOut(Awaited::Page))), "{end:?}");
    late.saw(end.is_err() && pool.stats().released_to_heirs > 0);
    assert_pool_at_rest(&pool, 1);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn a_page_freed_to_who_is_late() {
    witnessed("steal/deadline_against_claim", "it was too late for its page", |late| {
        deadline_against_claim(|pages| pages, late);
    });
}

#[test]
fn a_page_that_comes_late_and_is_lost() {
    known_bad("steal/late_page_lost", "rest: a page was lost", || {
        deadline_against_claim(|pages| FailsTheLate(pages, Wrong::Loses), &Witness::default());
    });
}

#[test]
fn a_page_that_is_anybodys_since_its_heir_is_late() {
    known_bad("steal/late_page_freed", "rest: a page was lost", || {
        deadline_against_claim(|pages| FailsTheLate(pages, Wrong::Frees), &Witness::default());
    });
}

/// A span is freed to a token that is on its way to the arena, or in its queue, and is withdrawn. It is
/// the token's, or free since that was forgotten, or still its owner's.
#[test]
fn a_span_freed_to_who_is_withdrawn() {
    witnessed("steal/withdrawn_heir", "the heir was gone", |gone| {
        let arena = arena(1, 0);
        let span = arena.try_alloc(one()).unwrap();
        let heir = Asker::new(1);
        let grow = heir.reserve(&arena, 0);
        let id = grow.id();
        let asker = {
            let arena = arena.clone();
            spawn(move || ask(&arena, grow, one()))
        };
        let withdrawer = {
            let (arena, heir) = (arena.clone(), heir.clone());
            spawn(move || heir.withdraw(&arena, id))
        };
        let freed = arena.free_to(heir.claim(id), span).unwrap();
        if freed == Heir::Gone {
            arena.free(span).unwrap();
        }
        gone.saw(freed == Heir::Gone);
        asker.join().unwrap();
        withdrawer.join().unwrap();
        heir.free_all(&arena);
        assert_arena_whole(&arena);
    });
}

/// A span is freed to a sleeper that has another already, and has not looked. It is still its owner's, and no
/// thief's.
#[test]
fn a_span_freed_to_who_was_answered() {
    witnessed("steal/answered_heir", "the heir was gone", |gone| {
        let arena = arena(2, 0);
        let [span, other] = [(); 2].map(|()| arena.try_alloc(one()).unwrap());
        let heir = Asker::new(1);
        let claimant = heir.reserve(&arena, 0).commit().unwrap();
        let id = claimant.id();
        let sleeper = {
            let arena = arena.clone();
            spawn(move || {
                let span = arena.alloc_claiming(one(), claimant.claim(), None).unwrap();
                claimant.deliver(span);
            })
        };
        let thief = {
            let arena = arena.clone();
            spawn(move || {
                arena.free(other).unwrap();
                arena.try_alloc(one()).ok()
            })
        };
        let freed = arena.free_to(heir.claim(id), span).unwrap();
        gone.saw(freed == Heir::Gone);
        let has = thief.join().unwrap();
        assert!(has.is_none_or(|has| has.start() == other.start()), "the page was stolen");
        sleeper.join().unwrap();
        let kept = (freed == Heir::Gone).then_some(span);
        heir.free_all(&arena);
        has.into_iter().chain(kept).for_each(|span| arena.free(span).unwrap());
        assert_arena_whole(&arena);
    });
}
