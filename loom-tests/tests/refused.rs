//! A grow is refused, or panics, while others wait: one of them has the error, and the
//! grow of the others is asked again (P2, P5).

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kva::sync::thread::spawn;
use kva::{AllocError, Answer, Arena, Committed, GrowId, Span, SpanGrow};
use loom_tests::backends::Manual;
use loom_tests::historical::tell_nobody;
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, block_on, pages, put, waiting};
use pool::{Backend, GetError, RawPool};

fn get_and_put<B: Backend>(pool: &RawPool<B>) -> Result<(), GetError<B::Error>> {
    pool.get().map(|item| put(pool, item))
}

/// Of a grow that is refused.
fn assert_ends(ends: &[Result<(), GetError<AllocError>>]) {
    let failed = ends.iter().filter(|end| matches!(end, Err(GetError::Backend(AllocError::Closed)))).count();
    let served = ends.iter().filter(|end| end.is_ok()).count();
    assert!(failed <= 1 && failed + served == ends.len(), "one has the error, others are served: {ends:?}");
}

/// The limit is one page, and one waits for it. Another comes while that grow is refused.
fn refused_by(refuse: impl Fn(Committed<Span, AllocError>), both_waited: &Witness) {
    let arena = arena(1, 0);
    let manual = Manual::new(arena.clone());
    let pool = Arc::new(pages(1).bypass(0).build(manual.clone()).unwrap());
    let first = waiting(pool.get_async());
    let second = {
        let pool = pool.clone();
        spawn(move || get_and_put(&pool))
    };
    let committed = manual.commit_last().expect("the first one's token");
    both_waited.saw(pool.stats().waiting == 2);
    refuse(committed);
    let first = block_on(first).map(|item| put(&pool, item));
    assert_ends(&[first, second.join().unwrap()]);
    assert_pool_at_rest(&pool, 0);
    drop((pool, manual));
    assert_arena_whole(&arena);
}

#[test]
fn while_others_wait() {
    witnessed("refused/while_others_wait", "both waited", |both_waited| {
        refused_by(|committed| committed.refuse(AllocError::Closed), both_waited);
    });
}

/// Nobody else waits, and it has not yet gone to sleep.
#[test]
fn as_it_asks() {
    witnessed("refused/as_it_asks", "it was refused", |refused| {
        let arena = arena(1, 0);
        let manual = Manual::new(arena.clone());
        let pool = Arc::new(pages(1).bypass(0).build(manual.clone()).unwrap());
        let getter = {
            let pool = pool.clone();
            spawn(move || get_and_put(&pool))
        };
        let committed = manual.commit_last();
        refused.saw(committed.is_some());
        if let Some(committed) = committed {
            committed.refuse(AllocError::Closed);
        }
        assert_ends(&[getter.join().unwrap()]);
        assert_pool_at_rest(&pool, 0);
        drop((pool, manual));
        assert_arena_whole(&arena);
    });
}

#[test]
fn a_failure_told_to_nobody() {
    known_bad("refused/told_to_nobody", "deadlock", || refused_by(tell_nobody, &Witness::default()));
}

/// What is done with the token before the panic.
#[derive(Clone, Copy, PartialEq)]
enum Token {
    Asked,
    Committed,
    /// It survives, in nobody's hands: known bad.
    Kept,
}

/// Panics when it is asked first.
struct PanicsOnce {
    arena: Arena,
    panicked: AtomicBool,
    token: Token,
}

// SAFETY: pages are spans of an arena.
unsafe impl Backend for PanicsOnce {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Backend::granule(&self.arena)
    }
    fn ask(&self, page: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        if self.panicked.swap(true, Relaxed) {
            return Backend::ask(&self.arena, page, grow);
        }
        let committed = if self.token == Token::Asked { None } else { grow.commit().ok() };
        if self.token == Token::Kept
            && let Some(committed) = committed
        {
            let _lost = committed.into_id();
        }
        // Without the noise of the panic hook.
        std::panic::resume_unwind(Box::new("the back-end panics"));
    }
    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        self.arena.try_page(page)
    }
    fn forget(&self, id: GrowId) {
        Backend::forget(&self.arena, id);
    }
    fn release(&self, page: Span, layout: Layout) {
        Backend::release(&self.arena, page, layout);
    }
    fn base(&self, page: &Span) -> NonNull<u8> {
        Backend::base(&self.arena, page)
    }
}

fn panicking(token: Token) {
    let arena = arena(1, 0);
    let backend = PanicsOnce { arena: arena.clone(), panicked: AtomicBool::new(false), token };
    let pool = Arc::new(pages(1).bypass(0).build(backend).unwrap());
    let getters = [(); 2].map(|()| {
        let pool = pool.clone();
        spawn(move || catch_unwind(AssertUnwindSafe(|| get_and_put(&pool))).ok())
    });
    let ends = getters.map(|getter| getter.join().unwrap());
    let panicked = ends.iter().filter(|end| end.is_none()).count();
    assert_eq!(panicked, 1, "the panic is its getter's");
    // The other is served, or has the error of the request that it too waited for.
    let fine = |end: &Option<_>| matches!(end, Some(Ok(()) | Err(GetError::Abandoned)));
    assert!(ends.iter().any(fine), "{ends:?}");
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn by_a_panic() {
    model("refused/by_a_panic", || panicking(Token::Asked));
}

#[test]
fn by_a_panic_after_it_committed() {
    model("refused/by_a_late_panic", || panicking(Token::Committed));
}

#[test]
fn a_panic_that_keeps_its_slot() {
    known_bad("refused/panic_keeps_slot", "deadlock", || panicking(Token::Kept));
}
