//! A span of an arena.

use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use kva::holds::as_nobody;
use kva::panics::FirstPanic;
use kva::{Alloc, AllocError, Arena, Placement, Span};

use super::attempt::{Attempt, TAKEN_ONCE};
use super::event::{Begins, Event, Wait};
use crate::driver::Driver;

/// Waits for a span.
struct OfArena<'a> {
    arena: &'a Arena,
    placement: Placement,
    alloc: Option<Alloc<'a>>,
    done: Option<Result<Span, AllocError>>,
}

impl Attempt for OfArena<'_> {
    type Output = Result<Span, AllocError>;

    fn try_now(mut self: Pin<&mut Self>) -> bool {
        let found = as_nobody(|| self.arena.try_alloc(self.placement));
        self.done = Some(found).filter(|found| !matches!(found, Err(AllocError::Scarce)));
        self.done.is_some()
    }

    fn granted(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> bool {
        // Who is in line only looks.
        self.alloc.is_some() && self.poll(driver).is_ready()
    }

    fn poll(mut self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        let this = &mut *self;
        let alloc = this.alloc.get_or_insert_with(|| this.arena.alloc_async(this.placement));
        driver.poll(Pin::new(alloc)).map(|found| {
            this.done = Some(found);
            // Its waker is callers' code: gone before anybody is told.
            this.alloc = None;
        })
    }

    fn take(mut self: Pin<&mut Self>) -> Self::Output {
        self.done.take().expect(TAKEN_ONCE)
    }

    fn until(&self) -> Option<Instant> {
        None
    }
}

/// A span that was granted and not chosen is free again.
impl Drop for OfArena<'_> {
    fn drop(&mut self) {
        let mut panics = FirstPanic::default();
        panics.guard(|| drop(self.alloc.take()));
        if let Some(Ok(span)) = self.done.take() {
            panics.guard(|| self.arena.free(span).expect("a span of this arena, which nobody else has"));
        }
        panics.go_on();
    }
}

/// A span of `arena`, or why there is none; as [`Arena::alloc_async`]. The span is the caller's to free. One
/// that was granted while something else was chosen is free again.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Shape};
/// use pool::choose::{choose, span};
///
/// let arenas = [Arena::new(Region::numbers(4), 1)?, Arena::new(Region::numbers(4), 1)?];
/// let all = arenas[0].try_alloc(Shape::new(4)?)?;
/// let two = Shape::new(2)?;
/// let (from, two) = choose((
///     span(&arenas[0], two).wrap(|found| (0, found)),
///     span(&arenas[1], two).wrap(|found| (1, found)),
/// ))
/// .sync();
/// assert_eq!(from, 1); // the other has none
/// # arenas[0].free(all)?;
/// arenas[1].free(two?)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn span(
    arena: &Arena,
    placement: impl Into<Placement>,
) -> Event<impl Wait<Output = Result<Span, AllocError>, Attempt: Send> + Send> {
    let placement = placement.into();
    Event(Begins(move || OfArena { arena, placement, alloc: None, done: None }))
}
