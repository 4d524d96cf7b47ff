//! Waiting for any of several: events of which one happens, after Concurrent ML.
//!
//! # The problem
//!
//! Whoever waits for one thing sleeps through all others: through the put in the pool next door, the
//! span that the arena has by now, the close. To wait in several lines at once is easy; what is hard is to
//! leave all but one of them, at the moment at which several may be serving. What is granted and not
//! taken is lost to everybody, and what is taken twice was somebody else's.
//!
//! # The shape of it
//!
//! An [`Event`] is a value that says what could be waited for, and has done nothing (Reppy, "Concurrent
//! Programming in ML", 1999). Events are made of events: [`choose()`] any of several, [`wrap`](Event::wrap)
//! what it comes to, [`guard`] what is to be prepared, [`with_nack`] who is to be told that it was not
//! chosen. To [`sync`](Event::sync) on one, or to await it, begins an *attempt*; exactly one of those in a
//! choice commits, and each of the others is withdrawn, once.
//!
//! | event | comes to |
//! | --- | --- |
//! | [`Pool::get_event`](crate::Pool::get_event), [`RawPool::get_event`](crate::RawPool::get_event), [`Request::get_event`](crate::Request::get_event) | an item, or why there is none |
//! | [`Pool::reserve_event`](crate::Pool::reserve_event) | several, all or none |
//! | [`span()`] | a span of an arena |
//! | [`deadline`], [`after`] | a moment |
//! | [`Pool::closed_event`](crate::Pool::closed_event) | the pool's close |
//! | [`Nack::event`] | that another event was not chosen |
//! | [`future()`] | whatever somebody's future does |
//! | [`always`], [`never()`] | a value; nothing |
//!
//! ```
//! # if kva::sync::IS_MODEL { return Ok(()) }
//! # use kva::{Arena, Region, Reserve};
//! # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
//! use pool::{Pool, choose::{after, choose}};
//! use std::time::Duration;
//!
//! let pool_of = |name| Pool::builder(1, move || name).items_per_page(1).build(arena.clone());
//! let (near, far) = (pool_of("near")?, pool_of("far")?);
//! let busy = near.get()?;
//! let replica = choose((
//!     near.get_event().wrap(Some),
//!     far.get_event().wrap(Some),
//!     after(Duration::from_secs(1)).wrap(|()| None),
//! ))
//! .sync()
//! .expect("in time")?;
//! assert_eq!(*replica, "far");
//! # drop(busy);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # There is no second way to wait
//!
//! An attempt at an item is the pool's own getter, the state machine that [`Pool::get`](crate::Pool::get) and
//! `get_async` drive; one at a span is the arena's own sleeper. They stand in the lines that everybody
//! stands in, and are overtaken no more often (P4). A chooser only drives several of them, from one thread
//! or task, and whichever is news to any of them wakes it.
//!
//! *Dropping an attempt is its negative acknowledgement.* It leaves the line, its request for a page is
//! withdrawn, and what it was granted in the last moment goes to the next, as for any getter whose time is
//! up or whose future is dropped. Nothing has to be added to a pool or an arena for that.
//!
//! *Its one owner decides.* In Concurrent ML both sides of a channel may be choosing, so that who commits is a
//! matter between threads, settled by a word that they share. Here nobody else chooses among our
//! attempts: a pool that serves one of them gives without asking. So no shared word is needed. The chooser
//! looks at its attempts one after the other, the first that has what it waits for is the one, and all
//! others are dropped before anybody hears of it.
//!
//! What that costs: between the grant and the chooser's next step an attempt that will not be chosen
//! holds what it was granted, while others may wait for it. They get it at that step (P2), so poll a future
//! or drop it.
//!
//! # Invariants
//!
//! 1. Exactly one attempt of a choice commits, or none does. Until its value is taken it is still the
//!    attempt's, and goes back with it: what panics in between loses nothing (P5).
//! 2. An attempt commits with what is good. An object that is to be validated is found good before, and
//!    constructed, so that a dead replica does not keep a living one from being chosen. An error is a value
//!    like any other, and can be chosen: one who wants to go on leaves that pool out next time.
//! 3. Losers are withdrawn before the value of the winner is handed out, and before the function of a
//!    `wrap` is called. All of them are, whatever panics.
//! 4. What is ready is had without getting in any line, and so without disturbing anybody. Of several that
//!    are ready, none is preferred: the first that is asked is another one each time, on each thread.
//!    Asked second, and only if nothing was ready, is what has to be begun before anybody knows: futures,
//!    items whose page has yet to be brought or whose place is in another thread's cache, and objects that
//!    are validated by a future. Of those, several may be under way when one is found good, and then the
//!    others are destroyed: a choice of replicas that are validated so costs an object each time.
//! 5. A chooser holds nothing while it waits but what it was granted, which it gives back or returns with
//!    at its next step. So choosers over the same pools in any order do not deadlock. Nor does one with
//!    itself: that step commits to what was granted before it goes on with anything. But a constructor, a
//!    validator or a future of one event must not wait for what another event of the same choice may be
//!    granted: while it runs the chooser does not look.
//! 6. To sync on a choice of an array or a tuple allocates nothing (P7): attempts are where it stands. A
//!    `Vec` of events, `with_nack` and `boxed` allocate before anything is waited for.

mod attempt;
mod branches;
mod choice;
mod ended;
mod event;
mod events;
mod nack;
mod pools;
mod simple;
mod span;
mod time;

pub use event::{Awaited, Boxed, BoxedEvent, Event, Wait, Wrap};
pub use events::Events;
pub use nack::{Nack, WithNack, with_nack};
pub use simple::{Guard, OfFuture, Value, always, future, guard, never};
pub use span::span;
pub use time::{after, deadline, deadline_by};

use std::fmt;

use choice::Choice;
use event::Sealed;

/// One of these events, whichever can be had first; the others are withdrawn. Of an array, a tuple of one to
/// eight, or a `Vec`; see [the module](self).
///
/// A choice of nothing never is made: to sync on it without a deadline is to sleep for ever.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// use pool::choose::{always, choose, never};
///
/// assert_eq!(choose((never(), always(1))).sync(), 1);
/// ```
pub const fn choose<E: Events>(events: E) -> Event<Choose<E>> {
    Event(Choose(events))
}

/// What a [choice](choose()) is of.
pub struct Choose<E>(E);

impl<E> fmt::Debug for Choose<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Choose")
    }
}

impl<E> Sealed for Choose<E> {}

impl<E: Events> Wait for Choose<E> {
    type Output = E::Output;
    type Attempt = Choice<E::Branches>;

    fn begin(self) -> Self::Attempt {
        Choice::new(self.0.begin())
    }
}
