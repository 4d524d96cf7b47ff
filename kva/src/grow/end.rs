//! How a request ends, and who is told.

use super::GrowId;

/// Where requests end: the pool that asked.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// use kva::{GrowId, GrowTable, Refusal, Sink};
///
/// type End = Result<u8, Refusal<&'static str>>;
/// struct Ends(mpsc::Sender<(GrowId, End)>);
/// impl Sink<u8, &'static str> for Ends {
///     fn finish(&self, id: GrowId, end: End) {
///         self.0.send((id, end)).expect("the asker listens");
///     }
/// }
///
/// # let (sender, ends) = mpsc::channel();
/// let grow = GrowTable::new(1).reserve(0, 0, Arc::new(Ends(sender)));
/// let id = grow.id();
/// grow.commit().expect("it is pending").deliver(7); // what the back-end does
/// assert_eq!(ends.try_recv()?, (id, Ok(7)));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Sink<P, E>: Send + Sync {
    /// The request `id` ended. Called exactly once for each request that a back-end
    /// committed to, with no lock held, on whatever thread found out.
    fn finish(&self, id: GrowId, end: Result<P, Refusal<E>>);
}

/// Why a request ended without a page.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`]:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{GrowId, Sink};
/// # type End = Result<u8, Refusal<&'static str>>;
/// # struct Ends(mpsc::Sender<End>);
/// # impl Sink<u8, &'static str> for Ends {
/// #     fn finish(&self, _: GrowId, end: End) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::{GrowTable, Refusal};
///
/// let table = GrowTable::new(1);
/// let full = table.reserve(0, 0, sink.clone()).commit().expect("it is pending");
/// full.refuse("full");
/// assert_eq!(ends.try_recv()?, Err(Refusal::Error("full")));
/// drop(table.reserve(0, 1, sink)); // a back-end that forgets it
/// assert_eq!(ends.try_recv()?, Err(Refusal::Abandoned));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal<E> {
    /// The back-end said so.
    #[error(transparent)]
    Error(#[from] E),
    /// The back-end dropped the request, or panicked with it in hand.
    #[error("the back-end dropped the request")]
    Abandoned,
    /// The [deadline](super::Grow::deadline) of who is asleep in it passed.
    #[error("the deadline passed before there was a page")]
    TimedOut,
    /// It was given up because nobody needed the page any more, or by a panic that its asker
    /// has: there is nobody to be told.
    #[error("the request was given up")]
    GivenUp,
}
