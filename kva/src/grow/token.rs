//! A request as its back-end holds it: before and after it committed to it.

use std::fmt;
use std::time::Instant;

use super::{Claim, GrowId, GrowTable, Refusal, Sink};
use crate::sync::Arc;

struct Token<P, E> {
    table: Arc<GrowTable>,
    id: GrowId,
    asked_at: u64,
    deadline: Option<Instant>,
    sink: Arc<dyn Sink<P, E>>,
}

/// One pending request for one page, as its back-end holds it.
///
/// Dropping it undecided refuses the request.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`]:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{GrowId, Sink};
/// # type End = Result<u8, kva::Refusal<&'static str>>;
/// # struct Ends(mpsc::Sender<End>);
/// # impl Sink<u8, &'static str> for Ends {
/// #     fn finish(&self, _: GrowId, end: End) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::GrowTable;
///
/// let table = GrowTable::new(1);
/// let grow = table.reserve(0, 0, sink.clone());
/// grow.commit().expect("it is pending").deliver(7); // the back-end had a page
/// assert_eq!(ends.try_recv()?, Ok(7));
///
/// let grow = table.reserve(0, 1, sink);
/// assert!(table.withdraw(grow.id())); // the asker no longer needs one
/// assert!(grow.commit().is_err());
/// assert!(ends.try_recv().is_err(), "nothing came");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a request refuses it"]
pub struct Grow<P, E>(Option<Token<P, E>>);

/// A request that a back-end has committed to: it can no longer be withdrawn.
///
/// Dropping it refuses the request.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`]:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{GrowId, Sink};
/// # type End = Result<u8, kva::Refusal<&'static str>>;
/// # struct Ends(mpsc::Sender<End>);
/// # impl Sink<u8, &'static str> for Ends {
/// #     fn finish(&self, _: GrowId, end: End) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::GrowTable;
///
/// let table = GrowTable::new(1);
/// let committed = table.reserve(0, 0, sink).commit().expect("it is pending");
/// assert!(!table.withdraw(committed.id()), "too late");
/// assert!(ends.try_recv().is_err(), "its page may come whenever it comes");
/// committed.deliver(7);
/// assert_eq!(ends.try_recv()?, Ok(7));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a request refuses it"]
pub struct Committed<P, E>(Option<Token<P, E>>);

const HELD: &str = "a token is taken only by what consumes it";

impl<P, E> Grow<P, E> {
    pub(super) fn new(table: Arc<GrowTable>, id: GrowId, asked_at: u64, sink: Arc<dyn Sink<P, E>>) -> Self {
        Self(Some(Token { table, id, asked_at, deadline: None, sink }))
    }

    fn token(&self) -> &Token<P, E> {
        self.0.as_ref().expect(HELD)
    }

    fn take(&mut self) -> Token<P, E> {
        self.0.take().expect(HELD)
    }

    /// Which request this is.
    #[must_use]
    pub fn id(&self) -> GrowId {
        self.token().id
    }

    /// When the waiter it is for came; see [`GrowTable::reserve`].
    #[must_use]
    pub fn asked_at(&self) -> u64 {
        self.token().asked_at
    }

    /// Until when its asker would sleep in the back-end; `None`: as long as it takes, or it
    /// does not sleep there. A back-end that sleeps on its caller's thread answers
    /// [`Answer::Late`](super::Answer::Late) once this has passed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.token().deadline
    }

    /// Sets the [deadline](Self::deadline).
    pub fn until(mut self, deadline: Option<Instant>) -> Self {
        if let Some(token) = &mut self.0 {
            token.deadline = deadline;
        }
        self
    }

    /// Names the request, so that spans can be freed to it.
    #[must_use]
    pub fn claim(&self) -> Claim<'_> {
        let token = self.token();
        Claim::new(&token.table, token.id)
    }

    /// Decides that the request ends with this back-end.
    ///
    /// # Errors
    /// It was withdrawn, and there is nothing more to do. The token comes back, to be
    /// dropped where no lock is held: it may be the last thing that keeps its pool alive.
    pub fn commit(mut self) -> Result<Committed<P, E>, Self> {
        let token = self.take();
        if token.table.commit(token.id) { Ok(Committed(Some(token))) } else { Err(Self(Some(token))) }
    }

    /// Whether it was withdrawn already. A back-end that keeps tokens looks under its own
    /// lock before it queues one: a withdrawal that comes later finds it in the queue
    /// ([`Arena::forget`](crate::Arena::forget) has the argument).
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        let token = self.token();
        !token.table.is_pending(token.id)
    }
}

impl<P, E> Drop for Grow<P, E> {
    fn drop(&mut self) {
        if let Some(token) = self.0.take()
            && token.table.commit(token.id)
        {
            token.sink.finish(token.id, Err(Refusal::Abandoned));
        }
    }
}

impl<P, E> Committed<P, E> {
    fn take(&mut self) -> Token<P, E> {
        self.0.take().expect(HELD)
    }

    fn token(&self) -> &Token<P, E> {
        self.0.as_ref().expect(HELD)
    }

    /// Which request this is.
    #[must_use]
    pub fn id(&self) -> GrowId {
        self.token().id
    }

    /// Names the request, so that spans can be freed to it while it sleeps.
    #[must_use]
    pub fn claim(&self) -> Claim<'_> {
        let token = self.token();
        Claim::new(&token.table, token.id)
    }

    /// Ends the request with a page.
    pub fn deliver(self, page: P) {
        self.finish(Ok(page));
    }

    /// Ends the request with an error.
    pub fn refuse(self, error: E) {
        self.finish(Err(Refusal::Error(error)));
    }

    /// Ends the request.
    pub fn finish(mut self, end: Result<P, Refusal<E>>) {
        let token = self.take();
        token.sink.finish(token.id, end);
    }

    /// Ends the request without a page, and nobody is to be told: [`Refusal::GivenUp`].
    pub fn give_up(self) {
        self.finish(Err(Refusal::GivenUp));
    }

    /// Gives the duty to end the request to the caller, which must be its sink.
    pub fn into_id(mut self) -> GrowId {
        self.take().id
    }
}

impl<P, E> Drop for Committed<P, E> {
    fn drop(&mut self) {
        if let Some(token) = self.0.take() {
            token.sink.finish(token.id, Err(Refusal::Abandoned));
        }
    }
}

impl<P, E> fmt::Debug for Grow<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.token().id)
    }
}

impl<P, E> fmt::Debug for Committed<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id())
    }
}
