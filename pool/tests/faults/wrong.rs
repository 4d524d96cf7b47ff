//! What no back-end may do, done all the same: pages that are not aligned, that the pool has already, or
//! that are another arena's. It is the back-end's panic, its request fails, and nothing is lent twice.

use std::alloc::Layout;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::Poll;

use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, Committed, Grow, GrowId, Span, Work};
use pool::{Backend, GetError, RawPool};

use super::support::{QUANTUM, arena, assert_rests, blocks, poll_once, put, put_all};

type Request = Committed<Page, AllocError>;

/// A span, and where it is said to be.
#[derive(Debug, Clone, Copy)]
struct Page {
    span: Span,
    base: NonNull<u8>,
}

// SAFETY: an address.
unsafe impl Send for Page {}

/// What the next page is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// As it should be.
    Not,
    /// Not where any page can start.
    Misaligned,
    /// The one that it brought last.
    Again,
    /// In the middle of the one that it brought last.
    Within,
}

#[derive(Debug)]
struct Wrongs {
    next: Wrong,
    last: Option<Page>,
    /// Asked, and to be answered by the test.
    kept: Vec<Request>,
    keeps: bool,
    /// How often what it has driven was polled.
    drives: Option<Arc<Mutex<u32>>>,
    released: usize,
}

/// Cheap to clone: clones are the same.
#[derive(Debug, Clone)]
struct Liar(Arena, Arc<Mutex<Wrongs>>);

impl Liar {
    fn new(arena: &Arena) -> Self {
        let wrongs = Wrongs {
            next: Wrong::Not,
            last: None,
            kept: Vec::new(),
            keeps: false,
            drives: None,
            released: 0,
        };
        Self(arena.clone(), Arc::new(Mutex::new(wrongs)))
    }

    fn lies(&self, next: Wrong) {
        self.1.lock().next = next;
    }

    fn page(&self, layout: Layout) -> Result<Option<Page>, AllocError> {
        let mut wrongs = self.1.lock();
        if let (Wrong::Again, Some(last)) = (wrongs.next, wrongs.last) {
            return Ok(Some(last));
        }
        let Some(span) = self.0.try_page(layout)? else { return Ok(None) };
        let base = Backend::base(&self.0, &span);
        let base = match (wrongs.next, wrongs.last) {
            // SAFETY: within the page.
            (Wrong::Misaligned, _) => unsafe { base.add(4) },
            // SAFETY: as above.
            (Wrong::Within, Some(last)) => unsafe { last.base.add(QUANTUM) },
            _ => base,
        };
        let page = Page { span, base };
        if wrongs.next == Wrong::Not {
            wrongs.last = Some(page);
        }
        Ok(Some(page))
    }
}

// SAFETY: not at all, where it lies; nothing is written to what it hands out then.
unsafe impl Backend for Liar {
    type Page = Page;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Some(QUANTUM)
    }

    fn ask(&self, layout: Layout, grow: Grow<Page, AllocError>) -> Answer<Page, AllocError> {
        let Ok(committed) = grow.commit() else { return Answer::Withdrawn };
        let drives = self.1.lock().drives.clone();
        if let Some(polls) = drives {
            return Answer::Driven(Work::new(poll_fn(move |_| {
                // It ends as this is dropped.
                let _request = &committed;
                *polls.lock() += 1;
                assert_eq!(*polls.lock(), 1, "what is driven panics");
                Poll::Pending
            })));
        }
        if self.1.lock().keeps {
            self.1.lock().kept.push(committed);
            return Answer::Later;
        }
        match self.page(layout) {
            Ok(page) => Answer::Now(committed, page.ok_or(AllocError::Scarce)),
            Err(error) => Answer::Now(committed, Err(error)),
        }
    }

    fn try_page(&self, layout: Layout) -> Result<Option<Page>, AllocError> {
        self.page(layout)
    }

    fn forget(&self, _: GrowId) {}

    fn release(&self, page: Page, layout: Layout) {
        self.1.lock().released += 1;
        Backend::release(&self.0, page.span, layout);
    }

    fn base(&self, page: &Page) -> NonNull<u8> {
        page.base
    }
}

/// What it panics with, which must name the fault.
fn word(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("it was not found");
    match panic.downcast::<String>() {
        Ok(word) => *word,
        Err(panic) => (*panic.downcast_ref::<&str>().expect("panics say something")).to_owned(),
    }
}

fn world(hard_limit: u32) -> (Arena, Liar, RawPool<Liar>) {
    let memory = arena(8);
    let liar = Liar::new(&memory);
    let pool = blocks(hard_limit).build(liar.clone()).unwrap();
    (memory, liar, pool)
}

