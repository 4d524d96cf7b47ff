//! What a back-end says to a request.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Committed;

/// What a back-end says to a request.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`](super::Sink):
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{AllocError, GrowId, Refusal, Sink, Span};
/// # struct Ends(mpsc::Sender<Result<Span, Refusal<AllocError>>>);
/// # impl Sink<Span, AllocError> for Ends {
/// #     fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::{Answer, Arena, GrowTable, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(8), 1)?;
/// let table = GrowTable::new(2);
/// let all = Shape::new(8)?;
/// let Answer::Now(committed, Ok(span)) = arena.ask(all, table.reserve(0, 0, sink.clone())) else {
///     panic!("there is room");
/// };
/// committed.deliver(span); // the asker ends it, by its own sink
/// # assert_eq!(ends.try_recv()?, Ok(span));
/// assert!(matches!(arena.ask(all, table.reserve(1, 1, sink)), Answer::Later));
/// arena.free(span)?; // this ends the second
/// assert_eq!(ends.try_recv()??.len(), 8);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "an answer may carry a page"]
pub enum Answer<P, E> {
    /// The back-end has the token and will end the request later.
    Later,
    /// The request was withdrawn before it was asked. Nothing will come.
    Withdrawn,
    /// It ended at once, on the asker's thread.
    Now(Committed<P, E>, Result<P, E>),
    /// Its [deadline](super::Grow::deadline) passed while the back-end slept for it.
    Late(Committed<P, E>),
    /// The back-end has begun, and the asker is to drive it, or to drop it once nobody needs
    /// the page. The request ends by its token, as ever.
    Driven(Work),
}

/// What is to be driven for a page to come: a future that is ready when the request has ended.
/// Dropping it before says that nobody needs the page. It may be passed on to another driver.
///
/// ```
/// use kva::Work;
/// use std::future::ready;
///
/// let work = Work::new(ready(())); // what ends the request
/// ```
#[must_use = "what is not driven does not go on"]
pub struct Work(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Work {
    /// The work that `future` does.
    pub fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}