#[test]
fn a_page_that_is_not_aligned_goes_back() {
    let (memory, liar, pool) = world(2);
    liar.lies(Wrong::Misaligned);
    for _ in 0..3 {
        let said = word(|| drop(pool.get()));
        assert!(said.contains("is not aligned"), "{said}");
        let said = word(|| drop(pool.try_get()));
        assert!(said.contains("is not aligned"), "{said}");
    }
    assert_eq!(liar.1.lock().released, 6);
    liar.lies(Wrong::Not);
    put_all(&pool, [pool.get().unwrap(), pool.get().unwrap()]);
    assert_rests(&pool, &memory);
}

#[test]
fn a_page_that_the_pool_has_is_not_lent_twice() {
    let (memory, liar, pool) = world(3);
    let first = pool.get().unwrap();
    liar.lies(Wrong::Again);
    for _ in 0..3 {
        let said = word(|| drop(pool.get()));
        assert!(said.contains("has already"), "{said}");
        let said = word(|| drop(pool.try_get()));
        assert!(said.contains("has already"), "{said}");
    }
    liar.lies(Wrong::Not);
    assert_eq!(liar.1.lock().released, 0, "it is the pool's still");
    let others = [pool.get().unwrap(), pool.get().unwrap()];
    assert!(!others.contains(&first));
    put_all(&pool, others);
    put(&pool, first).unwrap();
    assert_rests(&pool, &memory);
}

#[test]
fn a_page_within_another_is_not_lent() {
    if !kva::sync::CHECKED {
        return; // it is looked for where things are checked
    }
    let memory = arena(8);
    let liar = Liar::new(&memory);
    let run = Layout::from_size_align(2 * QUANTUM, QUANTUM).unwrap();
    let pool = RawPool::builder(run, 3).build(liar.clone()).unwrap();
    let first = pool.get().unwrap();
    liar.lies(Wrong::Within);
    let said = word(|| drop(pool.get()));
    assert!(said.contains("has already"), "{said}");
    liar.lies(Wrong::Not);
    let second = pool.get().unwrap();
    put_all(&pool, [first, second]);
    pool.drain();
    assert_eq!(pool.stats().pages, 0);
}

/// The waiter has an error, and who delivers the panic.
#[test]
fn what_is_delivered_twice_fails_its_waiter() {
    let (memory, liar, pool) = world(2);
    let first = pool.get().unwrap();
    liar.1.lock().keeps = true;
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    let request = liar.1.lock().kept.pop().unwrap();
    let last = liar.1.lock().last.unwrap();
    let said = word(|| request.deliver(last));
    assert!(said.contains("has already"), "{said}");
    assert!(matches!(poll_once(waits.as_mut()), Poll::Ready(Err(GetError::Abandoned))));
    drop(waits);
    assert_eq!(pool.stats().growing, 0);
    put(&pool, first).unwrap();
    assert_rests(&pool, &memory);
}

/// Not found before it is too late: by whoever has the arena.
#[test]
fn a_span_of_another_arena_is_its_panic() {
    let (memory, other) = (arena(1), arena(1));
    let span = kva::Arena::try_alloc(&other, kva::Shape::new(1).unwrap()).unwrap();
    let said = word(|| _ = Backend::base(&memory, &span));
    assert!(said.contains("belongs to another arena"), "{said}");
    other.free(span).unwrap();
}

/// It would be polled by whoever takes it on, and panic at each of them.
#[test]
fn what_panics_as_it_is_driven_is_driven_no_more() {
    let (memory, liar, pool) = world(1);
    let polls = Arc::new(Mutex::new(0));
    liar.1.lock().drives = Some(polls.clone());
    let [mut first, mut second] = [(); 2].map(|()| Box::pin(pool.get_async()));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    let said = word(|| _ = poll_once(first.as_mut()).is_pending());
    assert!(said.contains("driven"), "{said}");
    liar.1.lock().drives = None;
    drop(first);
    let Poll::Ready(Ok(item)) = poll_once(second.as_mut()) else { panic!("{pool:?}") };
    assert_eq!(*polls.lock(), 2);
    drop(second);
    put(&pool, item).unwrap();
    assert_rests(&pool, &memory);
}

/// A delivery after the pool was closed, and after its last handle is gone, is a release.
#[test]
fn what_is_delivered_late_goes_back() {
    for drops in [false, true] {
        let (memory, liar, pool) = world(2);
        liar.1.lock().keeps = true;
        let mut waits = Box::pin(pool.get_async());
        assert!(poll_once(waits.as_mut()).is_pending());
        pool.close();
        assert!(matches!(poll_once(waits.as_mut()), Poll::Ready(Err(GetError::Closed))));
        drop(waits);
        let request = liar.1.lock().kept.pop().unwrap();
        let page = liar.page(Layout::from_size_align(QUANTUM, QUANTUM).unwrap()).unwrap().unwrap();
        let pool = (!drops).then_some(pool);
        request.deliver(page);
        assert_eq!(liar.1.lock().released, 1);
        if let Some(pool) = pool {
            assert_rests(&pool, &memory);
        }
        super::support::assert_whole(&memory);
    }
}
